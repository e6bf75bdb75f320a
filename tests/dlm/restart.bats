#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A host with many locks whose keeper is killed, worker or both: 1,000 locks, and with FULL=1 10,000.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 1 memory=256
	guests_prepare
}

teardown()
{
	cluster_explain
}

teardown_file()
{
	cluster_end
}

ready()
{
	job_output 1 take 2>/dev/null | grep -q ready
}

# So many locks, as the kernel has them.
held()
{
	on_for 60 1 'dlm_tool lockdump guestlock | grep -c "gr EX" || :'
}

none_held()
{
	on_for 60 1 'guestlock reap --timeout 50' >/dev/null
	test "$(held)" = 0
}

@test "every lock is taken back, and belongs to its guest still" {
	local count=1000 patience=200 who

	test -z "${FULL-}" || count=10000 patience=1500
	launch_on 1 take "/tests/bench_locks take $count"
	eventually "$((patience + 100))" ready
	test "$(held)" = "$count"
	for who in worker both guard; do
		keeper_kill 1 "$who" KILL
		run on_for 200 1 '/tests/bench_locks restart'
		echo "$who: $output"
		[[ $output == *"locks=$count "* ]]
		test "$(held)" = "$count"
	done
	# None of them is in the way of another, and all go with their guests.
	job_end 1 take KILL
	eventually "$patience" none_held
}
