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

@test "check tells that they are separate from root's, and where they are" {
	prepare
	run -0 "${as_user[@]}" check --json
	test "$(jq -r '.checks[] | select(.check == "run directory").detail' <<<"$output" | sed 's/ will be made.*//')" = \
		"$dir/xdg/guestlock"
	test "$(jq -r '.checks[] | select(.check == "state directory").detail' <<<"$output")" = "$dir/home/state/guestlock"
	test "$(jq -r '.checks[] | select(.check == "lock_dir").detail' <<<"$output")" = "$dir/home/state/guestlock/fcntl"
	user=$(jq -r '.checks[] | select(.check == "user").detail' <<<"$output")
	contains "$user" "not root"
	contains "$user" "separate from root's"
	contains "$user" "Root's are not listed"
	contains "$user" "unless they use the same lock_dir"
	test "$(jq -r '.checks[] | select(.check == "user").result' <<<"$output")" = note
}

@test "what check tells is so: two users' guests have one disk, and neither is listed to the other" {
	prepare
	need_root
	begin roots --disk "$disk"
	"${as_user[@]}" run --name theirs --disk "$disk" -- sleep 300 >"$dir/theirs" 2>&1 3>&- &
	theirs_runs()
	{
		test "$("${as_user[@]}" list --json | jq -c '[.guests[] | [.name, .state]]')" = '[["theirs","running"]]'
	}
	eventually theirs_runs
	test "$(gl list --json | jq -c '[.guests[].name]')" = '["roots"]'
	test "$(holder "$disk")" = roots
}

@test "a lock_dir is for one user: others are refused, by check, too" {
	prepare
	need_root
	begin roots --disk "$disk"
	chmod 0755 "$dir/state" "$dir/state/fcntl"
	mkdir -m 777 "$dir/theirs"
	write_config "$dir/theirs.conf" "$dir/theirs/run" "$dir/state"
	run -77 --separate-stderr "${as_user[@]}" -c "$dir/theirs.conf" run --disk "$disk" -- true
	is_message "$stderr"
	contains "$stderr" "the user that owns the lock directory"
	run -77 "${as_user[@]}" -c "$dir/theirs.conf" check
	contains "$output" "the user that owns the lock directory"
	chmod 1777 "$dir/state/fcntl"
	run -77 --separate-stderr "${as_user[@]}" -c "$dir/theirs.conf" run --disk "$disk" -- true
	contains "$stderr" "others than its owner may write there"
	run -77 --separate-stderr gl run --disk "$dir/second.img" -- true
	contains "$stderr" "others than its owner may write there"
}

@test "a disk that the user may not reach: refused" {
	prepare
	need_root
	mkdir -m 700 "$dir/secret"
	touch "$dir/secret/disk"
	run -77 --separate-stderr "${as_user[@]}" run --disk "$dir/secret/disk" -- true
	is_message "$stderr"
}
