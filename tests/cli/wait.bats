#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# --wait: so long and no longer, and it is said for whom.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

elapsed_ms()
{
	local begin end

	begin=$(date +%s%N)
	"$@"
	end=$(date +%s%N)
	elapsed=$(((end - begin) / 1000000))
}

@test "without --wait a refusal comes at once" {
	begin first --disk "$disk"
	elapsed_ms run -1 gl run --disk "$disk" -- true
	((elapsed < 20000))
}

@test "--wait gives up in time, with the refusal" {
	begin first --disk "$disk"
	elapsed_ms run -1 --separate-stderr gl run --wait 0.7 --disk "$disk" -- true
	((elapsed >= 700 && elapsed < 20000))
	contains "$stderr" "waiting up to 0."
	test "$(grep -c "waiting up to" <<<"$stderr")" = 1
	contains "$(tail -n 1 <<<"$stderr")" first
	gone waiting
}

# until_told: a command that ends once $dir/go is there.
until_told=(sh -c 'until test -e go; do sleep 0.02; done')

@test "--wait gets the lock when the holder ends" {
	begin first --disk "$disk" -- "${until_told[@]}"
	background "$GUESTLOCK" run --name second --wait 30 --disk "$disk" -- echo got it
	eventually grep -q "waiting up to .*first" "$dir/background"
	touch "$dir/go"
	elapsed_ms ended "$supervisor" 0
	((elapsed < 20000))
	contains "$(cat "$dir/background")" "got it"
}

@test "--wait gets the lock when the holder is killed" {
	begin first --disk "$disk"
	pid=$(pid_of first)
	background "$GUESTLOCK" -q run --wait 30 --disk "$disk" -- echo got it
	sleep 0.3
	kill -KILL "$pid"
	ended "$supervisor" 0
	contains "$(cat "$dir/background")" "got it"
}

@test "--wait 0 does not wait; so does a fraction below a millisecond" {
	begin first --disk "$disk"
	run -1 --separate-stderr gl run --wait 0 --disk "$disk" -- true
	[[ "$stderr" != *"waiting"* ]]
	run -1 gl run --wait .0001 --disk "$disk" -- true
}

@test "a huge --wait is possible" {
	run -0 gl run --wait 99999999999999 --disk "$disk" -- true
}

@test "attach waits, too" {
	begin first --disk "$disk" -- "${until_told[@]}"
	begin second --disk "$dir/second.img"
	run -1 gl attach second --disk "$disk"
	background "$GUESTLOCK" attach second --wait 30 --disk "$disk"
	eventually grep -q first "$dir/background"
	touch "$dir/go"
	ended "$supervisor" 0
	test "$(holder "$disk")" = second
}

@test "resume waits, too" {
	begin second --disk "$disk"
	gl pause second >/dev/null
	begin first --disk "$disk,shared" -- "${until_told[@]}"
	run -1 gl resume second
	background "$GUESTLOCK" resume second --wait 30
	eventually grep -q first "$dir/background"
	touch "$dir/go"
	ended "$supervisor" 0
	has second state running
}

# FULL=1: as many as a large host has.
@test "guests that share one disk start, pause, go on and end together" {
	local count=40 pids=() names=() i
	test -z "${FULL-}" || count=1000
	for ((i = 0; i < count; i++)); do
		gl --quiet run --name "g$i" --disk "$disk,shared" -- sleep 600 2>>"$dir/together.err" 3>&- &
		pids+=($!)
		names+=("g$i")
	done
	all_run() { test "$(gl list --json | jq '[.guests[] | select(.state == "running")] | length')" = "$count"; }
	for ((i = 0; i < 10; i++)); do
		if eventually all_run; then break; fi
	done
	all_run
	printf '%s\n' "${names[@]}" | xargs -P 64 -n 1 "$GUESTLOCK" --quiet pause >/dev/null
	printf '%s\n' "${names[@]}" | xargs -P 64 -n 1 "$GUESTLOCK" --quiet resume
	all_run
	gl list --json | jq -r '.guests[].pid' | xargs kill -KILL
	for i in "${pids[@]}"; do
		ended "$i" 137
	done
	test ! -s "$dir/together.err"
	test "$(gl list --json | jq '.guests | length')" = 0
}
