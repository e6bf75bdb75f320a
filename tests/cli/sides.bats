#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who only reads a disk and who writes it together with others: never both.
# What the helpers set.
# shellcheck disable=SC2154,SC2034
load helpers

setup_readers()
{
	printf 'readonly_disks = shared\n' >>"$GUESTLOCK_CONFIG"
	write_config "$dir/other.conf" "$dir/other-run" "$dir/state" "readonly_disks = shared"
}

# refused_to NAME WORDS COMMAND...: it ends with 1, and says so.
refused_to()
{
	local words=$1

	shift
	run -1 --separate-stderr "$@"
	is_message "$stderr"
	contains "$stderr" "$words"
}

@test "a reader is not let in beside writers, nor a writer beside readers" {
	setup_readers
	begin web --disk "$disk,shared"
	for who in gl other_host; do
		refused_to "guest web" "$who" run --disk "$disk,readonly" -- touch "$dir/ran"
		contains "$stderr" "to write"
		run -0 "$who" run --disk "$disk,shared" -- true
	done
	kill -KILL "$(pid_of web)"
	eventually gone web
	begin web --disk "$disk,readonly"
	for who in gl other_host; do
		refused_to "guest web" "$who" run --disk "$disk,shared" -- touch "$dir/ran"
		contains "$stderr" "to read only"
		run -0 "$who" run --disk "$disk,readonly" -- true
		refused_to "guest web" "$who" run --disk "$disk" -- touch "$dir/ran"
	done
	kill -KILL "$(pid_of web)"
	eventually gone web
	run -0 gl run --disk "$disk,shared" -- true
	run -0 gl run --disk "$disk" -- true
	test ! -e "$dir/ran"
}

@test "the same of what is attached, and detached" {
	setup_readers
	begin web --disk "$disk,shared"
	begin other --disk "$dir/second.img"
	refused_to "guest web" gl attach other --disk "$disk,readonly"
	gl attach other --disk "$disk,shared"
	gl detach web --disk "$disk"
	begin reader --disk "$dir/third.img"
	refused_to "guest other" gl attach reader --disk "$disk,readonly"
	gl detach other --disk "$disk"
	gl attach reader --disk "$disk,readonly"
	refused_to "guest reader" gl attach other --disk "$disk,shared"
	# Not in passing: others may read it, too.
	run -65 --separate-stderr gl attach reader --disk "$disk,shared"
	contains "$stderr" "detach it first"
	gl detach reader --disk "$disk"
	gl attach reader --disk "$disk,shared"
}

@test "a reader that was paused: not beside writers, and not after them" {
	setup_readers
	begin reader --disk "$disk,readonly"
	gl pause reader
	begin web --disk "$disk,shared"
	# It would be told to wait, were it of use.
	run -65 gl resume reader
	kill -KILL "$(pid_of web)"
	eventually gone web
	run -65 --separate-stderr gl resume reader
	contains "$stderr" "may have written it"
	has reader state paused
}

@test "a reader that was paused resumes after readers, and a writer after both" {
	setup_readers
	begin reader --disk "$disk,readonly"
	state=$(gl pause reader)
	run -0 gl run --disk "$disk,readonly" -- true
	gl resume reader --state "$state"
	kill -KILL "$(pid_of reader)"
	eventually gone reader
	begin web --disk "$disk,shared"
	state=$(gl pause web)
	run -0 gl run --disk "$disk,readonly" -- true
	run -0 gl run --disk "$disk,shared" -- true
	begin reader --disk "$disk,readonly"
	refused_to "guest reader" gl resume web
	kill -KILL "$(pid_of reader)"
	eventually gone reader
	gl resume web --state "$state"
	refused_to "guest web" gl run --disk "$disk,readonly" -- true
}

@test "many readers start at once, and all of them run" {
	setup_readers
	for ((n = 0; n < 12; n++)); do
		gl run --disk "$disk,readonly" -- sh -c 'echo >>"$0"; sleep 1' "$dir/ran" 2>>"$dir/messages" 3>&- &
	done
	wait
	test "$(wc -l <"$dir/ran")" = 12
}

@test "readers and writers that start at once: never both" {
	setup_readers
	for ((n = 0; n < 20; n++)); do
		for kind in readonly shared; do
			for ((k = 0; k < 2; k++)); do
				gl run --wait 1 --disk "$disk,$kind" -- sh -c 'touch "$1.$2.$$"; for f in "$1".*; do
					case $f in "$1.$2".*) ;; "$1.*") ;; *) touch "$3" ;; esac; done; sleep 0.02; rm "$1.$2.$$"' \
					sh "$dir/here" "$kind" "$dir/both" 2>/dev/null 3>&- &
			done
		done
		wait
	done
	test ! -e "$dir/both"
}

@test "a start that is killed keeps nobody out" {
	setup_readers
	for ((n = 0; n < 20; n++)); do
		"$GUESTLOCK" run --name "killed$n" --disk "$disk,readonly" -- sleep 300 >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "0.00$((n % 10))"
		kill -KILL "$pid"
		wait "$pid" || :
		while read -r pid; do kill -KILL "$pid" || :; done < <(gl --quiet list --json | jq '.guests[].pid')
		run -0 gl run --wait 5 --disk "$disk,shared" -- true
		run -0 gl run --wait 5 --disk "$disk,readonly" -- true
	done
	gl reap
	test "$(gl list --json | jq '.guests | length')" = 0
}

@test "parts of a disk are read and written by the same rule" {
	setup_readers
	image "$dir/img"
	loop_of "$dir/img"
	begin web --disk "${loop}p1,shared"
	refused_to "guest web" gl run --disk "$dir/img,readonly" -- true
	run -0 gl run --disk "$dir/img,shared" -- true
	run -0 gl run --disk "${loop}p2,readonly" -- true
}

@test "who only reads is told from who writes" {
	setup_readers
	begin web --disk "$disk,shared" --disk "$dir/second.img,readonly"
	run -0 gl holders --no-headings "$disk" "$dir/second.img"
	test "$(awk '{ print $2 }' <<<"$output" | paste -sd ' ')" = "shared,writing shared,reading"
	gl holders --json "$disk" "$dir/second.img" |
		jq -e '[.resources[].holders[] | [.mode, .readonly]] == [["shared", false], ["shared", true]]'
	run -0 gl list --cluster --no-headings
	contains "$output" "shared,writing file:$disk"
	contains "$output" "shared,reading file:$dir/second.img"
	[[ $output != *readers:* && $output != *writers:* ]]
	test "$(property web resources | jq -r '[.[].type] | sort | join(" ")')" = "disk disk guest"
	test "$(gl list --no-headings | awk '{ print $6 }')" = 2
	[[ $(gl graph) != *readers:* ]]
	gl list --cluster --json | jq -e '[.guests[].locks[] | .readonly] | sort == [null, false, true]'
}
