#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The life of guests on two hosts, with the command. What is held is asked of sanlock.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	world_begin
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
	}
}

# parted: an image with two partitions, and its loop device in $loop.
parted()
{
	load ../cli/partitions
	image "$d/parted"
	loop=$(losetup --find --show --partscan "$d/parted")
	printf '%s\n' "$loop" >"$BATS_TEST_TMPDIR/loop"
	test -b "${loop}p1" || partx --add "$loop"
}

# The whole disk is not free on beta, and another partition is.
whole_is_kept()
{
	refused beta 1 run --name copy --disk "$d/parted" -- true
	says "guest web" alpha
	gl beta run --name copy --disk "${loop}p2" -- true
}

@test "a guest's disk is refused to the other host, which names guest and host" {
	guest alpha web --disk "$d/a"
	test "$(state alpha web)" = running
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "$d/a" "guest web" alpha
	has_leases beta
	test "$(gl beta --quiet holders "$d/a" --json | jq -r '.resources[0].holders[0] | "\(.name) \(.host) \(.mode)"')" = "web alpha exclusive"
	guest beta other --disk "$d/b"
	guest_end alpha web
	guest_end beta other
	has_leases alpha
	gl beta run --name copy --disk "$d/a" -- true
}

@test "the host that has the lease is the one that the lease file names" {
	guest alpha web --disk "$d/a"
	test "$(lease_owner beta "guestlock:$(key_of "$d/a"):$(lease_of "$d/a")")" = 1
	guest_end alpha web
	test "$(lease_owner beta "guestlock:$(key_of "$d/a"):$(lease_of "$d/a")")" = 0
	guest beta web --disk "$d/a"
	test "$(lease_owner alpha "guestlock:$(key_of "$d/a"):$(lease_of "$d/a")")" = 2
}

@test "a partition on one host, the whole disk on the other: never both" {
	local loop

	parted
	guest alpha web --disk "${loop}p1"
	refused beta 1 run --name copy --disk "$d/parted" -- true
	says "guest web" alpha
	gl beta run --name copy --disk "${loop}p2" -- true
	refused beta 1 run --name copy --disk "${loop}p1" -- true
	guest_end alpha web
	guest beta whole --disk "$d/parted"
	refused alpha 1 run --name copy --disk "${loop}p1" -- true
	says "guest whole" beta
	guest_end beta whole
	gl alpha run --name copy --disk "${loop}p1" -- true
}

@test "a whole disk that is given back stays shared while a partition of it is held" {
	local loop

	parted
	guest alpha web --disk "$loop,shared" --disk "${loop}p1"
	gl alpha detach web --disk "$loop"
	whole_is_kept
	# Whoever says it again, under any name of it, changes nothing.
	gl alpha detach web --disk "$d/parted"
	whole_is_kept
	# On this host others have the disk's other partition, which the whole was in the way of.
	gl alpha run --name other --disk "${loop}p2" -- true
	gl alpha pause web >/dev/null
	gl alpha resume web
	whole_is_kept
	gl alpha detach web --disk "${loop}p1"
	gl beta run --name copy --disk "$d/parted" -- true
}

@test "a whole disk that no guest named is not given back before its partition" {
	local loop

	parted
	guest alpha web --disk "${loop}p1"
	gl alpha detach web --disk "$loop"
	whole_is_kept
	guest_end alpha web
	gl beta run --name copy --disk "$d/parted" -- true
}

@test "a whole disk that is attached beside its partition outlives that" {
	local loop

	parted
	guest alpha web --disk "${loop}p1"
	refused alpha 65 attach web --disk "$loop"
	says "a partition of whole disk"
	gl alpha attach web --disk "$loop,shared"
	gl alpha detach web --disk "${loop}p1"
	refused beta 1 run --name copy --disk "$d/parted" -- true
	says "guest web" alpha
	refused alpha 1 run --name copy --disk "${loop}p2" -- true
	says "guest web"
	gl alpha detach web --disk "$loop"
	gl beta run --name copy --disk "$d/parted" -- true
}

