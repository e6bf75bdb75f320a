#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program that closes the descriptor by which its guest is known to live.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

closer='for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd > 2)) && eval "exec $fd>&-"; done; sleep 300'

@test "run notices it, and says so" {
	begin closer --disk "$disk" -- bash -c "$closer"
	eventually grep -q "closer.*tether" "$dir/closer.err"
	sleep 1.5
	test "$(grep -c "closer.*tether" "$dir/closer.err")" = 1
}

@test "list and show say so" {
	begin closer --disk "$disk" -- bash -c "$closer"
	eventually has closer life untethered
	contains "$(gl list)" untethered
	contains "$(gl show closer)" untethered
}

@test "it keeps its locks while its process lives, and gets no new ones: 69" {
	begin closer --disk "$disk" -- bash -c "$closer"
	eventually has closer life untethered
	run -1 gl run --disk "$disk" -- true
	run -69 --separate-stderr gl attach closer --disk "$dir/second.img"
	is_message "$stderr"
	test -z "$(holder "$dir/second.img")"
	kill -KILL "$(pid_of closer)"
	ended "$supervisor" 137
	nothing_taken
}
