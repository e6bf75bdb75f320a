#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What backend.h promises, asked of the sanlock backend: two daemons are the two hosts, each with a keeper for every test.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	local host

	world_begin
	test -z "${world_missing-}" || return 0
	host_begin alpha 1
	host_begin beta 2
	for host in alpha beta; do
		printf '#!/bin/sh\nSANLOCK_RUN_DIR=%q exec %q "$@"\n' "$world/$host/sanlock" "$GUESTLOCK_KEEPER" >"$world/$host/keeper"
		chmod +x "$world/$host/keeper"
	done
	# Joining takes seconds, and the daemons stay joined.
	gl alpha run --quiet -- true
	gl beta run --quiet -- true
}

teardown()
{
	test -n "${BATS_TEST_COMPLETED-}" || world_explain
}

# Only what failed is shown.
contract()
{
	local status=0

	env SANLOCK_PRIVILEGED=0 timeout -k 5 280 "$top_builddir/tests/contract/contract" --keeper --module sanlock \
		--option "lease_dir=$leases" --option io_timeout=1 --option allow_no_watchdog=yes --option allow_local_leases=yes \
		--option-a host_id=1 --environment-a "SANLOCK_RUN_DIR=$world/alpha/sanlock" --environment-a "GUESTLOCK_KEEPER=$world/alpha/keeper" \
		--option-b host_id=2 --environment-b "SANLOCK_RUN_DIR=$world/beta/sanlock" --environment-b "GUESTLOCK_KEEPER=$world/beta/keeper" \
		>"$world/contract.tap" 2>&1 || status=$?
	grep -v '^ok ' "$world/contract.tap"
	return "$status"
}

@test "the contract, asked of a keeper on each of two hosts" {
	contract
}
