# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests under guestlock in the nodes of a cluster (cluster.bash).
#
#   guests_prepare                      in setup: every node is configured and has /srv/{a,b,c,d,new}.img; guests_end: in teardown
#   start_guest NODE NAME DISK...       a guest that sleeps; end_guest NODE NAME kills it
#   can_start NODE DISK...              a guest with these disks can be started there, and ends at once
#   holder NODE DISK                    "NAME MODE" of its holders, one a line
#   keeper_kill NODE worker|guard|both SIGNAL
# shellcheck shell=bash

guests_prepare()
{
	local node

	for ((node = 1; node <= cluster_nodes; node++)); do
		once_in_node "$node" guests '
			mkdir -p /etc/guestlock /srv
			printf "%s\n" "[guestlock]" "backend = dlm" "[dlm]" "allow_no_fencing = yes" >/etc/guestlock/guestlock.conf
			cd /srv && truncate -s 1M a.img b.img c.img d.img new.img'
	done
}

# Whatever a test has left: guests, paused ones too.
guests_end()
{
	local node

	for ((node = 1; node <= cluster_nodes; node++)); do
		on_for 40 "$node" '
			test -n "$(ls -A /run/guestlock/guests)" || exit
			guestlock list --json --timeout 5 | jq -r ".guests[].pid" | xargs -r kill -KILL
			guestlock reap --timeout 10' >/dev/null 2>&1 || :
	done
}

start_guest()
{
	local node=$1 name=$2 disk options=

	shift 2
	for disk in "$@"; do
		options+=" --disk $disk"
	done
	launch_on "$node" "$name" "guestlock run --name $name$options -- sleep 7200"
	eventually 40 is_running "$node" "$name" || {
		job_output "$node" "$name"
		return 1
	}
}

is_running()
{
	test "$(on "$1" guestlock list --json | jq -r --arg name "$2" '.guests[] | select(.name == $name) | .state')" = running
}

pid_of()
{
	on "$1" guestlock list --json | jq -r --arg name "$2" '.guests[] | select(.name == $name) | .pid'
}

# By its process alone: no command of ours is asked.
end_guest()
{
	on_for 30 "$1" "kill -KILL \$(pidof sleep)" || :
	job_status "$1" "$2" >/dev/null
}

can_start()
{
	local node=$1 disk options=()

	shift
	for disk in "$@"; do
		options+=(--disk "$disk")
	done
	on_for 40 "$node" "guestlock run ${options[*]} -- true"
}

holder()
{
	on "$1" guestlock holders "$2" --json | jq -r '.resources[0].holders[] | .name + " " + .mode'
}

is_held()
{
	test "$(holder "$1" "$2")" = "$3"
}

no_locks()
{
	! on "$1" dlm_tool lockdump guestlock | grep -v '"guestlock.format"' | grep -q '^id'
}

# keeper_pids NODE worker|guard|both
keeper_pids()
{
	local what=$2

	test "$what" != both || what='\(guard\|worker\)'
	on_for 30 "$1" "grep -lx 'keeper-$what' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3"
}

keeper_kill()
{
	local pids

	mapfile -t pids < <(keeper_pids "$1" "$2")
	test "${#pids[@]}" -gt 0 || return 1
	# Stopped first, so that neither sees the other end.
	on "$1" kill -STOP "${pids[@]}"
	on "$1" kill "-$3" "${pids[@]}"
}

# Both of them, one each.
keeper_runs()
{
	eventually 30 has_keeper "$1"
}

has_keeper()
{
	test "$(keeper_pids "$1" guard | wc -l)" = 1 && test "$(keeper_pids "$1" worker | wc -l)" = 1
}
