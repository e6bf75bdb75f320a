#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# release, adopt, reap and reap --follow.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

orphan()
{
	begin "$@"
	pid=$(pid_of "$1")
	kill -KILL "$supervisor"
	wait "$supervisor" || :
}

@test "release of a living guest is refused: 77; with --force it is done" {
	begin web --disk "$disk"
	run -77 --separate-stderr gl release web
	is_message "$stderr"
	contains "$stderr" force
	test "$(holder "$disk")" = web
	run -0 gl release web --force
	nothing_taken
	kill -0 "$supervisor"
}

@test "release of a dead guest" {
	orphan web --disk "$disk"
	kill -KILL "$pid"
	eventually has web life dead
	run -0 gl release web
	nothing_taken
	run -66 gl release web
}

@test "release of a damaged record's guest, by uuid, with force" {
	orphan web --disk "$disk"
	uuid=$(property web uuid)
	echo damage >"$dir/run/guests/$uuid"
	run -65 --separate-stderr gl release "$uuid"
	is_message "$stderr"
	kill -KILL "$pid"
}

@test "release --orphan: a lock whose record is gone" {
	orphan web --disk "$disk"
	rm "$dir/run/guests/$(property web uuid)"
	run -1 gl run --disk "$disk" -- true
	run -0 --separate-stderr gl reap --json
	test "$(jq '.orphans > 0' <<<"$output")" = true
	is_message "$stderr"
	key=$(gl check "$disk" --json | jq -r '.resources[0].key')
	contains "$stderr" "$key"
	run -77 --separate-stderr gl release --orphan "$key"
	is_message "$stderr"
	run -77 gl release --orphan "$disk"
	run -0 gl release --orphan "$key" --force
	run -0 gl run --disk "$disk" -- true
	run -66 gl release --orphan "$key"
	run -66 gl release --orphan "$disk"
	run -66 gl release --orphan "$dir/missing"
	kill -KILL "$pid"
}

@test "release --orphan with a key that is none" {
	for key in x "" "../../etc/passwd" "$(printf 'a%.0s' {1..43})"; do
		run ! gl release --orphan "$key"
		[[ $status == 64 || $status == 66 ]]
	done
}

@test "adopt: a process that runs already" {
	sleep 300 3>&- &
	pid=$!
	run -0 --separate-stderr gl adopt "$pid" --name old --disk "$disk"
	[[ "$output" =~ ^[0-9a-f-]{36}$ ]]
	test "$(property old uuid)" = "$output"
	has old life adopted
	test "$(pid_of old)" = "$pid"
	run -1 --separate-stderr gl run --disk "$disk" -- true
	contains "$stderr" old
	kill -KILL "$pid"
	wait "$pid" || :
	run -0 gl run --disk "$disk" -- true
}

@test "adopt: a given uuid, JSON, a busy disk, no such process" {
	sleep 300 3>&- &
	pid=$!
	run -0 gl adopt "$pid" --uuid 6e6f6e65-0000-4000-8000-00000000000e --disk "$disk"
	test -z "$output"
	sleep 300 3>&- &
	other=$!
	run -1 gl adopt "$other" --name other --disk "$disk"
	gone other
	run -0 gl adopt "$other" --name other --disk "$dir/second.img" --json
	test "$(jq -r .guest <<<"$output")" = "$(property other uuid)"
	kill -KILL "$pid" "$other"
	wait "$pid" "$other" || :
	run -66 --separate-stderr gl adopt "$pid" --disk "$dir/third.img"
	is_message "$stderr"
	run -66 gl adopt 4194300 --disk "$dir/third.img"
	run -64 --separate-stderr gl adopt 1 --disk "$dir/third.img"
	contains "$stderr" "the first process"
	run -64 --separate-stderr gl adopt $$ --disk "$dir/third.img"
	contains "$stderr" "started this command"
	test -z "$(holder "$dir/third.img")"
}

@test "reap: the dead are released, the living are counted" {
	orphan dead --disk "$disk"
	kill -KILL "$pid"
	begin alive --disk "$dir/second.img"
	eventually has dead life dead
	run -0 --separate-stderr gl reap
	test "$(awk 'NF { print $1 }' <<<"$output" | tr '\n' ' ')" = "1 0 1 0 0 0 "
	gone dead
	has alive state running
	run -0 gl reap --json
	test "$(jq -c . <<<"$output")" = '{"released":0,"settled":0,"alive":1,"damaged":0,"orphans":0,"failed":0}'
}

@test "reap: a damaged record is set aside, the others are done" {
	orphan bad --disk "$disk"
	kill -KILL "$pid"
	bad=$(property bad uuid)
	orphan dead --disk "$dir/second.img"
	kill -KILL "$pid"
	eventually has dead life dead
	truncate -s 30 "$dir/run/guests/$bad"
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.released, .damaged]' <<<"$output")" = "[1,1]"
	contains "$stderr" "$bad"
	gone dead
	gone "$bad"
	test "$(find "$dir/run/damaged" -type f | wc -l)" = 1
}

@test "reap: what happened to a lock behind its guest's back is noticed" {
	orphan web --disk "$disk" --disk "$dir/second.img"
	key=$(gl show web --json | jq -r --arg disk "$disk" ".. | objects | select(.name? == \$disk) | .key" | head -n 1)
	entry=$dir/state/fcntl/keys/$key
	for _ in 1 2; do
		run -0 --separate-stderr gl reap --json
		test "$(jq -c . <<<"$output")" = '{"released":0,"settled":0,"alive":1,"damaged":0,"orphans":0,"failed":0}'
		test -z "$stderr"
	done
	sleep 0.1
	echo nonsense >"$entry"
	run --separate-stderr gl reap --json
	test "$(jq .orphans <<<"$output")" = 1
	contains "$stderr" "$key cannot be read"
	rm "$entry"
	run --separate-stderr gl reap --json
	contains "$stderr" "had vanished from the backend and were taken again"
	test "$(jq .settled <<<"$output")" = 1
	run -1 other_host run --disk "$disk" -- true
	kill -KILL "$pid"
}

