#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The descriptor of the lockspace must not be closed for the last time while requests are under way: in the kernel their
# locks would be damaged. So the guard has it whenever the worker has, whatever becomes of that one: a join that fails, an
# orderly end, a recovery of the lockspace. The first node is the master, and stands still meanwhile, for less than the
# cluster would mind.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 3 memory=224 token=60000
}

setup()
{
	cluster_settle
	guests_prepare
	start_guest 1 paused /srv/a.img
	on 1 guestlock pause paused >/dev/null
	start_guest 2 vm /srv/a.img
	on 2 guestlock pause vm >/dev/null
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

# A request of node 2 has no answer yet.
is_under_way()
{
	on 2 grep -q . /sys/kernel/debug/dlm/guestlock_waiters
}

nothing_is_under_way()
{
	! is_under_way
}

# keeps PID: that process of node 2 has the lockspace open.
keeps()
{
	on_for 10 2 "ls -l /proc/$1/fd | grep -q dlm_guestlock"
}

no_keeper()
{
	test -z "$(keeper_pids 2 both)"
}

# The guest has its disk again, and the kernel has nothing to say.
all_is_well()
{
	on_for 90 2 'guestlock resume --timeout 60 vm'
	test "$(holder 2 /srv/a.img)" = "vm exclusive"
	run on_for 20 2 'dmesg | grep "BUG:\|use-after-free\|general protection\|refcount_t"'
	echo "$output"
	test -z "$output"
	end_guest 2 vm
	eventually 40 no_locks 2
}

@test "the worker is killed and the next one cannot join for long: the guard has what is under way" {
	local guard worker

	guard=$(keeper_pids 2 guard)
	keeps "$guard"
	node_freeze 1
	launch_on 2 resume 'guestlock resume --timeout 60 vm'
	eventually 25 is_under_way
	worker=$(keeper_pids 2 worker)
	keeper_kill 2 worker KILL
	# Its own questions have no answer within the 20 s that it gives them.
	for _ in {1..7}; do
		sleep 4
		keeps "$guard"
	done
	test "$(keeper_pids 2 worker)" != "$worker"
	node_thaw 1
	job_status 2 resume 90
	test "$(keeper_pids 2 guard)" = "$guard"
	keeps "$guard"
	all_is_well
}

@test "SIGTERM while a request is under way whose caller is gone: both end when it is answered, and not before" {
	local guard

	guard=$(keeper_pids 2 guard)
	node_freeze 1
	launch_on 2 resume 'exec guestlock resume --timeout 60 vm'
	eventually 25 is_under_way
	on 2 kill -KILL "$(on 2 cat /run/jobs/resume.pid)"
	on 2 kill -TERM "$guard"
	sleep 14
	keeps "$guard"
	# Another one ends in the same way.
	keeper_kill 2 worker KILL
	sleep 5
	keeps "$guard"
	test "$(keeper_pids 2 guard)" = "$guard"
	node_thaw 1
	eventually 90 no_keeper
	nothing_is_under_way
	all_is_well
}

@test "the worker is killed while the lockspace recovers: the guard has it open, and does not hang" {
	local guard

	can_start 3 /srv/c.img
	guard=$(keeper_pids 2 guard)
	on_for 10 1 'kill -STOP $(pidof dlm_controld)'
	launch_on 3 leaves 'guestlock leave --timeout 20'
	eventually 30 on_for 10 2 'test "$(cat /sys/kernel/dlm/guestlock/recover_status)" = 0'
	keeper_kill 2 worker KILL
	run on_for 40 2 'timeout 30 guestlock run --timeout 8 --disk /srv/d.img -- true'
	test "$status" != 0
	keeps "$guard"
	on_for 10 1 'kill -CONT $(pidof dlm_controld)'
	eventually 60 can_start 2 /srv/d.img
	test "$(keeper_pids 2 guard)" = "$guard"
	all_is_well
}
