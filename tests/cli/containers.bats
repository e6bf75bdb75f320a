#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests in containers, and commands in containers beside the guests of the host: one lock directory, namespaces of
# their own. What a container sees otherwise must never make a living guest look dead.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

# Processes of other containers are found by root alone, outside of all of them.
need_host()
{
	need_root
	test "$(readlink /proc/self/ns/pid)" = "pid:[4026531836]" || skip "needs the first pid namespace"
}

# contained OPTIONS COMMAND...: in new namespaces, as a manager of its own. OPTIONS: words for unshare.
contained()
{
	local options=$1

	shift
	test -e "$dir/other.conf" || write_config "$dir/other.conf" "$dir/other-run" "$dir/state"
	GUESTLOCK_CONFIG=$dir/other.conf unshare $options --mount --fork -- "$@"
}

# with_boot_id COMMAND...: as if the machine had another boot id, in a mount namespace of one's own.
with_boot_id()
{
	cp /proc/sys/kernel/random/uuid boot_id
	mount --bind boot_id /proc/sys/kernel/random/boot_id
	"$@"
}

# A process to be adopted, in $idle; not a child of bats alone, so that it does not stay as a zombie.
start_idle()
{
	idle=$(setsid sleep 300 >/dev/null 2>&1 3>&- & echo $!)
}

# twin COMMAND...: with a run directory of one's own, at the same path.
twin()
{
	mkdir -p twin "$dir/run"
	unshare --mount -- bash -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' - twin "$dir/run" "$@"
}

stopped()
{
	[[ "$(ps -o stat= -p "$1")" == T* ]]
}

# below NAME COMMAND...: a container with pids of its own; its first process, $container as the host knows it, runs
# the command with the name of a file to write to, and then waits.
below()
{
	write_config "$dir/other.conf" "$dir/other-run" "$dir/state"
	GUESTLOCK_CONFIG=$dir/other.conf unshare --pid --mount-proc --fork --kill-child -- \
		sh -c "$1; echo done >below.done; exec sleep 300" >below.out 2>&1 3>&- &
	unshared=$!
	eventually test -e below.done || {
		cat below.out >&2
		return 1
	}
	container=$(pgrep -P "$unshared")
}

end_below()
{
	kill -KILL "$container"
	wait "$unshared" || :
}

@test "an adopted guest of the host lives, whatever boot id a container has" {
	local options

	need_root
	export -f with_boot_id
	start_idle
	gl adopt "$idle" --name old --disk "$disk"
	for options in "" "--pid --mount-proc"; do
		run -1 contained "$options" bash -c 'with_boot_id "$0" run --disk "$1" -- true' \
			"$GUESTLOCK" "$disk"
		contains "$output" old
		contained "$options" bash -c 'with_boot_id "$0" reap' "$GUESTLOCK"
		test "$(holder "$disk")" = old
	done
	has old life adopted
	kill -KILL "$idle"
	eventually gl run --disk "$disk" -- true
}

@test "the first join in a container with a boot id of its own clears nothing" {
	need_root
	export -f with_boot_id
	start_idle
	gl adopt "$idle" --name old --disk "$disk"
	cp "$(find state -name format)" before
	contained "--pid --mount-proc" bash -c 'with_boot_id "$0" run --disk "$1" -- true' "$GUESTLOCK" second.img
	cmp before "$(find state -name format)"
	test "$(holder "$disk")" = old
	kill -KILL "$idle"
}

@test "guests of a container with a boot id of its own are found dead, there and by the host" {
	need_host
	export -f with_boot_id
	below "bash -c 'with_boot_id sleep 300 & with_boot_id $GUESTLOCK adopt \$! --name inner --disk $disk;
		kill \$!; wait \$!; with_boot_id $GUESTLOCK run --disk $disk -- true' "
	test "$(holder "$disk")" = ""
	end_below
}

@test "an adopted guest lives also where the clock since boot is another one" {
	need_root
	unshare --time --boottime 100 --fork true || skip "no time namespaces"
	start_idle
	gl adopt "$idle" --name old --disk "$disk"
	run -1 contained "--time --boottime 100000" "$GUESTLOCK" run --disk "$disk" -- true
	contains "$output" old
	# A command for the same records: it must not take the guest for another process, either.
	unshare --time --boottime 100000 --fork "$GUESTLOCK" pause old
	stopped "$idle"
	unshare --time --boottime 100000 --fork "$GUESTLOCK" resume old
	! stopped "$idle"
	has old life adopted
	kill -KILL "$idle"
	eventually unshare --time --boottime 100000 --fork "$GUESTLOCK" run --disk "$disk" -- true
}

