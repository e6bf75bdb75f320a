#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Several lives of one uuid: who starts, and is refused, touches no other life of it.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

readonly uuid=0d9c1f1e-6f0b-4a5c-9f2e-8e1f3a2b4c5d
: "${STRESS_SECONDS:=$(if test "${FULL-}" = 1; then echo 120; else echo 10; fi)}"

# A guest that claims its disk while it runs, and says so if somebody else has it.
write_witness()
{
	cat >"$dir/witness" <<-'END'
		#!/bin/sh
		mkdir "$1.claim" 2>/dev/null || {
			echo "$1 has two writers" >>two-writers
			exit 99
		}
		echo >>"$1.ran"
		sleep "${2:-0.01}"
		rmdir "$1.claim"
	END
	chmod +x "$dir/witness"
}

# loop STATUSES COMMAND...: until $dir/stop is there; each ends with one of the statuses, or it is told.
loop()
{
	local statuses=$1 status said=$dir/said.$BASHPID

	shift
	until test -e "$dir/stop"; do
		status=0
		"$@" >/dev/null 2>"$said" || status=$?
		echo "$status" >>"$dir/statuses"
		[[ " $statuses " == *" $status "* ]] || {
			echo "status $status of $*: $(cat "$said")" >>"$dir/unexpected"
		}
	done
}

storm_ends()
{
	sleep "$STRESS_SECONDS"
	touch "$dir/stop"
	wait "$@"
	echo "# $(wc -l <"$dir/statuses") starts, of which succeeded $(grep -c '^0$' "$dir/statuses")" >&3
	! test -e "$dir/two-writers" || {
		echo "$(wc -l <"$dir/two-writers") times: $(sort "$dir/two-writers" | uniq -c)"
		false
	}
	! test -e "$dir/unexpected" || {
		head -n 20 "$dir/unexpected"
		false
	}
}

@test "of two starts of one uuid the one that is refused leaves the other alone" {
	local loops=()

	write_witness
	begin holder --disk "$disk" -- ./witness "$disk" 1000
	for _ in 1 2 3 4; do
		loop "1" "$GUESTLOCK" run --uuid "$uuid" --disk "$disk" -- ./witness "$disk" 3>&- &
		loops+=($!)
		loop "0 1" "$GUESTLOCK" run --uuid "$uuid" --disk second.img -- ./witness second.img 3>&- &
		loops+=($!)
	done
	storm_ends "${loops[@]}"
	test "$(wc -l <second.img.ran)" -gt 20
	test "$(wc -l <"$disk.ran")" = 1
}

@test "starts of one uuid that wait for one disk, beside other guests, take turns" {
	local loops=() i

	write_witness
	for i in 1 2 3 4; do
		loop "0 1" "$GUESTLOCK" run --wait 1 --uuid "$uuid" --disk "$disk" -- ./witness "$disk" 3>&- &
		loops+=($!)
	done
	for i in 1 2; do
		loop "0 1" "$GUESTLOCK" run --wait 1 --disk "$disk" -- ./witness "$disk" 3>&- &
		loops+=($!)
	done
	storm_ends "${loops[@]}"
	test "$(wc -l <"$disk.ran")" -gt 20
}
