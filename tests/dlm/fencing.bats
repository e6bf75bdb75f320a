#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# With fencing on, a lock of a node that died is nobody's until somebody says that the node is off.
load cluster

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