@test "a partition that is attached beside its whole disk leaves that as it is" {
	local loop

	parted
	guest alpha web --disk "$loop"
	gl alpha attach web --disk "${loop}p1"
	gl alpha detach web --disk "${loop}p1"
	refused beta 1 run --name copy --disk "${loop}p2" -- true
	says "guest web" alpha
	gl alpha attach web --disk "${loop}p1"
	# The mode is no other before it is taken anew: sanlock has no way that leads past unlocked.
	gl alpha detach web --disk "$loop"
	refused beta 1 run --name copy --disk "$d/parted" -- true
	refused beta 1 run --name copy --disk "${loop}p2" -- true
	gl alpha pause web >/dev/null
	gl alpha resume web
	whole_is_kept
}

@test "another guest of the same host is refused as well" {
	guest alpha web --disk "$d/a"
	refused alpha 1 run --name twin --disk "$d/a" -- true
	says "guest web" alpha
	holds alpha web "$d/a"
}

@test "the same guest never runs on two hosts, even without disks" {
	local uuid=11111111-2222-4333-8444-555555555555

	guest alpha web --uuid "$uuid"
	refused beta 1 run --uuid "$uuid" --name web -- true
	says "$uuid" alpha
	guest_end alpha web
	gl beta run --uuid "$uuid" --name web -- true
}

@test "a batch of disks is all or nothing" {
	guest alpha one --disk "$d/b"
	refused beta 1 run --name many --disk "$d/a" --disk "$d/b" --disk "$d/c" -- true
	has_leases beta
	guest alpha two --disk "$d/a" --disk "$d/c"
	guest_end alpha one
	guest_end alpha two
	gl beta run --name many --disk "$d/a" --disk "$d/b" --disk "$d/c" -- true
}

@test "leases belong to the guest's process: a kill of everything else leaves them" {
	local pid

	guest alpha web --disk "$d/a"
	pid=$(property alpha web pid)
	kill -KILL "$(job_pid alpha web)"
	for pid in $(keeper_pids alpha guard) $(keeper_pids alpha worker); do
		kill -KILL "$pid"
	done
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web" alpha
	kill -KILL "$(property alpha web pid)"
	eventually gl beta run --name copy --disk "$d/a" -- true
}

@test "a guest that is killed leaves no lease, without any process of guestlock" {
	local pid

	guest alpha web --disk "$d/a" --disk "$d/b,shared"
	holds alpha web "$d/a" "$d/b,SH"
	pid=$(property alpha web pid)
	kill -STOP "$(job_pid alpha web)"
	keeper_end alpha
	kill -KILL "$pid"
	eventually has_leases alpha
	gl beta run --name copy --disk "$d/a" --disk "$d/b" -- true
	kill -CONT "$(job_pid alpha web)"
}

@test "a paused guest has no lease, and resumes when nobody used its disk" {
	local word

	guest alpha web --disk "$d/a"
	word=$(gl alpha pause web)
	test "$(state alpha web)" = paused
	has_leases alpha
	gl alpha resume web --state "$word"
	test "$(state alpha web)" = running
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	gl alpha pause web
	gl alpha resume web
	holds alpha web "$d/a"
}

@test "a paused guest whose disk ran elsewhere meanwhile is not resumed" {
	local word

	guest alpha web --disk "$d/a"
	word=$(gl alpha pause web)
	guest beta copy --disk "$d/a"
	refused alpha 1 resume web
	says "guest copy" beta
	guest_end beta copy
	refused alpha 65 resume web --state "$word"
	test "$(state alpha web)" = paused
	refused alpha 65 resume web
	has_leases alpha
	gl beta run --name again --disk "$d/a" -- true
}

