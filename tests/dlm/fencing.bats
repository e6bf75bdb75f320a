#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# With fencing on, a lock of a node that died is nobody's until somebody says that the node is off.
load cluster
load guests

setup_file()
{
	cluster_begin 2 fencing=yes
}

setup()
{
	cluster_settle
}

teardown()
{
	cluster_explain
}

teardown_file()
{
	cluster_end
}

waits_for_fencing()
{
	on 1 dlm_tool ls | grep -q 'wait fencing'
}

@test "a lock of a dead node is granted once the node is said to be fenced, and not before" {
	launch_on 2 holder '/tests/raw fenced EX 600'
	eventually 30 on 2 grep -q granted /run/jobs/holder.output
	run on 1 /tests/raw fenced EX
	test "$status" = 1
	node_kill 2
	eventually 30 waits_for_fencing
	launch_on 1 waiter '/tests/raw fenced EX'
	sleep 3
	test "$(job_output 1 waiter)" = ''
	on 1 dlm_tool fence_ack 2
	test "$(job_status 1 waiter)" = 0
	test "$(job_output 1 waiter)" = granted
}

@test "what makes fencing unsafe while the keeper runs: check says so, what is held stays, and the next keeper refuses" {
	cluster_end
	cluster_begin 2 fencing=yes quorum_lockspace=yes
	guests_prepare
	on 1 sed -i '/allow_no_fencing/d' /etc/guestlock/guestlock.conf
	start_guest 1 vm /srv/a.img
	# It cannot be switched off so.
	on 1 dlm_tool set_config enable_fencing=0
	on 1 guestlock check
	can_start 1 /srv/b.img
	on 1 dlm_tool set_config enable_quorum_lockspace=0
	run on 1 guestlock check
	echo "$output"
	[[ $output == *"hosts that start apart"* ]]
	# The keeper has looked when it joined.
	can_start 1 /srv/b.img
	keeper_kill 1 worker KILL
	run on_for 60 1 'guestlock run --timeout 5 --disk /srv/b.img -- true'
	echo "$status: $output"
	test "$status" != 0
	[[ $output == *"enable_quorum_lockspace=0"* ]]
	run on_for 60 2 'guestlock run --timeout 5 --disk /srv/a.img -- true'
	test "$status" = 1
	on 1 dlm_tool set_config enable_quorum_lockspace=1
	eventually 40 can_start 1 /srv/b.img
	test "$(holder 1 /srv/a.img)" = "vm exclusive"
	end_guest 1 vm
	eventually 40 can_start 2 /srv/a.img
}
