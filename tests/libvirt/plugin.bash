# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of the plugin without libvirt: "replay" makes the calls. Each host is one that reads commands from a
# pipe; hosts have their own records and one lock directory. Beside what cli/helpers.bash has.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

# What cli/helpers.bash has stays there as cli_setup and cli_teardown.
eval "cli_$(declare -f setup)"
eval "cli_$(declare -f teardown)"

teardown()
{
	local status=0

	hosts_end || status=1
	cli_teardown
	return "$status"
}

# The tests set top_builddir.
plugin_paths()
{
	replay=$top_builddir/tests/libvirt/replay
	symbols=$top_builddir/tests/libvirt/.libs/symbols.so
	plugin=$top_builddir/compat/libvirt/.libs/guestlock.so
	test -x "$replay" && test -f "$symbols" && test -f "$plugin"
	declare -gA host_in=() host_out=() host_pid=()
}

# config_of HOST: its configuration; alpha has that of the tests. Empty: only the plugin's own file counts.
config_of()
{
	if test "$1" = alpha; then
		echo "${GUESTLOCK_CONFIG-}"
	else
		echo "$dir/$1.conf"
	fi
}

# host_start HOST: a replay with nothing loaded. What it says on standard error is in $dir/HOST.log.
host_start()
{
	local host=$1 config in out

	config=$(config_of "$host")
	test -z "$config" || test -e "$config" || write_config "$config" "$dir/$host-run" "$dir/state"
	rm -f "$dir/$host.in" "$dir/$host.out"
	mkfifo "$dir/$host.in" "$dir/$host.out"
	env ${config:+"GUESTLOCK_CONFIG=$config"} "$replay" <"$dir/$host.in" >"$dir/$host.out" 2>>"$dir/$host.log" 3>&- &
	host_pid[$host]=$!
	exec {in}>"$dir/$host.in" {out}<"$dir/$host.out"
	host_in[$host]=$in
	host_out[$host]=$out
}

# host_end HOST: the status of replay. Its guests live on.
host_end()
{
	local host=$1 in=${host_in[$1]} out=${host_out[$1]} status=0

	(echo quit >&"$in") 2>/dev/null || : # it may have been killed
	exec {in}>&- {out}<&-
	wait "${host_pid[$host]}" || status=$?
	unset "host_in[$host]" "host_out[$host]" "host_pid[$host]"
	return "$status"
}

# hosts_end: all of them; a sanitizer that found something fails the test.
hosts_end()
{
	local host status=0

	for host in "${!host_in[@]}"; do
		if ! host_end "$host"; then
			echo "replay on $host did not end well" >&2
			cat "$dir/$host.log" >&2
			status=1
		fi
	done
	return "$status"
}

# ask HOST COMMAND...: the answer is in $reply.
ask()
{
	local host=$1

	shift
	echo "$*" >&"${host_in[$host]}"
	reply=
	if ! IFS= read -r -t 30 reply <&"${host_out[$host]}"; then
		echo "no answer of $host to: $*" >&2
		cat "$dir/$host.log" >&2
		return 1
	fi
}

# ok HOST COMMAND...: it succeeds.
ok()
{
	ask "$@" || return 1
	if [[ "$reply" != *": ok"* ]]; then
		printf '%s\nanswered: %s\n' "$*" "$reply" >&2
		cat "$dir/$1.log" >&2
		return 1
	fi
}

# no HOST COMMAND...: it fails.
no()
{
	ask "$@" || return 1
	if [[ "$reply" != *": failed"* ]]; then
		printf '%s\nanswered: %s\n' "$*" "$reply" >&2
		return 1
	fi
}

# host HOST: one with the plugin, initialised, and with libvirt's functions for messages.
host()
{
	host_start "$1"
	ok "$1" symbols "$symbols"
	ok "$1" plugin guestlock "$plugin"
	ok "$1" init "$dir/$1-qemu-guestlock.conf"
}

# The state string in $reply.
state_of_reply()
{
	[[ "$reply" =~ \ state=([A-Za-z0-9._:,-]*) ]] && echo "${BASH_REMATCH[1]}"
}

pid_of_reply()
{
	[[ "$reply" =~ \ pid=([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}

# on HOST ARGUMENT...: the command, there.
on()
{
	local config

	config=$(config_of "$1")
	shift
	"$GUESTLOCK" --config "$config" --quiet "$@"
}

# state_of HOST GUEST: as its record has it, "gone" without one.
state_of()
{
	on "$1" list --json |
		jq -r --arg name "$2" '[.guests[] | select(.name == $name)] | if . == [] then "gone" else .[0].state end'
}

# held HOST GUEST: what is in its record, as "disk.img:held:exclusive ...", in the order of names.
held()
{
	on "$1" list --json | jq -r --arg name "$2" '
		[.guests[] | select(.name == $name) | .resources[] | select(.type != "guest") |
			"\(.name | sub(".*/"; "")):\(.state):\(.mode)"] | sort | join(" ")'
}

# is HOST GUEST STATE [RESOURCE]...: the guest's state, and what it has, as held() says.
is()
{
	local host=$1 guest=$2 state=$3 found

	shift 3
	found="$(state_of "$host" "$guest") $(held "$host" "$guest")"
	if test "$found" != "$state $*"; then
		printf 'guest %s: %s\nwanted:  %s\n' "$guest" "$found" "$state $*" >&2
		return 1
	fi
}

# who PATH: the names of those who hold it, asked of the backend.
who()
{
	on alpha holders "$1" --json | jq -r '[.resources[].holders[].name] | join(",")'
}

# kill_and_see PID: a process of the host's is dead, though the host may not have looked after it yet.
kill_and_see()
{
	kill -KILL "$1"
	eventually is_dead "$1"
}

is_dead()
{
	[[ "$(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null)" == @(Z|X|"") ]]
}
