#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon, and the child that is going to be the guest, killed before one of the calls by which they change
# anything: the next daemon finds everything as it is. FULL=1: before each of them. And how often they call.
# shellcheck disable=SC2154,SC2086
load ../cli/helpers
load plugin

setup()
{
	cli_setup
	plugin_paths
	strace -o /dev/null true 2>/dev/null || skip "needs strace, and the right to use it"
	printf '%s\n' "plugin guestlock $plugin" "init -" "domain a $disk $dir/second.img" "start a" "suspend a" \
		"resume a" "attach a $dir/third.img" "detach a $dir/third.img" >"$dir/script"
}

# killed_at CALL NUMBER [OPTION]: did it get that far? With -f strace goes on for as long as the guest, so that it is
# ended after a while.
killed_at()
{
	local patience=60

	test -z "${3-}" || patience=5
	rm -rf "$dir/run" "$dir/state"
	timeout -k 1 "$patience" strace ${3-} -o /dev/null -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" \
		"$replay" "$dir/script" >"$dir/output" 2>&1 3>&- || :
	! grep -q '^start a: ok' "$dir/output" || ! grep -q '^detach a: ok' "$dir/output"
}

# Whatever the dead daemon had begun: nothing is damaged or pending, the guest has what its record says, and when its
# process is gone another one on another host gets everything.
all_is_known()
{
	local holds=no pid

	host alpha
	host beta
	ok beta domain b "$disk" "$dir/second.img" "$dir/third.img"
	on alpha list --json | jq -e '[.guests[] | select(.damage != null or .pending != "")] == []' >/dev/null
	if [[ " $(held alpha a) " == *:held:* ]]; then
		holds=yes
		no beta start b
	fi
	pid=$(on alpha list --json | jq -r '.guests[0].pid // empty')
	case $(state_of alpha a) in
	running)
		test "$holds" = yes
		ok alpha domain a "pid=$pid" "$disk" "$dir/second.img"
		ok alpha acquire a all
		ok alpha pause a
		ok alpha resume a
		;;
	paused)
		ok alpha domain a "pid=$pid" "$disk" "$dir/second.img"
		ok alpha acquire a all
		is alpha a running disk.img:held:exclusive second.img:held:exclusive
		;;
	esac
	end_guests
	ok beta start b
	ok beta kill b
	on beta reap
	on alpha reap
	host_end alpha
	host_end beta
	test "$(on alpha list --json | jq '.guests | length')" = 0
	test -z "$(who "$disk")"
}

# Every guest of alpha, and children that are none yet.
end_guests()
{
	local file pid

	for file in /proc/[0-9]*/environ; do
		pid=${file#/proc/}
		pid=${pid%/environ}
		if grep -qsF "GUESTLOCK_TEST_MARK=$dir" "$file" && [[ "$(cat "/proc/$pid/comm" 2>/dev/null)" == sleep ]]; then
			kill -KILL "$pid" 2>/dev/null || :
		fi
	done
}

# each_point CALL [OPTION]: kills before the first, the second, ... of them.
each_point()
{
	local number=1 step=4

	test -z "${FULL-}" || step=1
	while killed_at "$1" "$number" "${2-}"; do
		echo "killed before $1 number $number: $(tail -n 1 "$dir/output")"
		all_is_known
		number=$((number + step))
	done
	echo "$number"
	((number > 4))
}

@test "the daemon is killed before it writes something" {
	each_point pwrite64
}

@test "the daemon, or the child, is killed before it writes something" {
	each_point pwrite64 -f
}

# What a start costs is mostly files that are opened: the record by the child and by the daemon, and nothing twice.
@test "a start opens the record twice, and each disk once" {
	printf '%s\n' "plugin guestlock $plugin" "init -" "domain a $disk $dir/second.img" "start a" "kill a" >"$dir/script"
	timeout 60 strace -f -o "$dir/trace" -e trace=openat,openat2 "$replay" "$dir/script" >"$dir/output" 3>&-
	grep -q '^start a: ok' "$dir/output"
	test "$(grep -c 'openat(.*/run/guests/[0-9a-f]' "$dir/trace")" = 2
	test "$(grep -c "$dir/second.img" "$dir/trace")" = 1
}
