#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# check, backends, config: does it work here, and how is it set.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

@test "check: all is well" {
	run -0 --separate-stderr gl check
	test "$(head -n 1 <<<"$output" | tr -s ' ' | sed 's/ $//')" = "CHECK RESULT DETAIL"
	for check in configuration backend "run directory" user; do
		contains "$output" "$check"
	done
	[[ "$output" != *problem* ]]
	contains "$output" "$dir/run"
	run -0 gl check --json
	test "$(jq -c '[.ok, (.checks | map(.check)), .resources]' <<<"$output")" = \
		'[true,["configuration","backend","run directory","state directory","lock_dir","user"],[]]'
	test "$(jq -r '.checks[0].detail' <<<"$output")" = "$GUESTLOCK_CONFIG"
	run -0 gl -c guestlock.conf check --json
	test "$(jq -r '.checks[0].detail' <<<"$output")" = guestlock.conf
	test "$(jq -r '.checks[4].detail' <<<"$output")" = "$dir/state/fcntl"
}

@test "check PATH: identity, key and holder" {
	run -0 gl check "$disk"
	contains "$output" "file:$disk"
	contains "$output" "held by nobody"
	begin web --disk "$disk"
	ln -s disk.img "$dir/link"
	run -0 gl check --json "$dir/link" "$dir/second.img"
	test "$(jq -c '.resources | map([.identity, (.key | length), (.holders | map(.name))])' <<<"$output")" = \
		"[[\"file:$disk\",43,[\"web\"]],[\"file:$dir/second.img\",43,[]]]"
	test "$(jq -r '.resources[0].key' <<<"$output")" = \
		"$(gl show web --json | jq -r --arg disk "$disk" '.guests[0].resources[] | select(.name == $disk).key')"
	run -0 gl check "$disk"
	contains "$output" "web"
}

@test "check PATH: what is wrong with it, and the status of the first problem" {
	run -66 gl check "$dir/missing"
	contains "$output" problem
	run -64 --separate-stderr gl check "$dir" "$dir/missing"
	test "$(gl check --json "$dir/missing" | jq .ok)" = false
}

@test "check: a run directory that is none" {
	touch "$dir/file"
	write_config "$GUESTLOCK_CONFIG" "$dir/file" "$dir/state"
	run -73 gl check
	contains "$output" "not a directory"
}

# Refused by check, and by whoever would use it, with words that say what is wrong.
refused_directory() # WORDS
{
	run -77 gl check
	contains "$output" "$1"
	run -77 --separate-stderr gl run --disk "$disk" -- true
	contains "$stderr" "$1"
	run -77 --separate-stderr gl reap
	contains "$stderr" "$1"
}

@test "a run, state or lock directory that others may write to, or a link, is refused: 77" {
	gl run --disk "$disk" -- true
	for part in run run/guests run/hints/file state state/fcntl state/fcntl/keys state/fcntl/life; do
		chmod 0777 "$dir/$part"
		refused_directory "others than its owner may write there (mode 0777)"
		chmod 0700 "$dir/$part"
	done
	for part in run state/fcntl; do
		mv "$dir/$part" "$dir/elsewhere"
		ln -s "$dir/elsewhere" "$dir/$part"
		refused_directory "$dir/$part: it is a symbolic link"
		rm "$dir/$part"
		mv "$dir/elsewhere" "$dir/$part"
	done
	gl run --disk "$disk" -- true
}

@test "a run or lock directory that belongs to somebody else is refused: 77" {
	test "$(id -u)" = 0 || skip "only root can make one"
	gl run --disk "$disk" -- true
	for part in run run/guests state/fcntl state/fcntl/life; do
		chown 65534 "$dir/$part"
		refused_directory "$dir/$part: it belongs to user 65534"
		chown 0 "$dir/$part"
	done
	gl run --disk "$disk" -- true
}

@test "check: who is not root is told whose guests are seen" {
	run -0 gl check --json
	if test "$(id -u)" = 0; then
		contains "$(jq -r '.checks[-1].detail' <<<"$output")" root
	else
		test "$(jq -r '.checks[-1].result' <<<"$output")" = note
		contains "$(jq -r '.checks[-1].detail' <<<"$output")" separate
	fi
}

@test "backends: the selected one is ready" {
	run -0 gl backends
	test "$(head -n 1 <<<"$output" | tr -s ' ' | sed 's/ $//')" = "NAME DESCRIPTION CAPABILITIES STATUS"
	contains "$output" "selected, ready"
	run -0 gl backends --json
	test "$(jq '[.backends[] | select(.selected and .ok)] | length' <<<"$output")" = 1
	test "$(jq '.backends[0].capabilities | index("shared") != null' <<<"$output")" = true
	test "$(jq -r '.backends[0].file | test("^/.*[.]so$")' <<<"$output")" = true
}

