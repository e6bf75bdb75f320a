#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many domains at once through one plugin in one process, also in a build that looks for data races; a build without
# sanitizers forks while other threads are in the plugin.
# shellcheck disable=SC2154
load ../cli/helpers
load plugin

setup()
{
	cli_setup
	plugin_paths
	mkdir "$dir/disks"
}

# many CLIENTS DOMAINS DISKS: for THREADS_SECONDS.
many()
{
	printf '%s\n' "symbols $symbols" "plugin guestlock $plugin" "init -" \
		"threads $1 $2 $3 ${THREADS_SECONDS:-5} $dir/disks" deinit unload >"$dir/script"
	status=0
	timeout -k 5 120 "$replay" "$dir/script" >"$dir/output" 2>&1 3>&- || status=$?
	output=$(cat "$dir/output")
	printf '%s\n' "$output"
	test "$status" = 0
	[[ "$output" == *"threads: ok done="[1-9]*" failed=0 leaked=0"* ]]
	[[ "$output" != *"WARNING: "* ]]
	[[ "$output" == *"unload: ok"* ]]
}

# Nothing is left: no record, no lock, no file of a life.
nothing_left()
{
	gl --quiet reap
	test "$(gl --quiet list --json | jq '.guests | length')" = 0
	test -z "$(ls "$dir/state/fcntl/life")"
}

@test "8 clients, 12 domains of 4 disks: every call succeeds, and nothing is left" {
	many 8 12 4
	nothing_left
}

@test "8 clients, 3 domains: started, killed and started again at once" {
	many 8 3 1
	nothing_left
}

@test "the first calls of all come at once, to a backend that could not be joined at init" {
	export GUESTLOCK_FAULT_INNER=${GUESTLOCK_BACKEND_PATH%%:*}/fcntl.so
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_FAULT_PATH:$GUESTLOCK_BACKEND_PATH
	export GUESTLOCK_FAULT_PLAN=$dir/plan
	printf '%s\n' "[guestlock]" "backend = fault" "run_dir = $dir/run" "state_dir = $dir/state" "[fault]" \
		"lock_dir = $dir/locks" >"$GUESTLOCK_CONFIG"
	echo "join fail stopped 1" >"$dir/plan"
	many 8 12 2
	test ! -s "$dir/plan"
}