@test "a paused guest whose disk was only shared meanwhile resumes" {
	guest alpha web --disk "$d/a,shared"
	gl alpha pause web
	gl beta run --name reader --disk "$d/a,shared" -- true
	gl alpha resume web
	holds alpha web "$d/a,SH"
}

# sharer NAME COUNT: for each of $world/go.1 and on that comes, a guest there shares disks a and b for a moment.
sharer()
{
	launch "$1" sharer sh -c '
		for round in $(seq "$1"); do
			until test -e "$2.$round"; do :; done
			"$3" run --quiet --name sharer --disk "$4/a,shared" --disk "$4/b,shared" -- sleep 0.2 || exit
			: >"$2.$round.$5"
		done' sh "$2" "$world/go" "$GUESTLOCK" "$d" "$1"
}

shared_by_all()
{
	test -e "$world/go.$1.alpha" && test -e "$world/go.$1.beta" && test -e "$world/go.$1.gamma"
}

# has_lease NAME LEASE: as leases_of shows it.
has_lease()
{
	leases_of "$1" | grep -qxF "$2"
}

is_traced()
{
	grep -q "^TracerPid:.*[1-9]" "/proc/$1/status"
}

@test "guests of three hosts begin to share a disk at the same instant: one that was paused meanwhile resumes" {
	local count=${SHARERS:-6} host round

	host_begin gamma 3
	gl gamma run --quiet -- true
	for host in alpha beta gamma; do
		sharer "$host" "$count"
	done
	guest alpha web --disk "$d/a,shared" --disk "$d/b,shared"
	for ((round = 1; round <= count; round++)); do
		gl alpha pause web
		: >"$world/go.$round"
		eventually shared_by_all "$round"
		gl alpha resume web
	done
	holds alpha web "$d/a,SH" "$d/b,SH"
	for host in alpha beta gamma; do
		test "$(job_status "$host" sharer)" = 0
	done
	host_end gamma
	rm -rf "$world/gamma"
}

@test "a guest resumes while one of another host begins to share its disk, and has not noted that yet" {
	guest alpha web --disk "$d/a,shared"
	gl alpha pause web
	gl beta run --quiet -- true
	strace -f -o "$world/slow" -P "$(realpath "$leases")/$(key_of "$d/a").note" -e trace=pwrite64 \
		-e inject=pwrite64:delay_enter=1000000 -p "$(keeper_pids beta worker)" 3>&- &
	slow=$!
	eventually is_traced "$(keeper_pids beta worker)"
	launch beta reader "$GUESTLOCK" run --quiet --name reader --disk "$d/a,shared" -- true
	eventually has_lease beta "$(lease_of "$d/a"),SH"
	gl alpha resume web
	holds alpha web "$d/a,SH"
	test "$(job_status beta reader)" = 0
	kill "$slow"
	wait "$slow" || :
	grep -q "pwrite64(.*DELAYED" "$world/slow"
}

@test "shared disks go together on both hosts, and nothing else goes with them" {
	guest alpha left --disk "$d/a,shared"
	guest beta right --disk "$d/a,shared"
	guest beta third --disk "$d/a,shared"
	holds alpha left "$d/a,SH"
	holds beta right "$d/a,SH"
	holds beta third "$d/a,SH"
	refused alpha 1 run --name alone --disk "$d/a" -- true
	guest_end alpha left
	refused alpha 1 run --name alone --disk "$d/a" -- true
	says right
	guest_end beta right
	refused beta 1 run --name alone --disk "$d/a" -- true
	says third
	guest_end beta third
	guest alpha alone --disk "$d/a"
	refused beta 1 run --name right --disk "$d/a,shared" -- true
	says alone
}

@test "a disk that is plugged in is locked, and refused when it is somebody's" {
	guest alpha web --disk "$d/a"
	guest beta other --disk "$d/b"
	gl alpha attach web --disk "$d/c"
	holds alpha web "$d/a" "$d/c"
	refused alpha 1 attach web --disk "$d/b"
	says other beta
	holds alpha web "$d/a" "$d/c"
	refused beta 1 attach other --disk "$d/c"
	gl alpha attach web --disk "$d/c"
	holds alpha web "$d/a" "$d/c"
}