@test "backends: one that cannot be loaded is shown with the reason" {
	mkdir "$dir/modules"
	echo junk >"$dir/modules/junk.so"
	GUESTLOCK_BACKEND_PATH=$GUESTLOCK_BACKEND_PATH:$dir/modules run -0 gl backends --json
	test "$(jq -c '[.backends[] | select(.name == "junk")][0] | [.ok, .selected, (.message | length > 0)]' <<<"$output")" = \
		'[false,false,true]'
	GUESTLOCK_BACKEND_PATH=$GUESTLOCK_BACKEND_PATH:$dir/modules run -0 gl backends
	contains "$output" unusable
}

@test "a backend that is not installed: 69, with those that are" {
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "backend = nosuch"
	for command in list check backends "run true" reap; do
		run -69 --separate-stderr gl $command
		is_message "$stderr"
		contains "$stderr" nosuch
	done
}

@test "config: every value and where it comes from" {
	run -0 gl config
	test "$(head -n 1 <<<"$output" | tr -s ' ' | sed 's/ $//')" = "SECTION KEY VALUE ORIGIN"
	test "$(awk '$2 == "run_dir" { print $1, $3, $4 }' <<<"$output")" = "guestlock $dir/run $GUESTLOCK_CONFIG:2"
	test "$(awk '$2 == "acquire_timeout" { print $3, $4 }' <<<"$output")" = "30 default"
	run -0 gl config --timeout 7
	test "$(awk '$2 == "acquire_timeout" { print $3, $4 }' <<<"$output")" = "7 override"
	run -0 gl config --json
	test "$(jq -c '[.settings[] | select(.key == "lock_disks")][0] | [.section, .value, .type, .origin, (.help | length > 0)]' \
		<<<"$output")" = '["guestlock","yes","bool","default",true]'
}

@test "config --defaults: a file that changes nothing, and is valid with and without the comment signs" {
	gl config --defaults >"$dir/defaults.conf"
	contains "$(cat "$dir/defaults.conf")" "[guestlock]"
	run -0 gl -c "$dir/defaults.conf" config --json
	test "$(jq '[.settings[] | select(.origin != "default")] | length' <<<"$output")" = 0
	sed -E 's/^#([a-z])/\1/' "$dir/defaults.conf" >"$dir/explicit.conf"
	run -0 gl -c "$dir/explicit.conf" config --json
	test "$(jq '[.settings[] | select(.origin == "default" and .value != "")] | length' <<<"$output")" = 0
}

@test "a configuration that is wrong: 78, with file, line and what would be right" {
	while IFS= read -r line; do
		write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "$line"
		run -78 --separate-stderr gl list
		is_message "$stderr"
		contains "$stderr" "$GUESTLOCK_CONFIG:4"
	done <<-'END'
		no_such_key = 1
		lock_disk = yes
		lock_disks = perhaps
		acquire_timeout = 0
		acquire_timeout = soon
		run_dir = /elsewhere
		nonsense
	END
	write_config "$GUESTLOCK_CONFIG" relative "$dir/state"
	run -78 gl list
}

@test "a configuration file that is missing or cannot be read: 78" {
	run -78 --separate-stderr gl -c "$dir/missing.conf" list
	contains "$stderr" "$dir/missing.conf"
	GUESTLOCK_CONFIG=$dir/missing.conf run -78 gl list
	run ! gl -c "$dir" list
}

@test "log = FILE: messages go there, errors of the command to standard error, too" {
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "log = $dir/log"
	run -0 --separate-stderr gl run --disk "$disk" -- true
	test -z "$stderr"
	contains "$(cat "$dir/log")" "uuid is"
	run -66 --separate-stderr gl run --disk "$dir/missing" -- true
	is_message "$stderr"
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "log = $dir/none/log"
	run -73 gl list
}

@test "log_level: less is less" {
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "log_level = warning"
	run -0 --separate-stderr gl run --disk "$disk" -- true
	test -z "$stderr"
}

@test "log = auto: lines carry their priority when standard error is the journal's stream" {
	exec 8>"$dir/journal"
	JOURNAL_STREAM=$(stat -L -c %d:%i "$dir/journal") gl run --disk "$disk" -- true 2>&8
	contains "$(cat "$dir/journal")" "<6>guestlock: "
}
