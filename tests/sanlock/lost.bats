#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A host loses its storage, and sanlock has guests paused or powered off before it would kill them. The daemons' clocks run
# ten times as fast: with an I/O timeout of 4 s a guest is acted on after 32 s without storage, which last 3.2 s here, and
# killed 40 s later.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	: "${GUESTLOCK_LOSS_PROGRAM:?is the program to test}"
	world_begin speed=10 io_timeout=4 file_system=yes
	test -n "${world_missing-}" || {
		make_program
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
		gl alpha run --quiet --name first -- true
		gl beta run --quiet --name first -- true
	}
}

# What is fast and broken about the daemon is not to be about the program that it calls.
make_program()
{
	{
		echo '#!/bin/bash'
		echo 'ulimit -S -f unlimited'
		echo 'unset LD_PRELOAD FAKETIME DONT_FAKE_MONOTONIC FAKETIME_NO_CACHE'
		printf 'echo "$*" >>%q\nexec %q "$@" >>%q 2>&1\n' "$world/lost.called" "$GUESTLOCK_LOSS_PROGRAM" "$world/lost.output"
	} >"$world/lost"
	chmod +x "$world/lost"
	export GUESTLOCK_LOSS_PROGRAM=$world/lost
}

# was_called ACTION: once, for the guest web of alpha.
was_called()
{
	test "$(cat "$world/lost.called")" = "$world/alpha/run $(property alpha web uuid) $(property alpha web instance) $1 40" || {
		cat "$world/lost.called" "$world/lost.output"
		return 1
	}
}

@test "pause: the guest is stopped and lives, and resumes when the storage is back" {
	local pid

	rm -f "$world"/lost.*
	guest alpha web --disk "$d/a" --on-lock-loss pause
	pid=$(property alpha web pid)
	storage_lost alpha
	eventually is_state alpha web paused
	grep -q '^State:.T' "/proc/$pid/status"
	was_called pause
	# Long after it would have been killed.
	sleep 6
	grep -q '^State:.T' "/proc/$pid/status"
	storage_back alpha
	eventually gl alpha resume web
	is_state alpha web running
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	# Once more.
	storage_lost alpha
	eventually is_state alpha web paused
	sleep 6
	grep -q '^State:.T' "/proc/$pid/status"
	test "$(wc -l <"$world/lost.called")" = 2
	storage_back alpha
	eventually gl alpha resume web
	holds alpha web "$d/a"
	guest_end alpha web
}

@test "poweroff: the guest is killed by us, and not by sanlock, and its disk is free elsewhere in the end" {
	local pid began=$SECONDS

	rm -f "$world"/lost.*
	guest alpha web --disk "$d/a" --on-lock-loss poweroff
	pid=$(property alpha web pid)
	storage_lost alpha
	eventually test -s "$world/lost.called"
	eventually is_gone "$pid"
	eventually grep -q "is powered off" "$world/lost.output"
	storage_back alpha
	until gl beta run --quiet --name copy --disk "$d/a" -- true 2>/dev/null; do
		((SECONDS - began < 60))
		sleep 0.2
	done
}

@test "pause: while the storage of the leases hangs, the lease is given up all the same, and noted never" {
	local pid

	rm -f "$world"/lost.*
	guest alpha web --disk "$d/a" --on-lock-loss pause
	pid=$(property alpha web pid)
	fsfreeze -f "$leases"
	: >"$world/frozen"
	eventually is_state alpha web paused
	grep -q '^State:.T' "/proc/$pid/status"
	was_called pause
	# Long after it would have been killed.
	sleep 6
	grep -q '^State:.T' "/proc/$pid/status"
	thaw
	eventually gl alpha resume web
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web"
	guest_end alpha web
	eventually gl beta run --quiet --name copy --disk "$d/a" -- true
}

@test "a guest that has ended meanwhile is said to be dead, not paused" {
	local uuid instance

	rm -f "$world"/lost.*
	guest alpha web --disk "$d/a" --on-lock-loss pause
	uuid=$(property alpha web uuid)
	instance=$(property alpha web instance)
	guest_end alpha web
	run on_host alpha "$GUESTLOCK_LOSS_PROGRAM" "$world/alpha/run" "$uuid" "$instance" pause 40
	test -e "$world/lost.output"
	run ! grep -q "is paused" "$world/lost.output"
}

thaw()
{
	test ! -e "$world/frozen" || {
		fsfreeze -u "$leases"
		rm -f "$world/frozen"
	}
}

teardown()
{
	test -n "${world-}" || return 0
	thaw
	storage_back alpha
	test -n "${BATS_TEST_COMPLETED-}" || {
		tail "$world"/lost.* || :
		world_explain
	}
	hosts_settle
}