@test "one of four disks is unplugged: exactly its lease is released" {
	guest alpha web --disk "$d/a" --disk "$d/b" --disk "$d/c" --disk "$d/d"
	gl alpha detach web --disk "$d/b"
	holds alpha web "$d/a" "$d/c" "$d/d"
	gl beta run --name other --disk "$d/b" -- true
	refused beta 1 run --name other --disk "$d/a" -- true
	gl alpha detach web --disk "$d/b"
	holds alpha web "$d/a" "$d/c" "$d/d"
	gl alpha pause web
	gl alpha detach web --disk "$d/d"
	gl alpha resume web
	holds alpha web "$d/a" "$d/c"
}

@test "9 disks: plugged in and out one by one, and each of them is protected" {
	local disk disks=() words=()

	for disk in 1 2 3 4 5 6 7 8; do
		disks+=("$d/nine$disk")
		words+=(--disk "$d/nine$disk")
	done
	images nine{1..9}
	guest alpha web "${words[@]}"
	gl alpha attach web --disk "$d/nine9"
	holds alpha web "${disks[@]}" "$d/nine9"
	refused beta 1 run --name copy --disk "$d/nine9" -- true
	gl alpha detach web --disk "$d/nine3"
	gl alpha detach web --disk "$d/nine9"
	holds alpha web "$d/nine1" "$d/nine2" "$d/nine4" "$d/nine5" "$d/nine6" "$d/nine7" "$d/nine8"
}

@test "20 disks: taken, given up while paused, and taken again, all or none" {
	local disk disks=() words=()

	for disk in {1..20}; do
		disks+=("$d/many$disk")
		words+=(--disk "$d/many$disk")
	done
	images many{1..20}
	guest alpha web "${words[@]}"
	holds alpha web "${disks[@]}"
	gl alpha pause web
	has_leases alpha
	guest beta other --disk "$d/many20"
	refused alpha 1 resume web
	has_leases alpha
	guest_end beta other
	# What it has in memory is older than what the other one may have written to that disk.
	refused alpha 65 resume web
	gl alpha detach web --disk "$d/many20"
	gl alpha resume web
	holds alpha web "${disks[@]:0:19}"
	guest_end alpha web
	refused_while_held "${words[@]}"
}

# refused_while_held WORD...: one of twenty is another's, and nothing is taken.
refused_while_held()
{
	guest beta other --disk "$d/many13"
	refused alpha 1 run --name web "$@" -- true
	says many13 other
	has_leases alpha
	holds beta other "$d/many13"
}

@test "10 disks, and the lease of the last is a program's that no note names: the others are as if never taken" {
	local disks words=() first last key

	images ten{0..9}
	# In the order in which leases are taken, which is that of their keys. The guest's own lease moves them by one at most.
	mapfile -t disks < <(for disk in "$d"/ten{0..9}; do echo "$(key_of "$disk") $disk"; done | LC_ALL=C sort | cut -d ' ' -f 2)
	first=${disks[0]} last=${disks[9]}
	for disk in "${disks[@]}"; do
		words+=(--disk "$disk")
	done
	# Given up while it lived: so the notes name nobody, and nothing but the leases themselves tells who has them.
	guest alpha past "${words[@]}"
	gl alpha detach past "${words[@]}"
	guest_end alpha past
	guest alpha waits --disk "$first"
	guest alpha reads --disk "${disks[1]},shared"
	gl alpha pause waits
	gl alpha pause reads
	key=$(key_of "$last")
	launch alpha holder sanlock client command -c /bin/sleep 600
	eventually sanlock_on alpha client acquire -r "guestlock:$key:$leases/$key.lease:0" -p "$(job_pid alpha holder)"
	refused beta 1 run --name many "${words[@]}" -- true
	says "$last" alpha
	has_leases beta
	refused alpha 1 run --name many "${words[@]}" -- true
	says "$last" alpha
	has_leases alpha "$leases/$key.lease"
	refused beta 1 run --name reader --disk "$last,shared" -- true
	says "$last" alpha
	gl alpha resume waits
	gl alpha resume reads
	holds alpha waits "$first"
	holds alpha reads "${disks[1]},SH"
	job_end alpha holder KILL
	guest_end alpha waits
	guest_end alpha reads
	eventually gl beta run --quiet --name many "${words[@]}" -- true
}

