#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The plugin above a backend that fails, does not answer, or can do less: see ../fault/fault.c for the plan.
# shellcheck disable=SC2154,SC2030,SC2031,SC2086
load ../cli/helpers
load plugin

setup()
{
	local directory

	: "${GUESTLOCK_FAULT_PATH:?is the directory of fault.so}"
	for directory in ${GUESTLOCK_BACKEND_PATH//:/ }; do
		if test -e "$directory/fcntl.so"; then
			export GUESTLOCK_FAULT_INNER=$directory/fcntl.so
		fi
	done
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_FAULT_PATH:$GUESTLOCK_BACKEND_PATH
	unset GUESTLOCK_FAULT_PLAN GUESTLOCK_FAULT_WITH GUESTLOCK_FAULT_WITHOUT
	cli_setup
	plugin_paths
}

# write_config FILE RUN_DIR STATE_DIR [LINE...]: as that of the helpers, for the failing backend.
write_config()
{
	local file=$1 run_dir=$2 state_dir=$3

	shift 3
	export GUESTLOCK_FAULT_PLAN=$dir/plan
	printf '%s\n' "[guestlock]" "backend = fault" "run_dir = $run_dir" "state_dir = $state_dir" \
		"acquire_timeout = 1" "$@" "[fault]" "lock_dir = $dir/locks" >"$file"
}

# plan LINE...: what goes wrong from now on.
plan()
{
	# At once: a call that is under way reads it again and again.
	printf '%s\n' "$@" >"$dir/plan.new"
	mv "$dir/plan.new" "$dir/plan"
}

one_host()
{
	host alpha
	ok alpha domain a "$disk"
}

@test "not available at init: the daemon starts, guests are refused with the reason, and work once it is there" {
	plan "probe fail stopped" "join fail stopped"
	one_host
	contains "$(cat "$dir/alpha.log")" "says stopped"
	for _ in 1 2; do
		no alpha start a
		contains "$reply" "at=register"
		contains "$reply" "says stopped"
		is alpha a gone
	done
	plan
	ok alpha start a
	is alpha a running disk.img:held:exclusive
}

@test "not available between register and acquire: the start fails with the disk and the reason" {
	one_host
	for failure in stopped unsafe io denied; do
		plan "acquire fail $failure"
		no alpha start a
		contains "$reply" "at=acquire"
		contains "$reply" "$disk"
		contains "$reply" "says $failure"
	done
	plan
	ok alpha start a
}

@test "no answer: the call ends at acquire_timeout with nothing taken, and the next one works" {
	one_host
	plan "acquire drop 1"
	begin=$SECONDS
	no alpha start a
	test $((SECONDS - begin)) -le 20
	contains "$reply" "code=68"
	contains "$reply" "try again"
	test -z "$(who "$disk")"
	ok alpha start a
	ok alpha suspend a
	plan "acquire drop 1"
	no alpha resume a
	contains "$reply" "code=68"
	is alpha a paused disk.img:parked:none
	ok alpha resume a
	is alpha a running disk.img:held:exclusive
}

@test "a late answer: the call does not wait for longer than acquire_timeout" {
	one_host
	ok alpha start a
	ok alpha suspend a
	plan "acquire delay 60000 1"
	begin=$SECONDS
	ask alpha resume a
	test $((SECONDS - begin)) -le 20
	test ! -s "$dir/plan"
	ok alpha acquire a all
	is alpha a running disk.img:held:exclusive
}

@test "an answer that is lost is found out" {
	one_host
	plan "acquire lose 1"
	ok alpha start a
	is alpha a running disk.img:held:exclusive
	plan "release lose 1"
	ok alpha suspend a
	is alpha a paused disk.img:parked:none
	plan "acquire lose 1"
	ok alpha resume a
	is alpha a running disk.img:held:exclusive
	test ! -s "$dir/plan"
}

@test "nobody knows what was done: the guest does not run, and the next call settles it" {
	one_host
	ok alpha start a
	ok alpha suspend a
	plan "acquire lose" "inquire fail unknown" "release fail io"
	no alpha resume a
	plan
	ok alpha resume a
	is alpha a running disk.img:held:exclusive
}

@test "a release that fails: the locks stay, and the guest goes on" {
	one_host
	ok alpha start a
	plan "release fail io"
	no alpha suspend a
	contains "$reply" "says io"
	is alpha a running disk.img:held:exclusive
	plan
	ok alpha suspend a
	is alpha a paused disk.img:parked:none
}

@test "an attach of several that fails leaves none of them" {
	one_host
	ok alpha start a
	plan "acquire fail io"
	no alpha acquire a "$dir/second.img" "$dir/third.img"
	is alpha a running disk.img:held:exclusive
	plan
	ok alpha acquire a "$dir/second.img" "$dir/third.img"
	is alpha a running "disk.img:held:exclusive second.img:held:exclusive third.img:held:exclusive"
}

@test "a backend without hotplug refuses an attach in words" {
	export GUESTLOCK_FAULT_WITHOUT=hotplug
	one_host
	ok alpha start a
	no alpha attach a "$dir/second.img"
	contains "$reply" "code=84"
	contains "$reply" "shut the guest down to change"
	is alpha a running disk.img:held:exclusive
}

@test "a backend that cannot adopt refuses a guest that is older than the plugin, and says what to do" {
	export GUESTLOCK_FAULT_WITHOUT=adopt
	host alpha
	sleep 300 3>&- &
	ok alpha domain a "pid=$!" "$disk"
	no alpha acquire a all
	contains "$reply" "code=84"
	contains "$reply" "cannot take over a guest that runs, unless it is saved and restored: shut the guest down"
	is alpha a gone
}

@test "on_lockfailure: a backend that can lose locks, and one that can act on it" {
	export GUESTLOCK_FAULT_WITH=watch
	one_host
	no alpha start a action=3
	contains "$reply" "code=84"
	contains "$reply" "cannot act on a guest"
	ok alpha start a action=4
	ok alpha kill a
	host_end alpha
	export GUESTLOCK_FAULT_WITH=watch,loss-action
	one_host
	ok alpha start a action=3
	on alpha show a --json | jq -e '.guests[0].params.on_lockfailure == "pause"'
	ok alpha kill a
	ok alpha start a action=1
	ok alpha kill a
	no alpha start a action=2
	contains "$reply" "code=84"
	contains "$reply" "but not restart it"
	no alpha start a action=4
	contains "$reply" "code=84"
	contains "$reply" 'does not let a guest run on that lost a lock: remove on_lockfailure from its XML, or set it to "pause"'
	ok alpha start a
	on alpha show a --json | jq -e '.guests[0].params | has("on_lockfailure") | not'
}
