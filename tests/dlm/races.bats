#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two nodes start a guest with the same disks at the same time: exactly one of them gets it, each time. FULL=1: 1000 times.
# shellcheck disable=SC2154 # of bats
load cluster
load command

setup_file()
{
	cluster_begin 2 token=10000
}

setup()
{
	cluster_settle
	images a b c d
}

teardown()
{
	cluster_explain
}

teardown_file()
{
	cluster_end
}

rounds=100
test -z "${FULL-}" || rounds=1000

# racer NODE DISK...: one side, below $BATS_TEST_TMPDIR/NODE.in and NODE.out.
racer()
{
	local node=$1 pipes=$BATS_TEST_TMPDIR/$1

	shift
	mkfifo "$pipes".{in,out}
	in_network "$top_builddir/tests/dlm/remote" call "$((7000 + node))" $((rounds * 5)) "exec /race ${*@Q}" \
		<"$pipes.in" >"$pipes.out" 2>"$pipes.error" 3>&- &
}

# answers WORD: both sides are told, and what they say is $first and $second.
answers()
{
	echo "$1" >&"$to1"
	echo "$1" >&"$to2"
	read -r -t 60 -u "$from1" first || first="no answer, $(cat "$BATS_TEST_TMPDIR/1.error")"
	read -r -t 60 -u "$from2" second || second="no answer, $(cat "$BATS_TEST_TMPDIR/2.error")"
}

# race DISK...
race()
{
	local round wins1=0 wins2=0 first second to1 to2 from1 from2

	racer 1 "$@"
	racer 2 "$@"
	exec {to1}>"$BATS_TEST_TMPDIR/1.in" {to2}>"$BATS_TEST_TMPDIR/2.in"
	exec {from1}<"$BATS_TEST_TMPDIR/1.out" {from2}<"$BATS_TEST_TMPDIR/2.out"
	for ((round = 1; round <= rounds; round++)); do
		answers go
		case "$first $second" in
		"won lost") wins1=$((wins1 + 1)) ;;
		"lost won") wins2=$((wins2 + 1)) ;;
		*)
			echo "round $round of $rounds: node 1: $first; node 2: $second"
			return 1
			;;
		esac
		answers end
		test "$first $second" = "ended ended" || {
			echo "the end of round $round of $rounds: node 1: $first; node 2: $second"
			return 1
		}
	done
	exec {to1}>&- {to2}>&- {from1}<&- {from2}<&-
	echo "# node 1 won $wins1 of $rounds, node 2 won $wins2" >&3
	# Only when each of them wins some were there races at all.
	test "$wins1" -gt 0
	test "$wins2" -gt 0
}

@test "a hundred starts on two nodes with one disk: exactly one wins" {
	race /disks/a
}

@test "a hundred starts on two nodes with four disks: exactly one wins" {
	race /disks/a /disks/b /disks/c /disks/d
}