# The last 64 bytes of a disk's note.
note_end()
{
	tail -c 64 "$leases/$(key_of "$1").note" | tr -d '\n'
}

@test "a disk that a program had in between, of which no note tells: plugged in, and guarded as any other" {
	local lease

	guest alpha web
	gl beta run --quiet -- true
	# The lease is made, and gets a note.
	gl alpha attach web --disk "$d/a"
	gl alpha detach web --disk "$d/a"
	lease="guestlock:$(key_of "$d/a"):$(lease_of "$d/a"):0"
	launch beta holder sanlock client command -c /bin/sleep 600
	eventually sanlock_on beta client acquire -r "$lease" -p "$(job_pid beta holder)"
	refused alpha 1 attach web --disk "$d/a"
	job_end beta holder KILL
	eventually gl alpha attach web --disk "$d/a"
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web" alpha
	gl alpha pause web
	gl alpha resume web
	gl alpha pause web
	gl beta run --quiet --name copy --disk "$d/a" -- true
	refused alpha 65 resume web
}

@test "who leaves says so in the note; what an earlier one said there means nothing" {
	local left

	guest alpha web --disk "$d/a"
	test -z "$(note_end "$d/a")"
	gl alpha detach web --disk "$d/a"
	left=$(note_end "$d/a")
	[[ "$left" == "left "* ]]
	gl alpha attach web --disk "$d/a"
	test "$(note_end "$d/a")" != "$left"
	# As if the write of the new note had not reached its end.
	printf '%-63s\n' "$left" | dd of="$leases/$(key_of "$d/a").note" bs=1 seek=$(($(stat -c %s "$leases/$(key_of "$d/a").note") - 64)) \
		conv=notrunc status=none
	[[ "$(note_end "$d/a")" == "$left"* ]]
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web" alpha
	gl alpha pause web
	gl beta run --quiet --name copy --disk "$d/a" -- true
	refused alpha 65 resume web
}

@test "who waits gets the disk when the other host gives it up" {
	guest alpha web --disk "$d/a"
	launch beta waiter guestlock run --wait 30 --name waiter --disk "$d/a" -- sh -c 'echo running; exec sleep 600'
	sleep 1
	test ! -e "$world/beta/jobs/waiter.status"
	guest_end alpha web
	eventually guest_is_settled beta waiter
	holds beta waiter "$d/a"
}

@test "a guest migrates: as there is no handover, the source gives up first" {
	local uuid=11111111-2222-4333-8444-555555555556 state

	guest alpha web --uuid "$uuid" --disk "$d/a"
	refused alpha 69 migrate prepare web
	says handover pause
	refused beta 69 run --incoming --uuid "$uuid" --name web --disk "$d/a" -- true
	says handover
	holds alpha web "$d/a"
	refused beta 1 run --uuid "$uuid" --name web --disk "$d/a" -- true
	says "guest web" alpha
	state=$(gl alpha pause web)
	has_leases alpha
	gl beta run --quiet --name other --disk "$d/a,shared" -- true
	guest beta web --uuid "$uuid" --disk "$d/a" --state "$state"
	holds beta web "$d/a"
	refused alpha 1 resume web
	guest_end beta web
	# It may have written.
	refused alpha 65 resume web
	refused beta 65 run --uuid "$uuid" --disk "$d/a" --state "$state" -- true
	has_leases alpha
	has_leases beta
}
