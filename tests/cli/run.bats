#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# run: nothing starts without its locks, and the command's end is passed on.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

@test "the command runs under its lock, and the lock goes with it" {
	run -0 gl run --name web --disk "$disk" -- sh -c "$(declare -f gl holder); holder '$disk'"
	contains "$output" web
	nothing_taken
}

@test "the exit status of the command is passed on" {
	for status in 0 1 3 64 75 126 127 255; do
		run "-$status" gl run --disk "$disk" -- sh -c "exit $status"
	done
	nothing_taken
}

@test "the end of the command by a signal is 128 and its number" {
	run -137 gl run --disk "$disk" -- sh -c 'kill -KILL $$'
	run -143 gl run --disk "$disk" -- sh -c 'kill -TERM $$'
	run -134 gl run --disk "$disk" -- sh -c 'ulimit -c 0; kill -ABRT $$'
	nothing_taken
}

@test "options after the command are the command's" {
	run -0 --separate-stderr gl run echo --name x --help -E 3
	test "$output" = "--name x --help -E 3"
}

@test "options behind the command that look like ours, and a guest without a disk, are warned of" {
	run -0 --separate-stderr gl run --disk "$disk" echo --wait 3
	contains "$stderr" "--wait stands behind the command"
	run -0 --separate-stderr gl run --disk "$disk" -- echo --wait 3
	[[ $stderr != *--wait* && $stderr != *"is protected"* ]]
	run -0 --separate-stderr gl run echo "--disk=$disk"
	contains "$stderr" "--disk=$disk stands behind the command"
	contains "$stderr" "none is protected"
	run -0 --separate-stderr gl -q run echo "--disk=$disk"
	test -z "$stderr"
}

@test "a name that a living guest has is refused, unless a uuid tells the two apart" {
	begin web --disk "$disk"
	run -1 --separate-stderr gl run --name web --disk "$dir/second.img" -- touch "$dir/ran"
	contains "$stderr" "a guest of that name lives here already ($(property web uuid), pid $(pid_of web), running)"
	run -7 --separate-stderr gl -E 7 run --name web --wait 0.2 --disk "$dir/second.img" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	run -0 gl run --name web --uuid 33fe0000-1111-4222-8333-444444444444 --disk "$dir/second.img" -- true
	kill -KILL "$(pid_of web)"
	run -0 gl run --name web --wait 10 --disk "$dir/second.img" -- true
	run -0 gl run --name web --disk "$dir/second.img" -- true
}

@test "standard input and output are the command's" {
	test "$(echo hello | gl --quiet run --disk "$disk" -- tr a-z A-Z 2>&1)" = HELLO
}

@test "a made-up uuid is told, a given one is used" {
	run -0 --separate-stderr gl run -- true
	[[ "$stderr" =~ "the guest's uuid is "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$ ]]
	run -0 --separate-stderr gl --quiet run -- true
	test -z "$stderr"
	begin given --uuid 6E6F6E65-0000-4000-8000-00000000000A
	test "$(property given uuid)" = 6e6f6e65-0000-4000-8000-00000000000a
}

@test "name, id and parameters are in the record" {
	begin described --id 7 --param os=linux --param "note=a=b" --param empty=
	run -0 gl show described --json
	test "$(jq -c '.guests[0] | [.name, .id, .params.os, .params.note, .params.empty]' <<<"$output")" = \
		'["described","7","linux","a=b",""]'
	run -64 gl run --param novalue true
	run -64 gl run --param =x true
}

@test "a busy disk: refused, with the holder's name, and nothing runs" {
	begin first --disk "$disk"
	run -1 --separate-stderr gl run --name second --disk "$disk" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	is_message "$stderr"
	contains "$stderr" first
	contains "$stderr" "$(property first uuid)"
	contains "$stderr" "pid $(pid_of first)"
	contains "$stderr" "$(uname -n)"
	test "$(grep -o "held" <<<"$stderr" | wc -l)" = 1
	gone second
}

