#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What backend.h promises, asked of the backend above the kernel's lock manager, on a cluster of one node.
load cluster

setup_file()
{
	cluster_begin 1
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

# contract WORD...: only what failed is shown, and how many there were. With --keeper it is asked through one.
contract()
{
	local patience=550

	test -z "${FULL-}" || patience=3000
	on_for $((patience + 10)) 1 "export GUESTLOCK_KEEPER=/usr/local/sbin/guestlock-keeper CK_RUN_CASE=${part-}
		test -n \"\$CK_RUN_CASE\" || unset CK_RUN_CASE
		timeout $patience /tests/contract --module dlm --host node1 --option allow_no_fencing=yes $* >/tmp/contract.tap 2>&1
		status=\$?
		grep -v '^ok ' /tmp/contract.tap
		exit \$status"
}

@test "the contract, asked directly" {
	contract
}

@test "the contract, asked through a keeper: epochs and handover; FULL=1: all of it" {
	local part

	if test -n "${FULL-}"; then
		contract --keeper
		return
	fi
	for part in epoch handover; do
		run contract --keeper
		echo "$part: $output"
		test "$status" = 0
		[[ $output =~ [1-9][0-9]*\ tests,\ 0\ failed ]]
	done
}
