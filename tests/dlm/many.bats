#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many nodes: 16 with FULL=1, which takes 8 GB of memory and some minutes on two processors.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests
boot_seconds=300

setup_file()
{
	test -n "${FULL-}" || return 0
	cluster_begin 16 memory=224 token=60000
}

setup()
{
	test -n "${FULL-}" || skip "only with FULL=1"
	cluster_needed
	# Once, as a node may be gone.
	test -e "$cluster/1.changed" || guests_prepare
}

teardown()
{
	test -z "${FULL-}" || cluster_explain
}

teardown_file()
{
	cluster_end
}

# on_all SCRIPT: in every node at once; the exit statuses are in $answers, by node.
on_all()
{
	local node jobs=()

	for ((node = 1; node <= cluster_nodes; node++)); do
		on_for 300 "$node" "$1" >"$BATS_TEST_TMPDIR/$node" 2>&1 &
		jobs+=($!)
	done
	answers=()
	for node in "${!jobs[@]}"; do
		wait "${jobs[node]}" && answers+=(0) || answers+=($?)
	done
}

statuses()
{
	printf '%s\n' "${answers[@]}" | sort | uniq -c | awk '{ print $1 "x" $2 }' | paste -sd' '
}

@test "16 nodes: each has its own disk, all share one, one of them gets one, and all see all" {
	local node

	on_all 'truncate -s 1M /srv/own$NODE.img /srv/shared.img
		guestlock run --timeout 200 --name vm$NODE --disk /srv/own$NODE.img --disk /srv/shared.img,shared -- sleep 7200 >/run/vm.output 2>&1 &
		for _ in $(seq 200); do guestlock list --json | jq -e ".guests[0].state == \"running\"" >/dev/null && exit; sleep 1; done
		cat /run/vm.output
		exit 1'
	test "$(statuses)" = 16x0
	on_all 'guestlock run --timeout 100 --disk /srv/own$(((NODE + 2) % 16 + 1)).img -- true'
	# Files of that name are there on their own nodes only, so that the path alone is what is refused.
	on_all 'truncate -s 1M /srv/own$(((NODE + 2) % 16 + 1)).img; guestlock run --timeout 100 --disk /srv/own$(((NODE + 2) % 16 + 1)).img -- true'
	test "$(statuses)" = 16x1
	grep -q 'vm4.*node4' "$BATS_TEST_TMPDIR/1"
	on_all 'guestlock run --timeout 200 --disk /srv/a.img -- sleep 60'
	test "$(statuses)" = "1x0 15x1"
	run on_for 100 3 'guestlock list --cluster --json --timeout 30'
	test "$(jq '.guests | length' <<<"$output")" = 16
}

# Corosync waits the longer for a node the more there are.
@test "the node that all began with loses its power: the others go on, and take its disk over" {
	node_kill 1
	eventually 400 on_for 100 2 'truncate -s 1M /srv/own1.img; guestlock run --timeout 60 --disk /srv/own1.img -- true'
	# What its guest shares, the guests of the others share still.
	run on_for 100 16 'guestlock run --timeout 60 --disk /srv/shared.img -- true'
	test "$status" = 1
}
