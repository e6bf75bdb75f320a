#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# run and signals: passed on, not lost, and the guest outlives its supervisor.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

# A guest that writes the names of the signals it gets to $dir/got, and ends with 7 at TERM.
listener()
{
	cat >"$dir/listener" <<-'END'
		#!/bin/bash
		for name in INT QUIT HUP USR1 USR2; do
			trap "echo $name >>'$GUESTLOCK_TEST_MARK/got'" $name
		done
		trap "echo TERM >>'$GUESTLOCK_TEST_MARK/got'; exit 7" TERM
		echo ready >"$GUESTLOCK_TEST_MARK/ready"
		while :; do
			sleep 0.05
		done
	END
	chmod +x "$dir/listener"
	begin listener "$@" -- "$dir/listener"
	eventually test -e "$dir/ready"
}

got()
{
	grep -qx "$1" "$dir/got" 2>/dev/null
}

@test "signals are passed on, and the status comes back" {
	listener --disk "$disk"
	for name in HUP USR1 USR2 INT QUIT; do
		kill "-$name" "$supervisor"
		eventually got "$name"
	done
	kill -TERM "$supervisor"
	eventually got TERM
	ended "$supervisor" 7
	nothing_taken
}

@test "a guest that dies of a signal that was passed on" {
	begin sleeper --disk "$disk"
	kill -TERM "$supervisor"
	ended "$supervisor" 143
	nothing_taken
}

@test "what a terminal sends to both comes once" {
	command -v script >/dev/null || skip "needs script"
	need_strace
	cat >"$dir/count" <<-'END'
		#!/bin/bash
		trap "echo INT >>'$GUESTLOCK_TEST_MARK/got'" INT
		echo ready >"$GUESTLOCK_TEST_MARK/ready"
		for i in {1..40}; do
			sleep 0.05
		done
	END
	chmod +x "$dir/count"
	mkfifo "$dir/keys"
	env --default-signal=INT,QUIT script -qec "strace -f -o $dir/trace -e trace=none -e signal=INT \
		$GUESTLOCK run --name count -- $dir/count" /dev/null <"$dir/keys" >"$dir/typed" 2>&1 3>&- &
	exec 7>"$dir/keys"
	eventually test -e "$dir/ready"
	pid=$(pid_of count)
	printf '\003' >&7
	eventually got INT
	eventually gone count
	exec 7>&-
	test "$(grep -c "^$pid .*SIGINT.*SI_KERNEL" "$dir/trace")" = 1
	test "$(grep -c "^$pid .*SIGINT.*SI_USER" "$dir/trace")" = 0
}

@test "what was ignored stays ignored, in both" {
	(
		trap '' HUP
		exec "$GUESTLOCK" run --name nohup --disk "$disk" -- sleep 300
	) >/dev/null 2>&1 3>&- &
	supervisor=$!
	eventually has nohup state running
	kill -HUP "$supervisor"
	sleep 0.2
	kill -HUP "$(pid_of nohup)"
	sleep 0.2
	has nohup life alive
	kill -0 "$supervisor"
}

@test "kill -9 of run: the guest lives on under its locks, and everybody knows" {
	begin orphaned --disk "$disk"
	pid=$(pid_of orphaned)
	kill -KILL "$supervisor"
	wait "$supervisor" || :
	has orphaned life alive
	test "$(pid_of orphaned)" = "$pid"
	kill -0 "$pid"
	run -1 --separate-stderr gl run --disk "$disk" -- true
	contains "$stderr" orphaned
	run -1 other_host run --disk "$disk" -- true
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.alive, .released, .failed]' <<<"$output")" = "[1,0,0]"
	kill -KILL "$pid"
	eventually has orphaned life dead
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.alive, .released, .failed]' <<<"$output")" = "[0,1,0]"
	nothing_taken
}

@test "kill -9 of run and of its guest: the next start needs no help" {
	begin killed --disk "$disk"
	pid=$(pid_of killed)
	kill -KILL "$supervisor" "$pid"
	wait "$supervisor" || :
	eventually gl -q run --disk "$disk" -- true
}

@test "SIGTERM while waiting: run ends, and nothing is left" {
	begin first --disk "$disk"
	background "$GUESTLOCK" run --name waiting --wait 60 --disk "$disk" -- touch "$dir/ran"
	eventually grep -q "waiting up to" "$dir/background"
	kill -TERM "$supervisor"
	ended "$supervisor" 143
	gone waiting
	test "$(holder "$disk")" = first
	test ! -e "$dir/ran"
}

@test "SIGTERM at any moment of a start is not lost" {
	for delay in 0.00{1..9} 0.0{10..60..5}; do
		"$GUESTLOCK" -q run --name early --disk "$disk" -- sleep 300 2>/dev/null 3>&- &
		supervisor=$!
		sleep "$delay"
		kill -TERM "$supervisor"
		ended "$supervisor" 143
		if ! gone early && ! has early life dead; then
			echo "after $delay s the guest lives on" >&2
			return 1
		fi
		eventually gl -q run --disk "$disk" -- true
	done
}

@test "SIGTERM between the guest's start and its supervision is passed on" {
	need_strace
	strace -o "$dir/trace" -e trace=sendto -e inject=sendto:delay_exit=1500000 \
		"$GUESTLOCK" run --name late --disk "$disk" -- sleep 300 >/dev/null 2>&1 3>&- &
	tracer=$!
	eventually has late state running
	sleep 0.3
	kill -TERM "$(pgrep -P "$tracer")"
	ended "$tracer" 143
	gone late
}

@test "SIGTSTP stops both, SIGCONT continues both" {
	begin stopped --disk "$disk"
	kill -TSTP "$supervisor"
	eventually in_state "$supervisor" T
	eventually in_state "$(pid_of stopped)" T
	kill -CONT "$supervisor"
	eventually in_state "$supervisor" S
	eventually in_state "$(pid_of stopped)" S
}

in_state()
{
	test "$(awk '/^State:/ { print $2 }' "/proc/$1/status")" = "$2"
}

@test "SIGCONT does not continue a guest that is paused" {
	begin paused --disk "$disk"
	gl pause paused >/dev/null
	kill -CONT "$supervisor"
	sleep 0.3
	in_state "$(pid_of paused)" T
	gl resume paused
	eventually in_state "$(pid_of paused)" S
}

@test "a guest that was stopped with its terminal, paused, and continued there runs when it is resumed" {
	begin web --disk "$disk"
	kill -TSTP "$supervisor"
	eventually in_state "$(pid_of web)" T
	gl pause web >/dev/null
	kill -CONT "$supervisor"
	eventually in_state "$supervisor" S
	in_state "$(pid_of web)" T
	gl resume web
	eventually in_state "$(pid_of web)" S
}
