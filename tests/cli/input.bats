#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Bad input: each with its own message and status, and nothing is taken.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

refused()
{
	local status_wanted=$1

	shift
	run "-$status_wanted" --separate-stderr gl run "$@" -- touch "$dir/ran"
	is_message "$stderr"
	test ! -e "$dir/ran"
	nothing_taken
}

@test "a missing disk: 66" {
	refused 66 --disk "$disk" --disk "$dir/missing.img"
	contains "$stderr" "$dir/missing.img"
	refused 66 --disk "$dir/no/such/directory/disk.img"
	ln -s missing.img "$dir/dangling.img"
	refused 66 --disk "$dir/dangling.img"
}

@test "a directory, a socket, a pipe, a character device: 64" {
	refused 64 --disk "$disk" --disk "$dir"
	contains "$stderr" directory
	mkfifo "$dir/pipe"
	refused 64 --disk "$dir/pipe"
	refused 64 --disk /dev/null
}

@test "a path through a file, and links in a circle" {
	run ! gl run --disk "$disk/x" -- true
	ln -s circle.img "$dir/circle.img"
	run ! gl run --disk "$dir/circle.img" -- true
	nothing_taken
}

@test "a path that is not UTF-8, and one with newlines and controls: locked and shown as such" {
	odd=$dir/$(printf 'a\xff\xfe b\nc\033[31m')
	touch "$odd"
	begin odd --disk "$odd"
	run -1 --separate-stderr gl run --disk "$odd" -- true
	is_message "$stderr"
	contains "$stderr" '\xff\xfe b\x0ac\x1b[31m'
	test "$(holder "$odd")" = odd
	run -0 gl show odd
	contains "$output" '\xff\xfe b\x0ac\x1b[31m'
	run -0 gl show odd --json
	test "$(jq -r '.guests[0].resources[] | select(.type == "disk").name' <<<"$output")" = \
		"$dir/$(printf 'a\\xff\\xfe b\nc\033[31m')"
	run -0 gl check "$odd" --json
	test "$(jq .ok <<<"$output")" = true
	run -0 gl graph
	run -0 gl detach odd --disk "$odd"
	test -z "$(holder "$odd")"
}

# named NAME: a guest of that name on the disk.
named()
{
	"$GUESTLOCK" run --uuid 6e6f6e65-0000-4000-8000-00000000000f --name "$1" --disk "$disk" -- sleep 300 >/dev/null 2>&1 3>&- &
	supervisor=$!
	eventually has 6e6f6e65-0000-4000-8000-00000000000f state running
}

@test "names that are not UTF-8, with newlines, spaces and quotes: shown as such, found by name" {
	odd=$(printf 'n\xc3\x28 "q"\n\\x41\033[1m')
	named "$odd"
	run -0 gl list --no-headings
	test "$(wc -l <<<"$output")" = 1
	contains "$output" 'n\xc3( "q"\x0a\x41\x1b[1m'
	run -0 gl list --json
	test "$(jq -r '.guests[0].name' <<<"$output")" = "$(printf 'n\\xc3( "q"\n\\x41\033[1m')"
	run -0 gl show "$odd" --json
	run -1 --separate-stderr gl run --disk "$disk" -- true
	is_message "$stderr"
}

@test "names in other scripts are shown as they are" {
	named "грузовик-🚚"
	contains "$(gl list)" "грузовик-🚚"
	test "$(gl list --json | jq -r '.guests[0].name')" = "грузовик-🚚"
	LC_ALL=C run -0 gl list --json
	test "$(jq -r '.guests[0].name' <<<"$output")" = "грузовик-🚚"
}

