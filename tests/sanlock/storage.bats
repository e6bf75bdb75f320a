#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The files of leases: made by several hosts at once, damaged, removed, on storage that is full, read-only or hangs; and
# leases that an administrator made.
# Of bats, where each test is a subshell.
# shellcheck disable=SC2154,SC2030,SC2031
load hosts

setup_file()
{
	world_begin file_system=yes
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
	}
}

teardown()
{
	test -n "${world-}" || return 0
	test -n "${BATS_TEST_COMPLETED-}" || world_explain
	thaw
	writable
	rm -f "$leases/filler"
	hosts_settle
	# Damage of this test is not for the next one.
	find "$leases" -name '*.lease' -delete
	find "$leases" -name '*.note' -delete
}

freeze()
{
	fsfreeze -f "$leases"
	: >"$world/frozen"
}

thaw()
{
	test ! -e "$world/frozen" || {
		fsfreeze -u "$leases"
		rm -f "$world/frozen"
	}
}

writable()
{
	local host

	for host in $(hosts); do
		on_host "$host" mount -o remount,bind,rw "$leases" 2>/dev/null || :
	done
}

# ---- Made by several ----

@test "two hosts make everything at the same instant, and meet" {
	local round status1 status2

	for round in 1 2 3; do
		mkdir "$world/fresh$round"
		reconfigure alpha "lease_dir = $world/fresh$round" "lockspace = fresh$round"
		reconfigure beta "lease_dir = $world/fresh$round" "lockspace = fresh$round"
		launch alpha left guestlock run --quiet --name left --disk "$d/a" -- sh -c 'echo running; exec sleep 600'
		launch beta right guestlock run --quiet --name right --disk "$d/a" -- sh -c 'echo running; exec sleep 600'
		eventually guest_is_settled alpha left
		eventually guest_is_settled beta right
		status1=$(cat "$world/alpha/jobs/left.status" 2>/dev/null) || status1=runs
		status2=$(cat "$world/beta/jobs/right.status" 2>/dev/null) || status2=runs
		[[ "$status1 $status2" =~ ^("runs 1"|"1 runs")$ ]] || {
			echo "round $round: left $status1: $(job_output alpha left); right $status2: $(job_output beta right)"
			return 1
		}
		test -z "$(find "$world/fresh$round" -name '.new*')"
		end_guests alpha
		end_guests beta
		gl alpha leave
		gl beta leave
	done
}

@test "a host that is killed while it makes leases leaves nothing that stands in the way" {
	local turn round=0

	for turn in 0.01 0.02 0.03 0.04 0.05 0.06; do
		round=$((round + 1))
		images "made$round"
		launch alpha short guestlock run --quiet --name short --disk "$d/made$round" -- true
		sleep "$turn"
		keeper_kill alpha
		job_end alpha short KILL
		gl beta run --quiet --name other --disk "$d/made$round" -- true
	done
	gl beta unprovision --unused --age 0
	test -z "$(find "$leases" -name '.new*')"
}

# ---- Removed by guestlock ----

@test "unprovision removes the leases of images that are gone, and no others" {
	local gone there

	gl alpha run --quiet --name past --disk "$d/a" --disk "$d/d" -- true
	images e
	guest alpha web --disk "$d/b"
	guest beta shared --disk "$d/c,shared"
	guest beta paused --disk "$d/d"
	gl beta pause paused
	gl alpha run --quiet --name past --disk "$d/e" -- true
	gone=$(lease_of "$d/a")
	there=$(lease_of "$d/e")
	rm "$d/a" "$d/b" "$d/c" "$d/d"
	test -e "$gone"
	gl alpha unprovision --unused
	test -e "$gone"
	sleep 1.1
	gl alpha unprovision --unused --age 0
	test ! -e "$gone"
	test -e "$there"
	images a b c d
	holds alpha web "$d/b"
	holds beta shared "$d/c,SH"
	gl beta resume paused
	holds beta paused "$d/d"
	refused beta 1 run --name copy --disk "$d/b" -- true
	gl beta run --quiet --name again --disk "$d/a" -- true
	test -e "$gone"
}

