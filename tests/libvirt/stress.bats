#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many guests and many clients at once, for STRESS_SECONDS. With 180 s or more: 50 guests, 8 clients.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

readonly disks_each=4
stress_seconds=${STRESS_SECONDS:-12}

setup_file()
{
	world_begin alpha
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
