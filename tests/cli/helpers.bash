# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of the command as users type it. GUESTLOCK is the command, GUESTLOCK_BACKEND_PATH has the backends.
# Each test has its own directory ($dir) and its own configuration. Everything it starts carries a mark in its
# environment, by which it is ended whatever became of it.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154
bats_require_minimum_version 1.5.0
load "${BASH_SOURCE[0]%/*}/partitions"

setup()
{
	: "${GUESTLOCK:?is the command to test}"
	test -x "$GUESTLOCK" || return 1
	dir=$(mktemp -d "${TMPDIR:-/tmp}/guestlock-cli.XXXXXX")
	dir=$(realpath "$dir")
	export GUESTLOCK_TEST_MARK=$dir
	export GUESTLOCK_CONFIG=$dir/guestlock.conf
	export LC_ALL=C.UTF-8
	unset NO_COLOR JOURNAL_STREAM
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state"
	disk=$dir/disk.img
	truncate -s 64K "$disk" "$dir/second.img" "$dir/third.img"
	cd "$dir" || return 1
}

# Whatever runs for this test, without those that ask.
processes()
{
	env -u GUESTLOCK_TEST_MARK grep -lsF "GUESTLOCK_TEST_MARK=$dir" /proc/[0-9]*/environ | cut -d / -f 3
}

# Ends what runs for this test. False: something did.
nothing_is_left()
{
	local pids

	mapfile -t pids < <(processes)
	test "${#pids[@]}" = 0 || {
		kill -KILL "${pids[@]}" 2>/dev/null || :
		return 1
	}
}

# The control groups of a test are removed, those below first, when nobody is in them any more.
no_groups()
{
	tac "$dir/groups" | xargs -r rmdir 2>/dev/null || :
	! xargs -r stat <"$dir/groups" >/dev/null 2>&1
}

teardown()
{
	# Without a directory there is no mark either, and those of other tests must not be taken for ours.
	test -n "${dir-}" || return 0
	cd / || return 1
	# Of two that watch over each other one may be started anew, while they are looked for.
	eventually nothing_is_left
	if test -s "$dir/loops"; then
		xargs -n 1 losetup --detach <"$dir/loops"
	fi
	if test -s "$dir/groups"; then
		eventually no_groups
	fi
	if mountpoint -q "$dir/small"; then
		umount "$dir/small"
	fi
	chmod -R u+rwx "$dir" 2>/dev/null || :
	rm -rf "$dir"
}

# write_config FILE RUN_DIR STATE_DIR [LINE...]
write_config()
{
	local file=$1 run_dir=$2 state_dir=$3

	shift 3
	printf '%s\n' "[guestlock]" "run_dir = $run_dir" "state_dir = $state_dir" "$@" >"$file"
}

gl()
{
	"$GUESTLOCK" "$@"
}

# Another host: its own records, the same locks.
other_host()
{
	test -e "$dir/other.conf" || write_config "$dir/other.conf" "$dir/other-run" "$dir/state"
	"$GUESTLOCK" --config "$dir/other.conf" "$@"
}

# loop_of FILE: a loop device of it with its partitions, in $loop.
loop_of()
{
	loop=$(losetup --find --show --partscan "$1" 2>/dev/null) || skip "no loop devices for this user"
	printf '%s\n' "$loop" >>"$dir/loops"
	test -b "${loop}p1" || partx --add "$loop" 2>/dev/null || :
	test -b "${loop}p1" || skip "no partitions on loop devices here"
}

# eventually COMMAND...: it succeeds within 30 seconds.
eventually()
{
	local end=$((SECONDS + 30))

	until "$@"; do
		if ((SECONDS >= end)); then
			echo "not within 30 s: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# property GUEST NAME: of the guest as list shows it, "gone" when it is not there.
property()
{
	gl --quiet list --json |
		jq -r --arg name "$1" --arg key "$2" \
			'[.guests[] | select(.name == $name or .uuid == $name)] | if . == [] then "gone" else .[0][$key] end'
}

has()
{
	test "$(property "$1" "$2")" = "$3"
}

gone()
{
	has "$1" uuid gone
}

# begin NAME [OPTION]... [-- COMMAND...]: a guest in the background, running; its supervisor's pid is in $supervisor.
begin()
{
	local name=$1

	shift
	[[ " $* " == *" -- "* ]] || set -- "$@" -- sleep 300
	# What bash starts in the background ignores SIGINT and SIGQUIT.
	env --default-signal=INT,QUIT "$GUESTLOCK" run --name "$name" "$@" >"$dir/$name.out" 2>"$dir/$name.err" 3>&- &
	supervisor=$!
	if ! eventually has "$name" state running; then
		cat "$dir/$name.err" >&2
		return 1
	fi
}

# background COMMAND...: its pid is in $supervisor, what it prints in $dir/background.
background()
{
	"$@" >"$dir/background" 2>&1 3>&- &
	supervisor=$!
}

# ended PID STATUS: a background command ends in time, with that status.
ended()
{
	local got=0

	eventually is_over "$1"
	wait "$1" || got=$?
	if ((got != $2)); then
		echo "process $1 ended with $got, not $2" >&2
		return 1
	fi
}

is_over()
{
	! kill -0 "$1" 2>/dev/null
}

# stands_still FILE: it does not grow any more.
stands_still()
{
	local before

	before=$(stat -c %s "$1")
	sleep 0.3
	test "$(stat -c %s "$1")" = "$before"
}

grows()
{
	! stands_still "$1"
}

pid_of()
{
	property "$1" pid
}

# Who holds a disk, as names.
holder()
{
	gl holders "$1" --json | jq -r '[.resources[].holders[].name] | join(",")'
}

contains()
{
	if [[ "$1" != *"$2"* ]]; then
		printf '"%s" is not in:\n%s\n' "$2" "$1" >&2
		return 1
	fi
}

# Every message says something, on one line each, and begins with the program's name.
is_message()
{
	local line

	test -n "$1" || return 1
	while IFS= read -r line; do
		[[ "$line" == "guestlock: "?* ]] || {
			echo "not a message: $line" >&2
			return 1
		}
	done <<<"$1"
}

nothing_taken()
{
	test "$(gl --quiet list --json | jq '.guests | length')" = 0 &&
		test -z "$(holder "$disk")"
}

need_root()
{
	test "$(id -u)" = 0 || skip "needs root"
}

need_strace()
{
	strace -o /dev/null true 2>/dev/null || skip "needs strace, and the right to use it"
	# Leaks are not looked for in a process that is traced: the sanitizer would trace it itself.
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
}

# A file system of SIZE at $dir/small.
small_filesystem()
{
	need_root
	mkdir -p "$dir/small"
	mount -t tmpfs -o "size=$1,mode=0755" none "$dir/small" 2>/dev/null || skip "cannot mount here"
}