@test "unprovision on one host while the other one starts guests: never two guests, and nothing fails" {
	local round

	for round in 1 2 3 4 5 6; do
		launch alpha cleaner guestlock --quiet unprovision --unused --age 0
		guest beta web --disk "$d/a"
		refused alpha 1 run --name copy --disk "$d/a" -- true
		job_status alpha cleaner
		holds beta web "$d/a"
		guest_end beta web
	done
}

# Who removes a lease has it for a moment, so that a start may find it busy; never does it find a file missing.
@test "unprovision removes the lease of a guest that starts at this moment: no start fails for that" {
	local job end=$((SECONDS + ${STRESS_SECONDS:-12})) starts=0

	for job in 1 2; do
		launch alpha "cleaner$job" bash -c 'until test -e "$1"; do "$GUESTLOCK" --quiet unprovision --unused --age 0; done' \
			- "$world/clean"
	done
	for job in 1 2 3; do
		launch beta "starter$job" bash -c 'until test -e "$1"; do
			"$GUESTLOCK" run --quiet --uuid "$2" --disk "$3" -- true || test $? = 1 || echo "failed"; echo; done' - "$world/clean" \
			"0d9c1f1e-6f0b-4a5c-9f2e-8e1f3a2b4c5$job" "$d/$(printf '%b' "\\x6$job")"
	done
	while ((SECONDS < end)); do
		sleep 1
	done
	touch "$world/clean"
	for job in 1 2 3; do
		job_status beta "starter$job"
		starts=$((starts + $(job_output beta "starter$job" | grep -c '^$')))
		[[ $(job_output beta "starter$job") != *failed* ]] || {
			job_output beta "starter$job" | grep -B 1 '^failed'
			return 1
		}
	done
	job_status alpha cleaner1
	job_status alpha cleaner2
	rm "$world/clean"
	echo "# $starts starts" >&3
	((starts > 20))
}

# ---- Damage ----

# is_refused NAME WORD...: a start with disk a fails with a reason, and takes nothing.
is_refused()
{
	local name=$1

	shift
	run gl "$name" run --name other --disk "$d/a" --disk "$d/b" -- true
	test "$status" != 0
	test "$status" != 1
	test "$status" != 70
	says "$d/a" "$@"
	has_leases "$name"
}

@test "a lease that was truncated, corrupted or emptied is never taken for free" {
	local lease

	gl alpha run --quiet --name past --disk "$d/a" -- true
	lease=$(lease_of "$d/a")
	cp "$lease" "$world/good"
	truncate -s 700 "$lease"
	is_refused alpha "$lease"
	is_refused beta "$lease"
	truncate -s 0 "$lease"
	is_refused alpha "$lease"
	truncate -s 1M "$lease"
	is_refused alpha "$lease"
	dd if="$world/good" of="$lease" conv=notrunc bs=1M status=none
	printf 'damaged' | dd of="$lease" conv=notrunc bs=1 seek=64 status=none
	is_refused alpha "$lease"
	# Put right by whoever can: it is had again.
	dd if="$world/good" of="$lease" conv=notrunc bs=1M status=none
	gl alpha run --quiet --name past --disk "$d/a" -- true
}

@test "another disk's lease in the place of this one is not taken" {
	local lease

	gl alpha run --quiet --name past --disk "$d/a" --disk "$d/b" -- true
	lease=$(lease_of "$d/a")
	dd if="$(lease_of "$d/b")" of="$lease" conv=notrunc bs=1M status=none
	is_refused alpha "$lease"
}

@test "a lease that is removed under a running guest: it is not had a second time" {
	local lease

	guest alpha web --disk "$d/a"
	lease=$(lease_of "$d/a")
	mv "$lease" "$world/lease"
	run gl alpha run --name twin --disk "$d/a" -- true
	((status != 0))
	says "$lease" missing
	run gl beta run --name copy --disk "$d/a" -- true
	((status != 0))
	says "$lease" missing
	test ! -e "$lease"
	test "$(property alpha web life)" = alive
	# Brought back, it is what it was.
	cp "$world/lease" "$lease"
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web" alpha
	guest_end alpha web
	eventually gl beta run --quiet --name copy --disk "$d/a" -- true
}

@test "a note that is damaged does not free the lease" {
	local note

	guest alpha web --disk "$d/a"
	note=$(lease_of "$d/a")
	note=${note%.lease}.note
	test -e "$note"
	echo 'no note at all' >"$note"
	run gl beta run --name copy --disk "$d/a" -- true
	((status != 0))
	says alpha
	rm "$note"
	run gl beta run --name copy --disk "$d/a" -- true
	((status != 0))
	says alpha
	guest_end alpha web
	gl beta run --quiet --name copy --disk "$d/a" -- true
}

