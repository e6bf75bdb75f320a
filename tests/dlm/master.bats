#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The master of a resource stands still or loses its power while it is asked: who asked has an answer or a reason in time,
# and leaves nothing behind.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 3 memory=192 token=8000
}

setup()
{
	cluster_settle
	guests_prepare
}

teardown()
{
	cluster_explain
	guests_end
}

teardown_file()
{
	cluster_end
}

# Node 2 has nothing under way, and no lock but of its guests: so many.
nothing_is_left()
{
	eventually 60 has_locks "$1" || {
		on 2 dlm_tool lockdump guestlock
		on 2 cat /sys/kernel/debug/dlm/guestlock_waiters
		on_for 10 2 'cat /sys/kernel/debug/dlm/guestlock_locks; ls /run/guestlock/*; guestlock list'
		return 1
	}
}

has_locks()
{
	test "$(on_for 20 2 'grep -c . /sys/kernel/debug/dlm/guestlock_waiters')" = 0 &&
		test "$(on 2 dlm_tool lockdump guestlock | grep -v '"guestlock.format"' | grep -c '^id')" = "$1"
}

# hold_worker: each request that the worker of node 2 sends waits for a second before it goes.
hold_worker()
{
	launch_on 2 tracer "strace -f -qq -o /run/trace -P /dev/dlm_guestlock -e trace=write -e inject=write:delay_enter=1000000 -p $(keeper_pids 2 worker)"
	eventually 20 on_for 10 2 'grep -q "^TracerPid:.*[1-9]" /proc/$(pidof guestlock-keeper | cut -d" " -f1)/status || grep -q "^TracerPid:.*[1-9]" /proc/$(pidof guestlock-keeper | cut -d" " -f2)/status'
}

let_worker_go()
{
	on_for 10 2 'kill $(pidof strace)' || :
}

# asks NAME: what asks of node 2 for /srv/a.img.
asks()
{
	case $1 in
	holders) echo 'guestlock holders --timeout 6 /srv/a.img' ;;
	run) echo 'guestlock run --timeout 6 --disk /srv/a.img -- true' ;;
	reap) echo 'guestlock reap --timeout 6' ;;
	esac
}

@test "the holder's host loses its power as it is asked about: its guest can be started elsewhere" {
	for word in holders run; do
		start_guest 1 vm /srv/a.img
		can_start 2 /srv/b.img
		hold_worker
		launch_on 2 asked "$(asks "$word")"
		sleep 0.5
		node_kill 1
		job_status 2 asked 60
		let_worker_go
		eventually 90 can_start 2 /srv/a.img
		nothing_is_left 0
		node_boot 1
		guests_prepare
	done
}

@test "the master stands still as it is asked: nobody's request is left, and everybody can have the disk" {
	start_guest 1 paused /srv/a.img
	on 1 guestlock pause paused >/dev/null
	on_for 40 1 'guestlock run --disk /srv/a.img,shared -- true'
	for word in holders run reap; do
		can_start 2 /srv/b.img
		hold_worker
		launch_on 2 asked "$(asks "$word")"
		sleep 0.5
		node_freeze 1
		job_status 2 asked 60
		node_thaw 1
		let_worker_go
		nothing_is_left 0
		eventually 30 can_start 2 /srv/a.img
		eventually 30 can_start 1 /srv/a.img
	done
}

# The lock of the members' common record: node 1 is its master, for it was there first.
format()
{
	on_for 10 "$1" "grep -A4 guestlock.format /sys/kernel/debug/dlm/guestlock"
}

@test "the master of the members' common record dies as a worker starts: it is kept, and hosts can join" {
	start_guest 1 one /srv/a.img
	start_guest 2 two /srv/b.img
	start_guest 3 three /srv/c.img
	format 1 | grep -q 'Master'
	for who in worker both; do
		node_freeze 1
		keeper_kill 2 "$who" KILL
		launch_on 2 again 'guestlock list'
		sleep 3
		node_kill 1
		eventually 60 can_start 2 /srv/d.img
		eventually 60 can_start 3 /srv/new.img
		test "$(holder 2 /srv/b.img)" = "two exclusive"
		# Who begins anew reads the record, as it was.
		keeper_kill 3 worker KILL
		eventually 60 can_start 3 /srv/new.img
		test "$(holder 3 /srv/c.img)" = "three exclusive"
		node_boot 1
		guests_prepare
		can_start 1 /srv/a.img
	done
	# One whose disks are named in another way is refused still.
	on_for 60 1 'guestlock leave'
	run on_for 60 1 'guestlock -o guestlock.disk_identity=path run --timeout 5 --disk /srv/a.img -- true'
	echo "$output"
	test "$status" != 0
	[[ $output == *"disk_identity"* ]]
}

@test "the same when it dies as a host joins" {
	start_guest 1 one /srv/a.img
	start_guest 3 three /srv/c.img
	launch_on 2 joins 'guestlock run --timeout 40 --disk /srv/b.img -- true'
	eventually 30 on_for 10 2 'test -e /sys/kernel/dlm/guestlock'
	node_kill 1
	eventually 90 can_start 2 /srv/b.img
	eventually 60 can_start 3 /srv/new.img
	test "$(holder 3 /srv/c.img)" = "three exclusive"
}
