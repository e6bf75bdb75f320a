#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two hosts start a guest with the same disks at the same time: exactly one of them gets it, each time. RACES is how often.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	world_begin
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
	}
}

# racer NAME DISK...: one side. For each "go" it starts a guest, and says "won" while that runs, until "end", or "lost".
racer()
{
	local name=$1 here=$world/$1 disk words=()

	shift
	for disk in "$@"; do
		words+=(--disk "$disk")
	done
	rm -f "$here"/race.{in,out}
	mkfifo "$here"/race.{in,out}
	# Of the guest nothing but its word is read, and it ends by itself when it is told to.
	cat >"$here/racer" <<-'END'
		here=$1
		shift
		exec <>"$here/race.in" >"$here/race.out" 2>"$here/race.error"
		while read -r word && test "$word" = go; do
			"$@" -- sh -c 'echo won; read -r word' 2>"$here/race.said"
			case $? in
			0) echo ended ;;
			1) echo lost; read -r word; echo ended ;;
			*) echo "failed: $(cat "$here/race.said")"; read -r word; echo ended ;;
			esac
		done
	END
	launch "$name" racer bash "$here/racer" "$here" "$GUESTLOCK" run --quiet --name "race-$name" "${words[@]}"
}

# answers WORD: both sides are told, and what they say is $first and $second.
answers()
{
	echo "$1" >&"$to1"
	echo "$1" >&"$to2"
	read -r -t 60 -u "$from1" first || first="no answer"
	read -r -t 60 -u "$from2" second || second="no answer"
}

# race COUNT DISK...
race()
{
	local count=$1 round wins1=0 wins2=0 first second to1 to2 from1 from2

	shift
	racer alpha "$@"
	racer beta "$@"
	exec {to1}>"$world/alpha/race.in" {to2}>"$world/beta/race.in"
	exec {from1}<"$world/alpha/race.out" {from2}<"$world/beta/race.out"
	for ((round = 1; round <= count; round++)); do
		answers go
		case "$first $second" in
		"won lost") wins1=$((wins1 + 1)) ;;
		"lost won") wins2=$((wins2 + 1)) ;;
		*)
			echo "round $round of $count: alpha: $first; beta: $second"
			cat "$world"/*/race.said
			return 1
			;;
		esac
		answers end
		test "$first $second" = "ended ended" || {
			echo "the end of round $round of $count: alpha: $first; beta: $second"
			return 1
		}
	done
	exec {to1}>&- {to2}>&- {from1}<&- {from2}<&-
	job_end alpha racer
	job_end beta racer
	echo "# alpha won $wins1 of $count, beta won $wins2" >&3
	# Only when each of them wins some were there races at all.
	test "$wins1" -gt 0
	test "$wins2" -gt 0
}

@test "starts on two hosts with one disk: exactly one wins" {
	race "${RACES:-100}" "$d/a"
}

@test "starts on two hosts with four disks: exactly one wins" {
	race "${RACES:-100}" "$d/a" "$d/b" "$d/c" "$d/d"
}

@test "starts on two hosts with the same disks in another order, none of which has a lease yet" {
	local round words1 words2 status1 status2

	for ((round = 1; round <= ${RACES:-100} / 10; round++)); do
		images "new$round-1" "new$round-2" "new$round-3"
		words1=(--disk "$d/new$round-1" --disk "$d/new$round-2" --disk "$d/new$round-3")
		words2=(--disk "$d/new$round-3" --disk "$d/new$round-2" --disk "$d/new$round-1")
		launch alpha left guestlock run --quiet --name left "${words1[@]}" -- sh -c 'echo running; exec sleep 600'
		launch beta right guestlock run --quiet --name right "${words2[@]}" -- sh -c 'echo running; exec sleep 600'
		eventually guest_is_settled alpha left
		eventually guest_is_settled beta right
		status1=$(cat "$world/alpha/jobs/left.status" 2>/dev/null) || status1=runs
		status2=$(cat "$world/beta/jobs/right.status" 2>/dev/null) || status2=runs
		[[ "$status1 $status2" =~ ^("runs 1"|"1 runs")$ ]] || {
			echo "round $round: left $status1: $(job_output alpha left); right $status2: $(job_output beta right)"
			return 1
		}
		job_end alpha left
		job_end beta right
	done
}

# A guest that claims its disk while it runs, and says so if somebody else has it.
write_witness()
{
	cat >"$world/witness" <<-'END'
		#!/bin/sh
		mkdir "$1.claim" 2>/dev/null || {
			echo "$1 has two writers" >>"$0.two-writers"
			exit 99
		}
		echo >>"$0.ran"
		sleep 0.01
		rmdir "$1.claim"
	END
	chmod +x "$world/witness"
}

@test "of two starts of one uuid on one host the one that is refused leaves the other alone" {
	local job uuid=0d9c1f1e-6f0b-4a5c-9f2e-8e1f3a2b4c5d

	write_witness
	guest alpha holder --disk "$d/a"
	mkdir "$d/a.claim"
	for job in 1 2 3; do
		# 0: the disk that is free; 1: refused; anything else is told.
		launch alpha "busy$job" bash -c 'until test -e "$1.stop"; do
			"$GUESTLOCK" run --quiet --uuid "$2" --disk "$3" -- "$1" "$3" && echo ran || test $? = 1 || echo failed; done' \
			- "$world/witness" "$uuid" "$d/a"
		launch alpha "free$job" bash -c 'until test -e "$1.stop"; do
			"$GUESTLOCK" run --quiet --uuid "$2" --disk "$3" -- "$1" "$3" || test $? = 1 || echo failed; done' \
			- "$world/witness" "$uuid" "$d/b"
	done
	sleep "${STRESS_SECONDS:-8}"
	touch "$world/witness.stop"
	for job in 1 2 3; do
		job_status alpha "busy$job"
		job_status alpha "free$job"
		[[ "$(job_output alpha "busy$job")" != *ran* ]]
		[[ "$(job_output alpha "busy$job")$(job_output alpha "free$job")" != *failed* ]] || {
			job_output alpha "busy$job"
			job_output alpha "free$job"
			return 1
		}
	done
	test ! -e "$world/witness.two-writers"
	echo "# $(wc -l <"$world/witness.ran") starts succeeded" >&3
	test "$(wc -l <"$world/witness.ran")" -gt 5
	holds alpha holder "$d/a"
}
