#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Keepers ask one another, over real corosyncs.
load corosync

setup_file()
{
	: "${top_builddir:?is the build}"
	ring_check
	# Not the script that libtool puts before it.
	member_program=$top_builddir/tests/dlm/peers_member
	if test -x "$top_builddir/tests/dlm/.libs/peers_member"; then
		member_program=$top_builddir/tests/dlm/.libs/peers_member
		export LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
	fi
	export member_program
}

teardown()
{
	ring_end
}

# member NODE NAME COUNT [KEY]: starts one; its output goes to $ring/NODE/NAME.
member()
{
	local node=$1 name=$2 dir=$ring/$1

	shift
	mkfifo "$dir/$name.input"
	exec_in_node "$node" "$member_program" space "$@" <"$dir/$name.input" >"$dir/$name" 2>"$dir/$name.err" 3>&- &
	echo $! >"$dir/member.$name.pid"
	exec {fd}>"$dir/$name.input"
	eval "input_${name}=$fd"
	wait_until grep -q started "$dir/$name"
}

# tell NODE NAME COMMAND...: $output is what it says to it, without waiting for more than it takes.
tell()
{
	local dir=$ring/$1 name=$2 before input="input_$2"

	shift 2
	before=$(wc -l <"$dir/$name")
	echo "$*" >&"${!input}"
	wait_until has_result "$dir/$name" "$before"
	output=$(tail -n +$((before + 1)) "$dir/$name")
	echo "$output"
}

has_result()
{
	tail -n +$(($2 + 1)) "$1" | grep -qE '^(result|many) '
}

member_signal()
{
	kill -s "$3" "$(cat "$ring/$1/member.$2.pid")"
}

# took LEAST MOST: the milliseconds of the last answer.
took()
{
	local ms

	ms=$(sed -n 's/^result [a-z]* \([0-9]*\).*/\1/p' <<<"$output")
	echo "$ms ms, wanted $1 to $2"
	((ms >= $1 && ms <= $2))
}

# meets NODE NAME COUNT: as many others answer it.
meets()
{
	tell "$1" "$2" "count all 2000" >/dev/null && (($(grep -c '^peer .* answered' <<<"$output") == $3))
}

key()
{
	printf 'key_%039d' "$1"
}

@test "without corosync the answer comes at once, and says so" {
	test -z "${ring_missing-}" || skip "$ring_missing"
	run -0 unshare -n sh -c "(sleep 0.5; echo ask all 20000; sleep 0.5) | timeout 30 '$member_program' space alone 1"
	[[ $output == *"result stopped"*"there is no connection to corosync"* ]]
	took 0 10000
}

@test "a keeper that is alone has nobody to ask" {
	ring_begin 1
	member 1 a 3
	wait_until sees_members 1 1
	tell 1 a "ask all 20000"
	[[ $output == "result granted "* ]]
	took 0 10000
}

@test "all others are asked, and nobody else" {
	ring_begin 3
	member 1 a 5
	member 2 b 2 "$(key 7)"
	member 3 c 3
	wait_until meets 1 a 2
	tell 1 a "ask all 20000"
	[[ $output == *"found 2 $(key 7) b-0"* && $output == *"found 2 $(key 7) b-1"* ]]
	[[ $output == *"found 3 $(key 0) c-0"* && $output == *"found 3 $(key 2) c-2"* ]]
	[[ $output != *" a-"* && $output != *damaged* ]]
	(($(grep -c ^found <<<"$output") == 5))
	[[ $output == *"result granted"* ]]
	took 0 10000
	tell 1 a "ask $(key 1) 20000"
	(($(grep -c ^found <<<"$output") == 1))
	[[ $output == *"found 3 $(key 1) c-1"*"result granted"* ]]
	tell 3 c "ask $(key 7) 20000"
	(($(grep -c ^found <<<"$output") == 2))
	tell 3 c "ask $(key 9999) 20000"
	[[ $output != *found* && $output == *"result granted"* ]]
}

@test "two keepers of one node are two members" {
	ring_begin 1
	member 1 a 1
	member 1 b 2
	wait_until meets 1 a 1
	tell 1 a "ask all 20000"
	(($(grep -c '^found 1 ' <<<"$output") == 2))
	[[ $output == *"peer 1 answered"* ]]
}

@test "long answers come in parts and are complete" {
	ring_begin 2
	member 1 a 1
	member 2 b 50000
	wait_until meets 1 a 1
	tell 1 a "count all 20000"
	[[ $output == *"counted 50000"*"result granted"* && $output != *damaged* ]]
}

@test "several threads of one keeper ask at once" {
	ring_begin 3
	member 1 a 1
	member 2 b 1 "$(key 1)"
	member 3 c 1 "$(key 1)"
	wait_until meets 1 a 2
	tell 1 a "many 40 $(key 1) 30000"
	[[ $output == "many 40" ]]
}

