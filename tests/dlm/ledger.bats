#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker that is killed with a request in its hand: noted and not sent, sent and not noted, answered and not noted. The
# next one knows which. strace(1) holds the worker at that system call on the lockspace's device. The first node is the
# master of /srv/a.img, the second one of /srv/b.img.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 token=30000
}

setup()
{
	cluster_settle
	guests_prepare
	start_guest 1 first /srv/a.img
	on 1 guestlock pause first >/dev/null
	start_guest 2 second /srv/b.img
	on 2 guestlock pause second >/dev/null
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

# The worker of node 2 is held for 2 s at the Nth CALL, as WHERE says (delay_enter: before it, delay_exit: after it),
# from a moment before SCRIPT begins; meanwhile it is killed. Fails if it was not.
kill_at() # CALL WHERE N SCRIPT
{
	local worker

	worker=$(keeper_pids 2 worker)
	on_for 60 2 "
		strace -q -f -o /run/strace -p $worker -P /dev/dlm_guestlock -e trace=$1 -e inject=$1:$2=2000000:when=$3 &
		tracer=\$!
		until grep -q '^TracerPid:.*[1-9]' /proc/$worker/status; do sleep 0.05; done
		( $4 ) >/run/killed.output 2>&1 &
		sleep 1
		kill -KILL $worker || exit 1
		wait \$! || :
		wait \$tracer || :
		grep -q '^$worker .*killed by SIGKILL' /run/strace" >/dev/null 2>&1
}

# What the kernel has above NL on node 2 is what its guests have, and nothing else.
is_as_listed()
{
	test "$(on 2 dlm_tool lockdump guestlock | grep -c 'gr EX')" = "$1"
}

# Twice its disks and its own lock.
round() # CALL WHERE N
{
	kill_at "$1" "$2" "$3" 'guestlock run --name vm --timeout 20 --disk /srv/a.img --disk /srv/b.img -- sleep 7200 >/dev/null 2>&1 &
		for i in $(seq 100); do guestlock show vm --json | jq -e ".state == \"running\"" >/dev/null && break; sleep 0.1; done'
	eventually 40 is_running 2 vm
	eventually 20 is_as_listed 3
	kill_at "$1" "$2" "$3" 'guestlock pause vm'
	on_for 40 2 'guestlock pause vm' >/dev/null
	is_as_listed 0
	kill_at "$1" "$2" "$3" 'guestlock resume vm'
	on_for 40 2 'guestlock resume vm' >/dev/null
	eventually 20 is_as_listed 3
	run on 1 guestlock resume first
	test "$status" = 1
	kill_at "$1" "$2" "$3" 'kill -KILL $(guestlock list --json | jq -r ".guests[] | select(.name == \"vm\") | .pid"); guestlock reap'
	eventually 40 is_as_listed 0
	eventually 40 can_start 1 /srv/a.img /srv/b.img
}

@test "killed before a request is sent" {
	round write delay_enter 1
	round write delay_enter 4
}

@test "killed after a request was sent" {
	round write delay_exit 1
	round write delay_exit 4
}

@test "killed after an answer was read" {
	round read delay_exit 2
	round read delay_exit 5
}
