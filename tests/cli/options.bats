#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What every command has in common: options, help, mistakes on the command line.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

commands="run list show holders attach detach pause resume inquire migrate release adopt reap check backends config
	explain graph unprovision help"

@test "without a command: usage on standard error, 64" {
	run -64 --separate-stderr gl
	test -z "$output"
	contains "$stderr" "Usage: guestlock"
}

@test "help names every command, and each has help of its own" {
	run -0 gl help
	for command in $commands; do
		contains "$output" "  $command "
	done
	for command in $commands; do
		run -0 --separate-stderr gl help "$command"
		contains "$output" "Usage: guestlock $command"
		contains "$output" "--conflict-exit-code"
		test -z "$stderr"
		help=$output
		run -0 gl "$command" --help
		test "$output" = "$help"
	done
}

@test "help of a command that does not exist: 64" {
	run -64 gl help frobnicate
	contains "$output" 'no command "frobnicate"'
}

@test "--version, before and after the command" {
	run -0 gl --version
	[[ "$output" =~ ^guestlock\ [0-9]+\.[0-9]+\.[0-9]+ ]]
	run -0 gl list --version
	[[ "$output" =~ ^guestlock\ [0-9]+ ]]
}

@test "an unknown command, option, or one too short: 64, with the command's name" {
	run -64 --separate-stderr gl frobnicate
	is_message "$stderr"
	run -64 --separate-stderr gl list --frobnicate
	contains "$stderr" "--frobnicate"
	contains "$stderr" "guestlock list --help"
	run -64 --separate-stderr gl list -x
	contains "$stderr" "-x"
	run -64 --separate-stderr gl run --i true
	contains "$stderr" "--i"
	run -64 --separate-stderr gl list --json=yes
	contains "$stderr" "--json=yes"
}

@test "an option without its argument: 64" {
	for options in "run --disk" "run --wait" "show --config" "list -c" "resume --state" "migrate --to" "-E"; do
		run -64 --separate-stderr gl $options
		contains "$stderr" "wants an argument"
	done
}

@test "words that are missing or too many: 64" {
	for words in "list x" "show" "show a b" "pause" "resume" "inquire" "attach" "attach g" "detach g" "migrate" \
		"migrate prepare" "migrate begin g" "migrate complete --in --out g" "release" "release --orphan k g" \
		"adopt" "adopt 1 2" "reap x" "backends x" "config x" "graph x" "explain a b" "holders" "run"; do
		run -64 --separate-stderr gl $words
		is_message "$stderr"
	done
}

@test "numbers that are none: 64" {
	for words in "-E 256 list" "-E -1 list" "-E x list" "--timeout 0 list" "--timeout x list" "--timeout 1.5 list" \
		"--timeout 86401 list" "run --wait -1 true" "run --wait x true" "run --wait 1e3 true" "run --wait nan true" \
		"run --wait . true" "run --wait= true" "run --wait 1.2.3 true" "resume --wait x g" "adopt 0" "adopt -- -1" \
		"adopt 99999999999" "adopt 12x"; do
		run -64 --separate-stderr gl $words
		is_message "$stderr"
	done
}

@test "options of every command work before and after its name" {
	run -0 gl --json list
	before=$output
	run -0 gl list --json
	test "$output" = "$before"
	run -0 gl -c "$GUESTLOCK_CONFIG" list
	run -0 gl list -c "$GUESTLOCK_CONFIG"
}

@test "long options can be shortened" {
	run -0 gl list --no-head
	run -0 gl graph --life
}

@test "--disk: its flags, and what it does not know" {
	run -64 gl run --disk "$disk,rw" true
	contains "$output" '"rw"'
	run -64 gl run --disk ",shared" true
	run -64 gl run --disk "$disk,shared,readonly" true
	run -64 gl run --disk "" true
}

@test "--disk: a comma in a path is written twice" {
	touch "$dir/a,b"
	begin comma --disk "$dir/a,,b"
	test "$(holder "$dir/a,b")" = comma
	test "$(gl show comma --json | jq -r '.guests[0].resources[] | select(.type == "disk").name')" = "$dir/a,b"
	touch "$dir/c,"
	run -0 gl run --disk "$dir/c,,,shared" true
}

@test "--disk: a relative path begins at the working directory" {
	begin relative --disk disk.img
	test "$(holder "$disk")" = relative
	test "$(holder disk.img)" = relative
}

@test "--lease: its parts, and what it does not know" {
	begin leased --lease "key,,1,lockspace=ls,path=/a/b,offset=1048576"
	run -0 gl show leased --json
	test "$(jq -c '.guests[0].resources[] | select(.type == "lease" and .lockspace == "ls") |
		[.name, .lockspace, .path, .offset, .mode]' <<<"$output")" = '["key,1","ls","/a/b",1048576,"exclusive"]'
	run -1 gl run --lease "key,,1,lockspace=ls,path=/a/b,offset=1048576" true
	run -0 gl run --lease "key,,1,lockspace=other" true
	for lease in "" ",offset=1" "k,offset=x" "k,offset=" "k,frob=1" "k,frob"; do
		run -64 gl run --lease "$lease" true
	done
}

@test "closed standard descriptors do no harm" {
	run -74 closed explain
	run -0 gl run --disk "$disk" true <&-
	run -0 gl run --disk "$disk" true >&-
	test -z "$(ls "$dir/run/guests")"
}

closed()
{
	"$GUESTLOCK" "$@" >&-
}

@test "the guest does not inherit what stands in for closed descriptors" {
	run -0 gl run -- sh -c '[ -e /proc/self/fd/0 ] && ls -l /proc/self/fd >&2; exit 0' <&-
	test "$("$GUESTLOCK" run --name in -- sh -c 'readlink /proc/$$/fd/0 || echo closed' <&-)" = closed
}

@test "a setting on the command line counts more than the file's" {
	run -0 gl -o guestlock.acquire_timeout=7 config -o guestlock.lock_guest=no
	[[ $output =~ acquire_timeout\ +7\ +override ]]
	[[ $output =~ lock_guest\ +no\ +override ]]
	run -78 --separate-stderr gl config --option acquire_timeout=7
	contains "$stderr" "SECTION.KEY=VALUE"
}
