#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Users other than root: their own run directory, with everything that root has.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

# Makes "${as_user[@]}" what executes a command as nobody; where this is not root, as oneself.
prepare()
{
	mkdir "$dir/home" "$dir/xdg"
	as_user=()
	if test "$(id -u)" = 0; then
		as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
		chmod 755 "$dir"
		chown 65534 "$dir/home" "$dir/xdg" "$disk"
	fi
	as_user+=(env -u GUESTLOCK_CONFIG HOME="$dir/home" XDG_RUNTIME_DIR="$dir/xdg"
		XDG_STATE_HOME="$dir/home/state" "$GUESTLOCK")
	"${as_user[@]}" --version >/dev/null 2>&1 || skip "another user cannot execute $GUESTLOCK"
	"${as_user[@]}" backends >/dev/null 2>&1 || skip "another user cannot read the backends"
}

@test "a user's guests: run, refuse, list, pause, resume, reap" {
	prepare
	"${as_user[@]}" run --name mine --disk "$disk" -- sleep 300 >"$dir/mine" 2>&1 3>&- &
	supervisor=$!
	mine()
	{
		test "$("${as_user[@]}" list --json | jq -r '.guests[0].state')" = "$1"
	}
	eventually mine running
	test -e "$dir/xdg/guestlock/guests"
	run -1 --separate-stderr "${as_user[@]}" run --disk "$disk" -- true
	contains "$stderr" mine
	run -0 --separate-stderr "${as_user[@]}" pause mine
	state=$output
	mine paused
	run -0 "${as_user[@]}" resume mine --state "$state"
	mine running
	run -0 "${as_user[@]}" attach mine --disk "$disk"
	kill -TERM "$supervisor"
	ended "$supervisor" 143
	run -0 "${as_user[@]}" list
	test -z "$output"
}

@test "check tells that they are separate from root's" {
	prepare
	run -0 "${as_user[@]}" check
	contains "$output" "separate"
	contains "$output" "$dir/xdg/guestlock"
}

@test "a disk that the user may not reach: refused" {
	prepare
	need_root
	mkdir -m 700 "$dir/secret"
	touch "$dir/secret/disk"
	run -77 --separate-stderr "${as_user[@]}" run --disk "$dir/secret/disk" -- true
	is_message "$stderr"
}
