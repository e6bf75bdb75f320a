#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is printed: all of it or an error, colour where it belongs, messages where they belong.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

full()
{
	"$GUESTLOCK" "$@" >/dev/full
}

@test "a full standard output is noticed: 74" {
	begin web --disk "$disk"
	for command in list "list --json" "show web" "holders $disk" check backends config "config --defaults" explain \
		graph "graph --lifecycle" help --version "run --help" reap inquire\ web; do
		run -74 --separate-stderr full $command
		contains "$stderr" "No space left"
	done
}

@test "a pipe that nobody reads ends the command, not the locks" {
	begin web --disk "$disk"
	run -0 bash -c "set -o pipefail; '$GUESTLOCK' explain --json | head -n 1"  || test "$status" = 141
	has web state running
}

@test "messages do not mix with the output" {
	begin first --disk "$disk"
	run -1 --separate-stderr gl run --disk "$disk" -- true
	test -z "$output"
	run -0 --separate-stderr gl list
	test -z "$stderr"
}

@test "--quiet: errors only" {
	run -0 --separate-stderr gl --quiet run --disk "$disk" -- true
	test -z "$stderr"
	begin first --disk "$disk"
	run -1 --separate-stderr gl --quiet run --wait 0.3 --disk "$disk" -- true
	test "$(wc -l <<<"$stderr")" = 1
	run -1 --separate-stderr gl --quiet run --disk "$disk" -- true
	is_message "$stderr"
}

@test "JSON is valid for every command that has it" {
	begin web --disk "$disk" --lease 'k,path=/x' --param 'a=b"c'
	for command in list "show web" "holders $disk" reap "check $disk" backends config explain "inquire web"; do
		run -0 --separate-stderr gl $command --json
		jq -e 'type == "object"' <<<"$output" >/dev/null
	done
}

@test "no colour in a pipe; colour on a terminal; none with NO_COLOR or a dumb terminal" {
	command -v script >/dev/null || skip "needs script"
	begin web --disk "$disk"
	escape=$(printf '\033[')
	[[ "$(gl list)" != *"$escape"* ]]
	typed()
	{
		script -qec "$* $GUESTLOCK list" /dev/null </dev/null 2>&1 3>&-
	}
	contains "$(typed env TERM=xterm)" "$escape"
	[[ "$(typed env TERM=xterm NO_COLOR=1)" != *"$escape"* ]]
	[[ "$(typed env TERM=dumb)" != *"$escape"* ]]
}
