#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A kernel that is locked down, as one is that was booted with Secure Boot: its debugfs cannot be read, and is not needed.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 append=lockdown=integrity
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

# What a locked-down kernel keeps from root.
is_locked_down()
{
	run on 1 cat /sys/kernel/debug/dlm/guestlock_locks
	test "$status" != 0
	[[ $output == *"not permitted"* ]]
}

refused()
{
	run on_for 60 2 'guestlock run --disk /srv/a.img -- true'
	test "$status" = 1
}

@test "locked down: guests have their disks, whichever process of the keeper is killed" {
	start_guest 1 vm /srv/a.img
	is_locked_down
	on 1 guestlock check
	refused
	[[ $output == *vm* ]]
	for who in worker guard both; do
		keeper_kill 1 "$who" KILL
		refused
		eventually 40 on_for 60 1 'guestlock pause vm && guestlock resume vm'
		test "$(holder 1 /srv/a.img)" = "vm exclusive"
		eventually 40 has_keeper 1
	done
	end_guest 1 vm
	eventually 40 can_start 2 /srv/a.img
	on 1 guestlock leave
	on 1 test ! -e /sys/kernel/dlm/guestlock
}
