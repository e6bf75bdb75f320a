#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many guests and many clients at once, for STRESS_SECONDS. With 180 s or more: 50 guests, 8 clients.
# And two hosts that fight for the same disks while everything is killed.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

readonly disks_each=4
readonly rivals=3 # guests on each host that want the same disks as those of the other
stress_seconds=${STRESS_SECONDS:-12}

setup_file()
{
	world_begin alpha beta
}

# How many descriptors and threads libvirtd has, and KiB of memory: "FDS THREADS KIB".
measure()
{
	local pid

	pid=$(daemon_pid alpha)
	echo "$(find "/proc/$pid/fd" -mindepth 1 | wc -l)" \
		"$(awk '/^Threads:/ { print $2 }' "/proc/$pid/status")" \
		"$(awk '/^(RssAnon):/ { print $2 }' "/proc/$pid/status")"
}

# client NUMBER UNTIL: one after the other, its own guests live their lives. A line for each command that fails.
client()
{
	local number=$1 until=$2 guest step

	while ((SECONDS < until)); do
		for ((guest = number; guest < guests; guest += clients)); do
			for step in start suspend resume suspend resume destroy; do
				vsh alpha "$step" "guest-$guest" >/dev/null || echo "$step guest-$guest"
				echo . >>"$top/done-$number"
			done
			((SECONDS < until)) || return 0
		done
	done
}

# Those that all run at the same time, before and after.
all_guests()
{
	local number guest

	for ((number = 0; number < clients; number++)); do
		for ((guest = number; guest < guests; guest += clients)); do
			vsh alpha "$1" "guest-$guest" >/dev/null || echo "$1 guest-$guest"
		done &
	done
	wait
}

@test "guests with $disks_each disks are started, suspended, resumed and destroyed by many clients for $stress_seconds s" {
	local guest disk number disks before after pids=()

	clients=8
	guests=16
	((stress_seconds < 180)) || guests=50
	for ((guest = 0; guest < guests; guest++)); do
		disks=()
		for ((disk = 0; disk < disks_each; disk++)); do
			disks+=("$top/shared/$guest-$disk.img")
		done
		image "${disks[@]}"
		define alpha "guest-$guest" "${disks[@]}"
	done
	# Once before it is measured: what libvirt allocates once, it has by then.
	all_guests start >"$top/failures"
	test "$(gl alpha --quiet list --json | jq '[.guests[] | select(.state == "running")] | length')" = "$guests"
	all_guests destroy >>"$top/failures"
	read -r -a before < <(measure)

	for ((number = 0; number < clients; number++)); do
		client "$number" "$((SECONDS + stress_seconds))" >>"$top/failures" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
	all_guests destroy >/dev/null 2>&1

	echo "# $(cat "$top"/done-* | wc -l) commands, libvirtd before: ${before[*]}, after: $(measure)" >&3
	test ! -s "$top/failures" || {
		head -n 20 "$top/failures"
		return 1
	}
	has_nothing alpha
	for ((guest = 0; guest < guests; guest++)); do
		test -z "$(gl alpha --quiet holders "$top/shared/$guest-0.img" --json | jq -r '.resources[].holders[].name')"
	done
	eventually descriptors_are "${before[0]}"
	read -r -a after < <(measure)
	((after[1] <= before[1] + 4))
	# What the heap keeps in pieces grows slowly; a leak of each operation would be some times as much.
	((after[2] <= before[2] + 6144))
}

descriptors_are()
{
	local now

	read -r -a now < <(measure)
	((now[0] <= $1))
}

# rival HOST NUMBER LATEST: this guest is started and ended again and again. What is said goes to $top/said.
rival()
{
	local host=$1 name=$1-$2 latest=$3

	until is_over "$latest"; do
		vsh "$host" start "$name" 2>&1 >/dev/null | sed "s/^/$name: /" >>"$top/said"
		sleep "0.$((RANDOM % 5))"
		# Also when virsh lost its libvirtd on the way.
		is_state "$host" "$name" running || continue
		echo "$name" >>"$top/started"
		if ((RANDOM % 2)); then
			vsh "$host" destroy "$name" >/dev/null 2>&1 || :
		else
			kill -KILL "$(qemu_pid "$host" "$name")" 2>/dev/null || :
		fi
	done
}

# Which guests run there, as NAME-ID: another life has another id.
lives()
{
	vsh "$1" list --state-running 2>/dev/null | awk 'NF { print $2 "-" $1 }'
}

# is_over LATEST: the fight has been called off, or nobody is left to do so.
is_over()
{
	test -e "$top/over" || ((SECONDS >= $1))
}

# watch LATEST: a guest that ran on alpha before and after its rival was seen running on beta goes to $top/both.
watch()
{
	local latest=$1 before between after life number

	until is_over "$latest"; do
		before=$(lives alpha)
		between=$(lives beta)
		after=$(lives alpha)
		for life in $before; do
			number=${life#alpha-}
			number=${number%%-*}
			if grep -qx "$life" <<<"$after" && grep -q "^beta-$number-" <<<"$between"; then
				echo "$life and $between" >>"$top/both"
			fi
		done
		echo . >>"$top/looks"
	done
}

# Refusals in $top/said that name anybody but the rival.
false_refusals()
{
	awk '/cannot lock|lives here/ {
		number = substr($1, index($1, "-") + 1, 1)
		other = ($1 ~ /^alpha/ ? "beta-" : "alpha-") number
		if (!index($0, "by guest " other " (")) print
	}' "$top/said"
}

# is_ended HOST NAME: after it was destroyed if it ran.
is_ended()
{
	is_state "$1" "$2" "shut off" || {
		vsh "$1" destroy "$2"
		is_state "$1" "$2" "shut off"
	}
}

both_started()
{
	grep -q alpha "$top/started" && grep -q beta "$top/started"
}

@test "two hosts fight for the same disks while libvirtds and QEMUs are killed: never two guests run with one" {
	local host number until=$((SECONDS + stress_seconds)) pids=()
	local latest=$((until + 60)) # on a machine where they hardly get to it

	for ((number = 0; number < rivals; number++)); do
		image "$top/split/$number.img"
		define alpha "alpha-$number" "$top/split/$number.img"
		define beta "beta-$number" "$top/split/$number.img"
	done
	touch "$top"/{said,both,started,looks}
	for ((number = 0; number < rivals; number++)); do
		for host in alpha beta; do
			rival "$host" "$number" "$latest" 3>&- &
			pids+=($!)
		done
	done
	watch "$latest" 3>&- &
	pids+=($!)
	while ((SECONDS < until)) || { ! both_started && ((SECONDS < latest)); }; do
		sleep 2
		host=alpha
		((RANDOM % 2)) || host=beta
		daemon_restart "$host" KILL
	done
	touch "$top/over"
	wait "${pids[@]}"

	echo "# alpha started $(grep -c alpha "$top/started"), beta $(grep -c beta "$top/started") guests," \
		"$(grep -c 'cannot lock' "$top/said") refusals, looked $(wc -l <"$top/looks") times" >&3
	test ! -s "$top/both" || {
		cat "$top/both"
		return 1
	}
	test -z "$(false_refusals)" || {
		false_refusals
		return 1
	}
	both_started
	for ((number = 0; number < rivals; number++)); do
		for host in alpha beta; do
			eventually is_ended "$host" "$host-$number"
		done
		for host in alpha beta; do
			vsh "$host" start "$host-$number"
			vsh "$host" destroy "$host-$number"
		done
	done
}