@test "a paused guest whose note was lost is not resumed unproven" {
	local note

	guest alpha web --disk "$d/a"
	gl alpha pause web
	note=$(lease_of "$d/a")
	rm "${note%.lease}.note"
	refused alpha 65 resume web
	test "$(state alpha web)" = paused
}

# ---- Storage that does not do its work ----

@test "storage is read-only: said, and nothing is taken" {
	on_host alpha mount --bind "$leases" "$leases"
	on_host alpha mount -o remount,bind,ro "$leases"
	images readonly
	run gl alpha run --name other --disk "$d/readonly" -- true
	test "$status" = 73 || test "$status" = 74
	says "$leases"
	has_leases alpha
	on_host alpha umount "$leases"
	gl alpha run --quiet --name other --disk "$d/readonly" -- true
}

@test "storage is full: said, what is there works on, and nothing is half made" {
	gl alpha run --quiet --name past --disk "$d/a" -- true
	images full
	dd if=/dev/zero of="$leases/filler" bs=1M 2>/dev/null || :
	run gl alpha run --name other --disk "$d/full" -- true
	test "$status" = 73
	says "space"
	has_leases alpha
	test ! -e "$(lease_of "$d/full")"
	rm "$leases/filler"
	gl alpha run --quiet --name other --disk "$d/full" --disk "$d/a" -- true
}

@test "storage hangs: commands come to an end within their time, and all goes on afterwards" {
	local began

	guest alpha web --disk "$d/a"
	# Not for so long that the host loses its leases.
	freeze
	began=$EPOCHSECONDS
	run gl alpha --timeout 2 attach web --disk "$d/b"
	thaw
	((EPOCHSECONDS - began <= 8))
	test "$status" = 75 || test "$status" = 69
	eventually gl alpha attach web --disk "$d/b"
	holds alpha web "$d/a" "$d/b"
}

@test "storage hangs while a guest starts: it does not start, and nothing is left" {
	local began

	gl alpha run --quiet --name past --disk "$d/a" -- true
	freeze
	began=$EPOCHSECONDS
	run gl alpha --timeout 2 run --name other --disk "$d/a" -- touch "$world/ran"
	thaw
	((EPOCHSECONDS - began <= 8))
	test "$status" = 75 || test "$status" = 69
	test ! -e "$world/ran"
	eventually gl beta run --quiet --name copy --disk "$d/a" -- true
}

# ---- Sizes, and an administrator's own leases ----

@test "sectors of 4096 bytes" {
	mkdir "$world/big"
	reconfigure alpha "lease_dir = $world/big" "lockspace = big" "sector_size = 4096"
	reconfigure beta "lease_dir = $world/big" "lockspace = big" "sector_size = 4096"
	guest alpha web --disk "$d/a" --disk "$d/b,shared"
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web" alpha
	sanlock_on beta direct read_leader -Z 4096 -A 8M -r "big:$(key_of "$d/a"):$world/big/$(key_of "$d/a").lease:0" |
		grep -Eq '^sector_size +4096$'
	gl beta run --quiet --name reader --disk "$d/b,shared" -- true
	gl alpha pause web
	gl beta run --quiet --name copy --disk "$d/a" -- true
	refused alpha 65 resume web
	end_guests alpha
	gl alpha leave
	gl beta leave
}

# own_lockspace: an administrator's, on both hosts, with the resources one and two. The hosts have other ids there than
# in guestlock's: alpha that of beta.
own_lockspace()
{
	truncate -s 3M "$world/own"
	sanlock_on alpha direct init -s "own:0:$world/own:0" -o 1
	sanlock_on alpha direct init -r "own:one:$world/own:1048576" -o 1
	sanlock_on alpha direct init -r "own:two:$world/own:2097152" -o 1
	on_host beta timeout 30 sanlock client add_lockspace -s "own:7:$world/own:0" -o 1 &
	on_host alpha timeout 30 sanlock client add_lockspace -s "own:2:$world/own:0" -o 1
	wait $!
}

