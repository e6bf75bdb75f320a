#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The clusters that the other tests of this folder need are what they look like: locks of the kernel exclude between nodes,
# and what is done to a node has the effect it is said to have.
load cluster

setup_file()
{
	cluster_begin 3
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

# raw NODE NAME MODE: "granted" or "refused".
raw()
{
	on "$1" /tests/raw "$2" "$3"
}

# hold NODE NAME MODE: a job of this name has it.
hold()
{
	launch_on "$1" "$2" "/tests/raw $2 $3 600"
	eventually 30 has_printed "$1" "$2" granted
}

has_printed()
{
	test "$(job_output "$1" "$2")" = "$3"
}

is_granted()
{
	test "$(raw "$@" 2>/dev/null)" = granted
}

has_members()
{
	test "$(on "$1" /node members)" = "$2"
}

@test "a command in a node has its output, its errors and its exit status" {
	run --separate-stderr on_for 20 2 'echo out; echo err >&2; exit 42'
	test "$status" = 42
	test "$output" = out
	# shellcheck disable=SC2154 # of bats
	test "$stderr" = err
	run on 3 printf '%s|' 'a  b' "it's" '$HOME' '*'
	test "$status" = 0
	test "$output" = "a  b|it's|\$HOME|*|"
}

@test "any bytes, and many of them, go in and out" {
	head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	put 1 "$BATS_TEST_TMPDIR/in" /tmp/bytes
	get 1 /tmp/bytes "$BATS_TEST_TMPDIR/out"
	on 1 rm /tmp/bytes
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}

@test "a command that takes too long is killed, with what it started" {
	local begin=$SECONDS

	run on_for 2 1 'sleep 1000 & wait'
	test "$status" = 124
	test $((SECONDS - begin)) -lt 15
	run on 1 pidof sleep
	test "$status" = 1
}

@test "a command whose caller is killed is killed too" {
	on_for 60 1 'exec sleep 1001' &
	local caller=$!

	eventually 30 on 1 pidof sleep
	kill -KILL "$(pgrep -P "$caller" -x remote || echo "$caller")"
	wait "$caller" || :
	eventually 30 runs_none 1 sleep
}

@test "several commands run in a node at once" {
	local pids=() number begin=$SECONDS

	for number in 1 2 3 4 5; do
		on_for 20 2 "sleep 4; echo $number" >"$BATS_TEST_TMPDIR/$number" 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	test $((SECONDS - begin)) -lt 16
	for number in 1 2 3 4 5; do
		test "$(<"$BATS_TEST_TMPDIR/$number")" = "$number"
	done
}

@test "a job has its output and its exit status, and ends when it is told" {
	launch_on 1 job 'echo begun; trap "echo told; exit 7" TERM; while :; do sleep 0.1; done'
	eventually 30 has_printed 1 job begun
	job_end 1 job
	test "$(job_status 1 job)" = 7
	test "$(job_output 1 job)" = $'begun\ntold'
}

@test "an exclusive lock of one node is refused to the others until it is released" {
	hold 1 one EX
	test "$(raw 2 one EX)" = refused
	test "$(raw 3 one PR)" = refused
	test "$(raw 3 another EX)" = granted
	job_end 1 one
	test "$(job_status 1 one)" = 0
	test "$(raw 2 one EX)" = granted
}

@test "shared locks go together on all nodes" {
	hold 1 many PR
	test "$(raw 2 many PR)" = granted
	test "$(raw 3 many EX)" = refused
}

@test "a node that stands still does not answer, keeps its locks, and goes on" {
	hold 2 still EX
	node_freeze 2
	run on_for 2 2 true
	test "$status" = 125
	test "$(raw 1 elsewhere EX)" = granted || :
	node_thaw 2
	on 2 true
	has_printed 2 still granted
}

@test "a lock of a node that lost its power is granted to another, and the node comes back" {
	hold 2 orphan EX
	test "$(raw 1 orphan EX)" = refused
	node_kill 2
	run on 2 true
	test "$status" = 125
	eventually 30 is_granted 1 orphan EX
	has_members 1 2
	node_boot 2
	has_members 1 3
	test "$(raw 2 orphan EX)" = granted
}

@test "a node that is cut off loses its membership, and the others go on" {
	network_cut 3
	eventually 30 has_members 1 2
	eventually 30 has_members 3 0
	eventually 30 is_granted 2 cut EX
	test "$(on 3 cat /sys/class/net/eth0/carrier)" = 1
}

@test "killed daemons of the cluster leave the node to be ended" {
	daemon_kill 2 dlm_controld KILL
	run on_for 3 2 '/tests/raw dead EX'
	test "$status" != 0
	daemon_kill 3 corosync KILL
	eventually 30 has_members 1 2
	run on 3 pidof corosync
	test "$status" = 1
}