@test "a busy disk of another host's guest is refused just so" {
	begin first --disk "$disk"
	run -1 --separate-stderr other_host run --name second --disk "$disk" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	contains "$stderr" first
	contains "$stderr" "$(property first uuid)"
}

@test "-E changes the status of a refusal, and of nothing else" {
	begin first --disk "$disk"
	run -42 gl -E 42 run --disk "$disk" -- true
	run -0 gl run -E 0 --disk "$disk" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	run -3 gl run -E 42 --disk "$dir/second.img" -- sh -c 'exit 3'
	run -66 gl -E 42 run --disk "$dir/missing.img" -- true
}

@test "one of several disks is busy: none is taken" {
	begin first --disk "$dir/third.img"
	run -1 gl run --disk "$disk" --disk "$dir/second.img" --disk "$dir/third.img" -- true
	test -z "$(holder "$disk")"
	test -z "$(holder "$dir/second.img")"
	test "$(holder "$dir/third.img")" = first
}

@test "shared goes with shared, exclusive with nothing" {
	begin a --disk "$disk,shared"
	begin b --disk "$disk,shared"
	test "$(holder "$disk" | tr , '\n' | sort | tr '\n' ' ')" = "a b "
	run -1 gl run --disk "$disk" -- true
}

@test "readonly disks are not locked by default" {
	begin a --disk "$disk"
	run -0 gl run --disk "$disk,readonly" -- true
}

@test "readonly_disks = shared locks them" {
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "readonly_disks = shared"
	begin a --disk "$disk"
	run -1 gl run --disk "$disk,readonly" -- true
	run -0 gl run --disk "$dir/second.img,readonly" -- true
}

@test "no such program: 127; one that cannot be executed: 126; and nothing is taken" {
	run -127 --separate-stderr gl run --disk "$disk" -- no-such-program
	is_message "$stderr"
	contains "$stderr" no-such-program
	run -127 gl run --disk "$disk" -- ./no-such-program
	run -127 gl run --disk "$disk" -- ""
	touch "$dir/plain"
	run -126 --separate-stderr gl run --disk "$disk" -- "$dir/plain"
	is_message "$stderr"
	run -126 gl run --disk "$disk" -- "$dir"
	nothing_taken
}

@test "what the kernel will not execute is noticed, too" {
	printf '#!/no/such/interpreter\n' >"$dir/script"
	chmod +x "$dir/script"
	run -127 --separate-stderr gl run --disk "$disk" -- "$dir/script"
	is_message "$stderr"
	nothing_taken
}

@test "programs are searched for in PATH" {
	mkdir "$dir/bin" "$dir/bin2"
	printf '#!/bin/sh\nexit 5\n' >"$dir/bin2/tool"
	touch "$dir/bin/tool"
	chmod +x "$dir/bin2/tool"
	PATH=$dir/bin:$dir/bin2:$PATH run -5 gl run -- tool
	PATH=$dir/bin:$PATH run -126 gl run -- tool
	PATH=$dir/none:$disk:$PATH run -127 gl run -- tool
	cd "$dir/bin2"
	PATH=:$PATH run -5 gl run -- tool
}

@test "supervision ends with the command, the locks with the last process" {
	run -0 --separate-stderr gl run --name daemon --disk "$disk" -- sh -c 'setsid sleep 300 >/dev/null 2>&1 & exit 0'
	contains "$stderr" "live on"
	test "$(holder "$disk")" = daemon
	run -1 gl run --disk "$disk" -- true
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.alive, .released]' <<<"$output")" = "[1,0]"
	pkill_marked sleep
	eventually gl --quiet run --disk "$disk" -- true
}