@test "leases of an administrator's own lockspace" {
	local one="one,lockspace=own,path=$world/own,offset=1048576" two="two,lockspace=own,path=$world/own,offset=2097152"

	own_lockspace
	launch alpha web guestlock run --name web --lease "$one" -- sh -c 'echo running; exec sleep 600'
	eventually guest_is_settled alpha web
	leases_of alpha | grep -qxF "$world/own:1048576"
	test "$(lease_owner beta "own:one:$world/own:1048576")" = 2
	refused beta 1 run --name copy --lease "$one" -- true
	says "guest web" "on alpha"
	gl alpha attach web --lease "$two"
	gl alpha detach web --lease "$one"
	test "$(leases_of alpha | grep -F "$world/own")" = "$world/own:2097152"
	gl beta run --quiet --name copy --lease "$one" -- true
	refused beta 1 run --name copy --lease "$two" -- true
	# What another program of this administrator has.
	launch beta holder sanlock client command -c /bin/sleep 600
	eventually sanlock_on beta client acquire -r "own:one:$world/own:1048576" -p "$(job_pid beta holder)"
	refused alpha 1 run --name other --lease "$one" -- true
	says "host id 7 of lockspace own"
	refused beta 1 run --name other --lease "$one" -- true
	job_end beta holder KILL
	eventually gl beta run --quiet --name other --lease "$one" -- true
	# Shared, by a guest of one host and a program of the other.
	gl alpha attach web --lease "$one,shared"
	launch beta reader sanlock client command -c /bin/sleep 600
	eventually sanlock_on beta client acquire -r "own:one:$world/own:1048576:SH" -p "$(job_pid beta reader)"
	refused beta 1 run --name other --lease "$one" -- true
	says "guest web" "on alpha"
	gl alpha detach web --lease "$one"
	refused alpha 1 attach web --lease "$one"
	says "host id 7 of lockspace own"
}

@test "leases of an administrator's own lockspace are found by reap, and freed by key like any others" {
	local one="one,lockspace=own,path=$world/own,offset=1048576" two="two,lockspace=own,path=$world/own,offset=2097152"
	local file key shared

	test -e "$world/own" || own_lockspace
	guest alpha web --lease "$one" --lease "$two,shared" --disk "$d/a"
	test "$(leases_of alpha | grep -F "$world/own")" = "$world/own:1048576"$'\n'"$world/own:2097152,SH"
	test "$(gl alpha --quiet reap --json | jq -c '[.orphans, .settled, .failed]')" = "[0,0,0]"
	key=$(key_named alpha web "own:$world/own:1048576:one")
	shared=$(key_named alpha web "own:$world/own:2097152:two")
	# Without its record nothing explains what the guest holds.
	file=$world/alpha/run/guests/$(property alpha web uuid)
	mv "$file" "$world/record"
	test "$(gl alpha --quiet reap --json | jq .orphans)" = 4
	output=$(<"$world/alpha/guestlock.log")
	says "holds lease:own:$world/own:1048576:one in mode exclusive" "release --orphan $key" "release --orphan $shared"
	refused alpha 77 release --orphan "$key"
	says "guest web" "on alpha"
	refused beta 77 release --orphan "$key" --force
	says "guest web" "on alpha"
	gl alpha release --orphan "$key" --force
	gl alpha release --orphan "$shared" --force
	! leases_of alpha | grep -F "$world/own"
	gl beta run --quiet --name other --lease "$one" --lease "$two" -- true
	mv "$world/record" "$file"
	kill -KILL "$(property alpha web pid)"
}

# key_named NAME GUEST TEXT: of the resource that is so called.
key_named()
{
	gl "$1" --quiet show "$2" --json | jq -r --arg identity "lease:$3" '.guests[0].resources[] | select(.identity == $identity) | .key'
}

@test "a lease that is not there, or of a lockspace that is not joined, is said" {
	run gl alpha run --name web --lease "one,lockspace=nowhere,path=$world/none,offset=0" -- true
	((status != 0))
	says nowhere
	truncate -s 1M "$world/blank"
	run gl alpha run --name web --lease "one,lockspace=guestlock,path=$world/blank,offset=0" -- true
	((status != 0))
	says "$world/blank"
	run gl alpha run --name web --lease "one,lockspace=guestlock,path=$world/blank,offset=77" -- true
	((status != 0))
	says offset
	has_leases alpha
}