@test "a path of 4000 bytes" {
	long=$dir
	cd "$dir"
	part=$(printf 'd%.0s' {1..200})
	while ((${#long} + 202 < 4000)); do
		mkdir "$part"
		cd "$part"
		long+=/$part
	done
	rest=$((4000 - ${#long} - 1))
	file=$(printf 'f%.0s' $(seq "$rest"))
	touch "$file"
	long+=/$file
	test "${#long}" = 4000
	begin deep --disk "$long"
	test "$(holder "$long")" = deep
	run -1 --separate-stderr gl run --disk "$long" -- true
	is_message "$stderr"
	contains "$stderr" deep
	test "$(gl show deep --json | jq -r '.guests[0].resources[] | select(.type == "disk").name')" = "$long"
	run -0 gl detach deep --disk "$long"
	cd /
}

@test "a path that is too long" {
	long=/$(printf 'x%.0s' {1..5000})
	refused 64 --disk "$long"
	run ! gl holders "$long"
}

@test "a name of 4000 bytes is fine, one of 5000 is not: 64" {
	name=$(printf 'n%.0s' {1..4000})
	named "$name"
	run -0 gl show "$name" --json
	test "$(jq -r '.guests[0].name' <<<"$output")" = "$name"
	kill -KILL "$(pid_of "$name")"
	ended "$supervisor" 137
	refused 64 --name "$(printf 'n%.0s' {1..5000})" --disk "$disk"
}

@test "a uuid that is none: 64" {
	for uuid in "" x 6e6f6e65-0000-4000-8000-00000000000 6e6f6e65-0000-4000-8000-00000000000g \
		6e6f6e65000040008000000000000000a ../../../../../../../etc/passwd; do
		refused 64 --uuid "$uuid" --disk "$disk"
	done
}

@test "the same disk twice is one disk; the stronger mode counts" {
	begin web --disk "$disk,shared" --disk "$disk"
	test "$(gl holders "$disk" --json | jq -r '.resources[0].holders | map(.mode) | join(",")')" = exclusive
}

@test "a state directory that cannot be made" {
	touch "$dir/file"
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/file/state"
	run ! --separate-stderr gl run --disk "$disk" -- touch "$dir/ran"
	is_message "$stderr"
	test ! -e "$dir/ran"
}

@test "a run directory that cannot be made: 73" {
	touch "$dir/file"
	write_config "$GUESTLOCK_CONFIG" "$dir/file/run" "$dir/state"
	run -73 --separate-stderr gl run --disk "$disk" -- touch "$dir/ran"
	is_message "$stderr"
	test ! -e "$dir/ran"
	test -z "$(holder "$disk")"
}

@test "a read-only run directory: refused before anything is taken; looking is possible" {
	small_filesystem 1m
	mkdir "$dir/small/run"
	mount -o remount,ro "$dir/small"
	write_config "$GUESTLOCK_CONFIG" "$dir/small/run" "$dir/state"
	refused 73 --disk "$disk"
	run -0 gl list
	run -73 gl check
	contains "$output" problem
}

@test "a full run directory: refused before anything is taken" {
	small_filesystem 64k
	write_config "$GUESTLOCK_CONFIG" "$dir/small/run" "$dir/state"
	gl -q run -- true
	head -c 64k /dev/zero >"$dir/small/filler" 2>/dev/null || :
	refused 73 --disk "$disk"
	rm "$dir/small/filler"
	run -0 gl run --disk "$disk" -- true
}

@test "the run directory fills up under a running guest: it keeps its locks, and ends in order" {
	small_filesystem 64k
	write_config "$GUESTLOCK_CONFIG" "$dir/small/run" "$dir/state"
	begin web --disk "$disk"
	head -c 64k /dev/zero >"$dir/small/filler" 2>/dev/null || :
	# What fits the record's own file goes on for a while.
	for ((nth = 0; nth < 200; nth++)); do
		truncate -s 4K "$dir/disk number $nth"
		run --separate-stderr gl attach web --disk "$dir/disk number $nth"
		test "$status" = 0 || break
	done
	test "$status" != 0
	is_message "$stderr"
	test -z "$(holder "$dir/disk number $nth")"
	test "$(holder "$disk")" = web
	rm "$dir/small/filler"
	kill -TERM "$supervisor"
	ended "$supervisor" 143
	nothing_taken
}

@test "a run directory without rights: 77 or 73, for who is not root" {
	test "$(id -u)" != 0 || skip "root may do anything"
	mkdir -m 500 "$dir/run"
	run ! --separate-stderr gl run --disk "$disk" -- touch "$dir/ran"
	[[ $status == 73 || $status == 77 ]]
	is_message "$stderr"
	test ! -e "$dir/ran"
}

@test "a missing tether directory, a removed run directory: a guest that lives is still found by its locks" {
	begin web --disk "$disk"
	rm -r "$dir/run"
	run -1 --separate-stderr gl run --disk "$disk" -- true
	is_message "$stderr"
}

# Output goes through a pipe, as the limit would end whoever writes it to a file, too.
limited()
{
	(
		ulimit -f 0
		exec env --default-signal=XFSZ "$GUESTLOCK" "$@" 2>&1
	) | cat
	return "${PIPESTATUS[0]}"
}

@test "a limit of the size of files: said so, and nothing is left behind" {
	run ! limited run --disk "$disk" -- touch "$dir/ran"
	contains "$output" "File too large"
	test ! -e "$dir/ran"
	begin web --disk "$disk"
	run -74 limited attach web --disk "$dir/second.img"
	contains "$output" "File too large"
	run -74 limited pause web
	run -1 other_host run --disk "$disk" -- true
	has web state running
	kill -KILL "$(pid_of web)"
	ended "$supervisor" 137
	test -z "$(find "$dir/run/guests" "$dir/state/fcntl/life" -name .files -prune -o -type f -print)"
}