@test "what was adopted in a time namespace is known by the host" {
	need_root
	unshare --time --boottime 100 --fork true || skip "no time namespaces"
	start_idle
	unshare --time --boottime 100000 --fork "$GUESTLOCK" adopt "$idle" --name old --disk "$disk"
	has old life adopted
	run -1 gl run --disk "$disk" -- true
	run -1 other_host run --disk "$disk" -- true
	kill -KILL "$idle"
	eventually other_host run --disk "$disk" -- true
}

@test "an adopted guest of a container: alive while it lives, dead with it or with its container" {
	need_host
	below "sleep 300 & echo \$! >inner.pid; $GUESTLOCK adopt \$! --name inner --disk $disk"
	run -1 gl run --disk "$disk" -- true
	contains "$output" inner
	# From a container beside it nobody can tell.
	run -1 contained "--pid --mount-proc" "$GUESTLOCK" run --disk "$disk" -- true
	kill -KILL "$(pgrep -P "$container" -x sleep)"
	eventually gl run --disk "$disk" -- true
	end_below
}

@test "an adopted guest of a container that is gone is dead, and its disk free" {
	need_host
	below "sleep 300 & $GUESTLOCK adopt \$! --name inner --disk $disk"
	run -1 gl run --disk "$disk" -- true
	end_below
	# Another container may not be able to tell, until the host has freed it.
	eventually gl release --orphan "$disk"
	contained "--pid --mount-proc" "$GUESTLOCK" run --disk "$disk" -- true
	# Its own records, read by somebody who sees all processes.
	other_host reap
	test "$(other_host list --json | jq '.guests | length')" = 0
}

@test "a guest in a container that closed its tether keeps its disk, as the host sees its process" {
	local closer='for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd > 2)) && eval "exec $fd>&-"; done; >closed; sleep 300'

	need_host
	printf '%s\n' "$closer" >closer
	below "$GUESTLOCK run --name inner --disk $disk -- bash closer & until test -e closed; do sleep 0.05; done;
		kill -KILL \$!"
	run -1 gl run --disk "$disk" -- true
	contains "$output" inner
	end_below
	eventually gl run --disk "$disk" -- true
}

@test "a guest that has a tether is dead with its container, for containers beside it too" {
	need_root
	below "$GUESTLOCK run --name inner --disk $disk -- sleep 300 & until $GUESTLOCK list --json |
		grep -q running; do sleep 0.05; done; kill -KILL \$!"
	run -1 contained "--pid --mount-proc" "$GUESTLOCK" run --disk "$disk" -- true
	contains "$output" inner
	end_below
	eventually contained "--pid --mount-proc" "$GUESTLOCK" run --disk "$disk" -- true
}

@test "the guests of a container with a run directory of the same path are somebody else's" {
	local key

	need_root
	begin web --disk "$disk"
	key=$(gl check "$disk" --json | jq -r '.resources[0].key')
	run -0 --separate-stderr twin "$GUESTLOCK" reap --json
	test "$(jq .orphans <<<"$output")" = 0
	test -z "$stderr"
	twin "$GUESTLOCK" leave
	for force in "" --force; do
		run -77 --separate-stderr twin "$GUESTLOCK" release --orphan "$key" $force
		contains "$stderr" web
	done
	test "$(holder "$disk")" = web
	run -1 twin "$GUESTLOCK" run --disk "$disk" -- true
	# Each knows its own.
	run -1 gl leave
	twin "$GUESTLOCK" run --disk second.img -- "$GUESTLOCK" list
	rm run/guests/*
	run -0 --separate-stderr gl reap --json
	test "$(jq '.orphans > 0' <<<"$output")" = true
	gl release --orphan "$key" --force
	gl run --disk "$disk" -- true
}

@test "the word of a run directory is made once, also by many at once, and mended" {
	local id i pids=()

	for i in 1 2 3 4 5 6 7 8; do
		gl reap &
		pids+=($!)
	done
	wait "${pids[@]}"
	id=$(cat run/id)
	[[ $id =~ ^[0-9a-f]{32}$ ]]
	begin web --disk "$disk"
	test "$(cat run/id)" = "$id"
	run -1 gl leave
	# Cut short by a kill or a full file system: made anew, and no lock is lost.
	printf 0123 >run/id
	gl reap
	[[ $(cat run/id) =~ ^[0-9a-f]{32}$ ]]
	run -1 gl run --disk "$disk" -- true
	contains "$output" web
	kill -TERM "$supervisor"
	ended "$supervisor" 143
	gl run --disk "$disk" -- true
}