@test "all ask one another at once, with long answers" {
	local name

	ring_begin 3
	member 1 a 5000
	member 2 b 5000
	member 3 c 5000
	wait_until meets 1 a 2
	wait_until meets 2 b 2
	wait_until meets 3 c 2
	for name in a b c; do
		input=input_$name
		printf 'count all 20000\ncount all 20000\ncount all 20000\n' >&"${!input}"
	done
	for node in 1 2 3; do
		# One question was asked before.
		wait_until enough "$ring/$node"/[abc] 4
	done
	run ! grep -h 'damaged\|unknown\|stopped' "$ring"/[123]/[abc]
}

enough()
{
	(($(grep -c 'counted 10000' "$1") >= $2))
}

@test "a keeper that is stopped is named when the deadline passes" {
	ring_begin 3
	member 1 a 1
	member 2 b 1
	member 3 c 1
	wait_until meets 1 a 2
	member_signal 2 b STOP
	tell 1 a "ask all 2000"
	[[ $output == *"peer 2 silent"* && $output == *"peer 3 answered"* && $output == *"found 3 "* ]]
	[[ $output == *"result unknown"*"n2 (no answer in time)"* && $output != *n3* ]]
	took 1990 20000
	member_signal 2 b CONT
	tell 1 a "ask all 20000"
	[[ $output == *"peer 2 answered"*"result granted"* ]]
	(($(grep -c ^found <<<"$output") == 2))
}

@test "a keeper that is killed while it is waited for is named at once" {
	ring_begin 2
	member 1 a 1
	member 2 b 1
	wait_until meets 1 a 1
	member_signal 2 b STOP
	(
		sleep 0.5
		member_signal 2 b KILL
	) &
	tell 1 a "ask all 30000"
	[[ $output == *"peer 2 gone"* && $output == *"result unknown"*"n2 (it ended meanwhile)"* ]]
	took 450 20000
	tell 1 a "ask all 20000"
	[[ $output == "result granted "* ]]
}

@test "a node that is gone is named when corosync finds out" {
	ring_begin 3
	member 1 a 1
	member 2 b 1
	member 3 c 1
	wait_until meets 1 a 2
	corosync_signal 3 KILL
	tell 1 a "ask all 40000"
	[[ $output == *"peer 2 answered"* ]]
	[[ $output == *"peer 3 gone"*"result unknown"* || $output != *"peer 3"* ]]
	took 0 30000
	wait_until sees_members 1 2
	tell 1 a "ask all 20000"
	[[ $output == *"peer 2 answered"*"result granted"* && $output != *"peer 3"* ]]
}

@test "corosync ends while it is asked: an answer at once; it comes back by itself" {
	ring_begin 2
	member 1 a 1
	member 2 b 1
	wait_until meets 1 a 1
	member_signal 2 b STOP
	(
		sleep 0.5
		corosync_signal 1 KILL
	) &
	tell 1 a "ask all 30000"
	[[ $output == *"peer 2 gone"*"result stopped"*"there is no connection to corosync"* ]]
	took 450 20000
	tell 1 a "ask all 20000"
	[[ $output == "result stopped "* ]]
	took 0 10000
	member_signal 2 b CONT
	corosync_start 1
	wait_until ring_is_whole
	wait_until meets 1 a 1
	tell 1 a "ask all 20000"
	[[ $output == *"found 2 "*"peer 2 answered"*"result granted"* ]]
}

@test "a corosync that hangs holds nobody longer than the deadline" {
	ring_begin 1
	member 1 a 1
	member 1 b 1
	wait_until meets 1 a 1
	corosync_signal 1 STOP
	tell 1 a "ask all 600"
	[[ $output == *"result stopped"*"corosync did not pass the question on in time"* ]]
	took 590 20000
	corosync_signal 1 CONT
	wait_until meets 1 a 1
}

@test "a keeper leaves when it is told, also while corosync hangs" {
	ring_begin 1
	member 1 a 1
	member 1 b 1
	wait_until meets 1 a 1
	corosync_signal 1 STOP
	tell 1 b "ask all 100"
	echo quit >&"$input_b"
	wait_until grep -q ^stopped "$ring/1/b"
	corosync_signal 1 CONT
	wait_until meets 1 a 0
}

@test "foreign messages in the group are passed over" {
	ring_begin 1
	member 1 a 1
	member 1 b 1
	wait_until meets 1 a 1
	in_node 1 "$top_builddir/tests/dlm/peers_noise" space 500
	tell 1 a "ask all 20000"
	[[ $output == *"peer 1 answered"*"result granted"* && $output != *damaged* ]]
}