# pkill_marked NAME: ends what this test has started under that name.
pkill_marked()
{
	local pid

	for pid in $(pidof "$1"); do
		if grep -qsF "GUESTLOCK_TEST_MARK=$dir" "/proc/$pid/environ"; then
			kill -KILL "$pid"
		fi
	done
}

@test "a wrapper script keeps the locks of what it executes" {
	printf '#!/bin/sh\n"$@" >/dev/null 2>\&1 &\nexec sleep 0.1\n' >"$dir/wrapper"
	chmod +x "$dir/wrapper"
	run -0 gl run --name wrapped --disk "$disk" -- "$dir/wrapper" sleep 300
	test "$(holder "$disk")" = wrapped
	has wrapped life alive
}

@test "the command is not the leader of anything new, and has default signals" {
	run -0 --separate-stderr gl run -- grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
	blocked=$(awk '/SigBlk/ { print $2 }' <<<"$output")
	test "$((16#$blocked))" = 0
	test "$((16#$(awk '/SigIgn/ { print $2 }' <<<"$output") & 0x7fff))" = 0
}

@test "it inherits one descriptor more" {
	before=$(ls /proc/self/fd 3>&- | wc -l)
	test "$(gl -q run --disk "$disk" -- ls /proc/self/fd 3>&- | wc -l)" = $((before + 1))
}

@test "a hundred disks" {
	options=()
	for i in {1..100}; do
		touch "$dir/disk$i"
		options+=(--disk "$dir/disk$i")
	done
	begin many "${options[@]}"
	test "$(property many resources | jq '[.[] | select(.type == "disk")] | length')" = 100
	test "$(gl list --no-headings | awk '{ print $6 }')" = 100
	run -1 gl run --disk "$dir/disk100" -- true
}

@test "the same disk under a link is the same disk" {
	ln -s disk.img "$dir/link.img"
	begin first --disk "$disk"
	run -1 --separate-stderr gl run --disk "$dir/link.img" -- true
	contains "$stderr" first
}

@test "the same disk under a hard link is refused" {
	ln "$disk" "$dir/hard.img"
	begin first --disk "$disk"
	run -1 --separate-stderr gl run --disk "$dir/hard.img" -- true
	is_message "$stderr"
	contains "$stderr" "$disk"
	contains "$stderr" "first"
}

@test "the same uuid is refused while it lives" {
	uuid=6e6f6e65-0000-4000-8000-00000000000b
	begin first --uuid "$uuid"
	run -1 --separate-stderr gl run --uuid "$uuid" -- true
	contains "$stderr" first
	run -1 other_host run --uuid "$uuid" -- true
}

@test "two hosts start on one disk at once: one of them does, never both" {
	rounds=${GUESTLOCK_RACES:-40}
	for ((i = 0; i < rounds; i++)); do
		rm -f "$dir/both"
		"$GUESTLOCK" -q run --disk "$disk" -- sh -c "mkdir '$dir/both' || exit 9; sleep 0.05; rmdir '$dir/both'" 2>/dev/null 3>&- &
		a=$!
		other_host -q run --disk "$disk" -- sh -c "mkdir '$dir/both' || exit 9; sleep 0.05; rmdir '$dir/both'" 2>/dev/null 3>&- &
		b=$!
		wait "$a" && first=0 || first=$?
		wait "$b" && second=0 || second=$?
		# One after the other is possible; 9 is a second writer.
		case $first$second in
		00 | 01 | 10) ;;
		*) echo "round $i: $first and $second" >&2; return 1 ;;
		esac
		test ! -e "$dir/both"
	done
}

@test "a lease that is shared or read only is taken shared, whatever readonly_disks is" {
	begin one --lease k,path=/p,readonly
	run -0 gl run --lease k,path=/p,shared -- true
	run -1 gl run --lease k,path=/p -- true
	test "$(gl holders --lease k,path=/p --json | jq -r '.resources[0].holders[0].mode')" = shared
	run -0 gl run --help
	contains "$output" "[,shared|,readonly]"
}