@test "reap: a record of a newer version stays where it is" {
	orphan later --disk "$disk"
	later=$(property later uuid)
	sed -i 's/^version=1$/version=2/' "$dir/run/guests/$later"
	run -75 --separate-stderr gl reap --json
	test "$(jq -c '[.damaged, .failed]' <<<"$output")" = "[0,1]"
	contains "$stderr" "a newer guestlock wrote it, in version 2"
	run -0 gl list
	contains "$output" "$later"
	sed -i 's/^version=2$/version=1/' "$dir/run/guests/$later"
	has later state running
	test ! -e "$dir/run/damaged" || test -z "$(ls "$dir/run/damaged")"
	kill -KILL "$pid"
}

@test "reap: without a run directory there is nothing to do" {
	run -0 gl reap --json
	test "$(jq -c 'add' <<<"$output")" = 0
}

# ---- --follow ----

follow()
{
	"$GUESTLOCK" reap --follow >"$dir/follow.out" 2>"$dir/follow.err" 3>&- &
	follower=$!
}

# within_a_second COMMAND...: in steps, for a machine that stands still meanwhile stands still for the other side, too.
within_a_second()
{
	local step

	for step in {1..50}; do
		"$@" && return
		sleep 0.02
	done
	echo "not in $step steps: $*" >&2
	return 1
}

record_gone()
{
	test ! -e "$dir/run/guests/$1"
}

@test "reap --follow: a death is settled within a second" {
	follow
	orphan web --disk "$disk"
	uuid=$(property web uuid)
	sleep 0.3
	kill -KILL "$pid"
	within_a_second record_gone "$uuid"
	test -z "$(holder "$disk")"
	eventually grep -q web "$dir/follow.err"
	kill -TERM "$follower"
	ended "$follower" 0
}

@test "reap --follow: guests that were there before, and those that died before" {
	orphan dead --disk "$disk"
	kill -KILL "$pid"
	orphan alive --disk "$dir/second.img"
	uuid=$(property alive uuid)
	follow
	eventually gone dead
	has alive state running
	kill -KILL "$pid"
	within_a_second record_gone "$uuid"
}

@test "reap --follow: the last process counts, not the first" {
	follow
	gl -q run --name daemon --disk "$disk" -- sh -c 'setsid sh -c "echo \$\$ >'"$dir/pid"'; exec sleep 300" & exit 0'
	eventually test -s "$dir/pid"
	uuid=$(property daemon uuid)
	# Longer than a new guest is looked at often.
	sleep 6
	test "$(holder "$disk")" = daemon
	kill -KILL "$(cat "$dir/pid")"
	within_a_second record_gone "$uuid"
	test -z "$(holder "$disk")"
}

@test "reap --follow: a lost tether is said" {
	follow
	begin closer --disk "$disk" -- bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd > 2)) && eval "exec $fd>&-"; done; sleep 300'
	eventually grep -q tether "$dir/follow.err"
	contains "$(grep tether "$dir/follow.err")" closer
}

# twenty_guests: so many, and all of them run.
twenty_guests()
{
	for i in {1..20}; do
		touch "$dir/disk$i"
		"$GUESTLOCK" -q run --name "guest$i" --disk "$dir/disk$i" -- sleep 300 >/dev/null 2>&1 3>&- &
		supervisors+=($!)
	done
	twenty()
	{
		test "$(gl list --json | jq '[.guests[] | select(.state == "running")] | length')" = 20
	}
	eventually twenty
}

twenty_deaths()
{
	kill -KILL "${supervisors[@]}"
	kill -KILL $(gl list --json | jq '.guests[].pid')
	none()
	{
		test -z "$(ls "$dir/run/guests")"
	}
	eventually none
}

@test "reap --follow: twenty deaths at once, and SIGINT ends it" {
	follow
	twenty_guests
	twenty_deaths
	kill -INT "$follower"
	ended "$follower" 0
}

@test "reap --follow: starts without a run directory, and notices it" {
	follow
	sleep 0.3
	orphan web --disk "$disk"
	uuid=$(property web uuid)
	sleep 0.4
	kill -KILL "$pid"
	within_a_second record_gone "$uuid"
}

@test "reap --follow: more guests than descriptors" {
	twenty_guests
	(ulimit -n 24; exec "$GUESTLOCK" reap --follow) >"$dir/follow.out" 2>"$dir/follow.err" 3>&- &
	follower=$!
	eventually grep -q "more guests than half of the descriptors" "$dir/follow.err"
	twenty_deaths
	run ! grep "Too many" "$dir/follow.err"
	kill -TERM "$follower"
	ended "$follower" 0
}

@test "reap --follow: inotify is used up" {
	command -v strace >/dev/null || skip "there is no strace"
	# Which is of no use under a tracer.
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
	strace -f -o /dev/null -e inject=inotify_init1:error=EMFILE "$GUESTLOCK" reap --follow >"$dir/follow.out" 2>"$dir/follow.err" 3>&- &
	follower=$!
	eventually grep -q "fs.inotify.max_user_instances" "$dir/follow.err"
	orphan web --disk "$disk"
	uuid=$(property web uuid)
	sleep 2
	kill -KILL "$pid"
	within_a_second record_gone "$uuid"
	test "$(grep -c inotify "$dir/follow.err")" = 1
	kill -TERM "$(pgrep -P "$follower" -x guestlock)"
	ended "$follower" 0
}
