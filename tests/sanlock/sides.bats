#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who only reads a disk and who writes it together with others, on two hosts: never both.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	world_begin
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
	}
}

setup()
{
	test -z "${world_missing-}" || skip "$world_missing"
	images a b c d
	reconfigure alpha "guestlock.readonly_disks = shared"
	reconfigure beta "guestlock.readonly_disks = shared"
}

@test "readers and writers of two hosts are not let in beside each other" {
	guest alpha web --disk "$d/a,shared"
	refused beta 1 run --name copy --disk "$d/a,readonly" -- true
	says "guest web" alpha "to write"
	gl beta run --name copy --disk "$d/a,shared" -- true
	guest_end alpha web
	guest alpha web --disk "$d/a,readonly"
	refused beta 1 run --name copy --disk "$d/a,shared" -- true
	says "guest web" alpha "to read only"
	gl beta run --name copy --disk "$d/a,readonly" -- true
	refused beta 1 run --name copy --disk "$d/a" -- true
	test "$(gl beta --quiet holders "$d/a" --json | jq -c '.resources[0].holders[0] | [.name, .mode, .readonly]')" = '["web","shared",true]'
	guest_end alpha web
	has_leases alpha
	gl beta run --name copy --disk "$d/a,shared" -- true
}

@test "what is held is the disk and its own side, and nothing of the other" {
	guest alpha web --disk "$d/a,readonly"
	pid=$(property alpha web pid)
	test "$(leases_of alpha "$pid" | grep -c ',SH$')" = 2
	test "$(leases_of alpha "$pid" | wc -l)" = 3
	gl alpha detach web --disk "$d/a"
	test "$(leases_of alpha "$pid" | wc -l)" = 1
	gl alpha attach web --disk "$d/a,shared"
	test "$(leases_of alpha "$pid" | grep -c ',SH$')" = 2
}

@test "a reader that was paused does not resume after writers of another host, and does after readers" {
	guest alpha reader --disk "$d/a,readonly"
	gl alpha pause reader >/dev/null
	gl beta run --name copy --disk "$d/a,readonly" -- true
	gl alpha resume reader
	gl alpha pause reader >/dev/null
	gl beta run --name web --disk "$d/a,shared" -- true
	refused alpha 65 resume reader
	says "may have written it"
}

@test "who is refused because others share a disk costs one that is paused later nothing" {
	guest alpha web --disk "$d/a,shared"
	refused beta 1 run --name copy --disk "$d/a" -- true
	refused beta 1 run --name copy --disk "$d/a,readonly" -- true
	# Killed, it notes nothing any more.
	guest_end alpha web
	guest alpha web --disk "$d/a,shared"
	gl alpha pause web >/dev/null
	gl beta run --name copy --disk "$d/a,shared" -- true
	gl alpha resume web
}

@test "readers of two hosts start at once, and all of them run" {
	local n name

	for ((n = 0; n < 4; n++)); do
		for name in alpha beta; do
			launch "$name" "start$n" guestlock run --name "start$n" --disk "$d/a,readonly" -- sh -c "echo >>$world/started; sleep 2"
		done
	done
	for ((n = 0; n < 4; n++)); do
		for name in alpha beta; do
			test "$(job_status "$name" "start$n")" = 0
		done
	done
	test "$(wc -l <"$world/started")" = 8
}

@test "a start of a reader that is killed while it passes keeps nobody out" {
	local n

	for ((n = 0; n < 6; n++)); do
		launch alpha "killed$n" guestlock run --name "killed$n" --disk "$d/a,readonly" -- sleep 300
		sleep "0.0$((n * 3))"
		kill -KILL "$(job_pid alpha "killed$n")"
		for pid in $(gl alpha --quiet list --json | jq '.guests[].pid'); do
			kill -KILL "$pid" || :
		done
		gl beta run --name copy --wait 20 --disk "$d/a,shared" -- true
		gl beta run --name copy --wait 20 --disk "$d/a,readonly" -- true
	done
}

@test "a reader of the whole disk and who writes a partition are not let in beside each other" {
	load ../cli/partitions
	image "$d/parted"
	loop=$(losetup --find --show --partscan "$d/parted")
	printf '%s\n' "$loop" >"$BATS_TEST_TMPDIR/loop"
	test -b "${loop}p1" || partx --add "$loop"
	guest alpha web --disk "${loop}p1"
	refused beta 1 run --name copy --disk "$d/parted,readonly" -- true
	gl beta run --name copy --disk "${loop}p2" -- true
	guest_end alpha web
	guest alpha web --disk "$d/parted,readonly"
	refused beta 1 run --name copy --disk "${loop}p1" -- true
	# Given back first, it stays for the partition.
	guest_end alpha web
	guest alpha web --disk "$d/parted" --disk "${loop}p1"
	gl alpha detach web --disk "$d/parted"
	gl alpha pause web >/dev/null
	gl alpha resume web
	refused beta 1 run --name copy --disk "$d/parted,readonly" -- true
	gl beta run --name copy --disk "${loop}p2" -- true
}
