#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# migrate: two run directories over one lock directory play two hosts.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

uuid=6e6f6e65-0000-4000-8000-00000000000d

source_and_target()
{
	begin vm --uuid "$uuid" --disk "$disk"
	source=$supervisor
	run -0 gl migrate prepare vm --to qemu+ssh://other/system
	has vm state migrating-out
	target_begins
}

target_begins()
{
	other_host run --incoming --uuid "$uuid" --name vm --disk "$disk" -- sleep 300 >"$dir/target" 2>&1 3>&- &
	target=$!
	eventually target_has state migrating-in
}

# modes PATH: in which it is held, by everybody.
modes()
{
	gl holders "$1" --json | jq -r '.resources[0].holders | map(.mode) | join(",")'
}

target_has()
{
	test "$(other_host list --json | jq -r --arg key "$1" '.guests[0][$key]')" = "$2"
}

nobody_else()
{
	write_config "$dir/third.conf" "$dir/third-run" "$dir/state"
	run -1 gl -c "$dir/third.conf" run --disk "$disk" -- true
}

@test "the target completes first, then the source: as documented" {
	source_and_target
	nobody_else
	run -0 other_host migrate complete vm
	target_has state running
	nobody_else
	run -0 gl migrate complete vm
	nobody_else
	kill -KILL "$(pid_of vm)"
	ended "$source" 137
	gone vm
	run -0 other_host migrate complete vm --in
	test "$(holder "$disk")" = vm
	test "$(gl holders "$disk" --json | jq -r '.resources[0].holders[0].mode')" = exclusive
	nobody_else
}

@test "the source completes first, then the target" {
	source_and_target
	run -0 gl migrate complete vm
	nobody_else
	kill -KILL "$(pid_of vm)"
	wait "$source" || :
	run -0 other_host migrate complete vm
	target_has state running
	test "$(gl holders "$disk" --json | jq -r '.resources[0].holders | map(.mode) | join(",")')" = exclusive
	nobody_else
}

@test "cancelled: the target gives back, the source has everything again" {
	source_and_target
	run -1 gl migrate cancel vm
	run -0 other_host migrate cancel vm
	nobody_else
	run -0 gl migrate cancel vm
	has vm state running
	test "$(gl holders "$disk" --json | jq -r '.resources[0].holders | map(.mode) | join(",")')" = exclusive
	other_kill
	ended "$target" 137
	run -0 other_host list
	test -z "$output"
	nobody_else
}

other_kill()
{
	kill -KILL "$(other_host list --json | jq -r '.guests[0].pid')"
}

@test "the target dies before it completes: the source cancels and goes on" {
	source_and_target
	other_kill
	wait "$target" || :
	run -0 gl migrate cancel vm
	has vm state running
	nobody_else
}

@test "the source dies after prepare: the target completes" {
	source_and_target
	kill -KILL "$(pid_of vm)"
	wait "$source" || :
	gone vm
	run -0 other_host migrate complete vm
	target_has state running
	nobody_else
}

@test "without prepare the target is refused" {
	begin vm --uuid "$uuid" --disk "$disk"
	run -1 other_host run --incoming --uuid "$uuid" --name vm --disk "$disk" -- touch "$dir/ran"
	test ! -e "$dir/ran"
}

@test "another guest is no target" {
	begin vm --uuid "$uuid" --disk "$disk"
	gl migrate prepare vm
	run -1 other_host run --incoming --name vm --disk "$disk" -- touch "$dir/ran"
	run -1 other_host run --name vm --disk "$disk" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	run -0 gl migrate cancel vm
}

@test "complete and cancel without a migration: 65, with what to do" {
	begin vm --disk "$disk"
	run -65 --separate-stderr gl migrate complete vm
	is_message "$stderr"
	contains "$stderr" "--in"
	run -65 gl migrate cancel vm
	run -65 gl migrate complete --in vm
	run -65 gl migrate complete --out vm
	run -0 gl migrate cancel --out vm
	has vm state running
}

@test "what a migration forbids: 65" {
	begin vm --uuid "$uuid" --disk "$disk"
	gl migrate prepare vm
	run -0 gl migrate prepare vm
	run -65 --separate-stderr gl attach vm --disk "$dir/second.img"
	is_message "$stderr"
	run -65 gl pause vm
	run -65 gl resume vm
	test "$(holder "$disk")" = vm
}

@test "a paused guest is paused again after a cancelled migration" {
	begin vm --uuid "$uuid" --disk "$disk"
	state=$(gl pause vm)
	run -0 gl migrate prepare vm
	run -0 gl migrate cancel vm
	has vm state paused
	run -0 gl resume vm --state "$state"
}

@test "a paused guest whose disk somebody else has, or had meanwhile, is not sent anywhere" {
	begin vm --uuid "$uuid" --disk "$disk"
	gl pause vm
	begin other --disk "$disk"
	run -1 --separate-stderr gl migrate prepare vm
	is_message "$stderr"
	contains "$stderr" other
	has vm state paused
	kill -KILL "$(pid_of other)"
	eventually gone other
	run -65 --separate-stderr gl migrate prepare vm
	is_message "$stderr"
	has vm state paused
}

paused_source()
{
	begin vm --uuid "$uuid" --disk "$disk" "$@"
	source=$supervisor
	state=$(gl pause vm)
	run -0 gl migrate prepare vm
	has vm state migrating-out
}

@test "a paused guest that is going to move holds its disk: nobody had it when it arrives" {
	paused_source
	test "$(modes "$disk")" = handover
	nobody_else
	target_begins
	nobody_else
	run -0 gl migrate complete vm
	nobody_else
	run -0 other_host migrate complete vm
	target_has state running
	test "$(modes "$disk")" = exclusive
	# What it knows is of no use any more.
	run -65 gl resume vm
	run -65 gl resume vm --state "$state"
	run -65 gl migrate prepare vm
	kill -KILL "$(pid_of vm)"
	ended "$source" 137
	other_kill
	ended "$target" 137
	run -0 gl run --disk "$disk" -- true
}

@test "a paused guest whose target completes first" {
	paused_source
	target_begins
	run -0 other_host migrate complete vm
	target_has state running
	nobody_else
	run -1 gl migrate cancel vm
	run -0 gl migrate complete vm
	run -0 other_host migrate complete vm --in
	test "$(modes "$disk")" = exclusive
	nobody_else
}

@test "a paused guest whose migration is cancelled holds nothing again, and resumes if nobody wrote" {
	paused_source
	target_begins
	run -1 --separate-stderr gl migrate cancel vm
	is_message "$stderr"
	has vm state migrating-out
	run -0 other_host migrate cancel vm
	other_kill
	ended "$target" 137
	run -0 gl migrate cancel vm
	has vm state paused
	test -z "$(holder "$disk")"
	run -0 gl migrate cancel --out vm
	run -0 gl migrate prepare vm
	run -0 gl migrate cancel vm
	run -0 gl resume vm --state "$state"
	gl pause vm
	gl migrate prepare vm
	gl migrate cancel vm
	begin other --disk "$disk"
	run -1 gl resume vm
	kill -KILL "$(pid_of other)"
	eventually gone other
	run -65 gl resume vm
	has vm state paused
}

@test "a paused guest takes what was attached meanwhile along, and what it shares" {
	begin vm --uuid "$uuid" --disk "$disk" --disk "$dir/third.img,shared"
	gl pause vm
	gl attach vm --disk "$dir/second.img"
	run -0 gl migrate prepare vm
	test "$(modes "$disk") $(modes "$dir/second.img") $(modes "$dir/third.img")" = "handover handover shared"
	run -0 gl migrate prepare vm
	run -1 other_host run --disk "$dir/third.img" -- true
	run -0 gl migrate cancel vm
	has vm state paused
	for file in "$disk" "$dir/second.img" "$dir/third.img"; do
		test -z "$(modes "$file")"
	done
	run -0 gl resume vm
	test "$(modes "$disk") $(modes "$dir/second.img") $(modes "$dir/third.img")" = "exclusive exclusive shared"
}

@test "what was saved before a migration is refused once the target had the disk for itself" {
	local state

	begin vm --uuid "$uuid" --disk "$disk"
	state=$(gl pause vm)
	run -0 gl migrate prepare vm
	target_begins
	run -0 other_host migrate complete vm
	run -0 gl migrate complete vm
	kill -KILL "$(pid_of vm)"
	eventually gone vm
	run -0 other_host migrate complete --in vm
	other_kill
	ended "$target" 137
	for host in gl other_host; do
		run -65 --separate-stderr $host run --uuid "$uuid" --disk "$disk" --state "$state" -- touch "$dir/ran"
		is_message "$stderr"
		contains "$stderr" "$disk"
	done
	test ! -e "$dir/ran"
	test -z "$(holder "$disk")"
}

@test "what was saved before a migration that was cancelled is good still" {
	local state

	begin vm --uuid "$uuid" --disk "$disk"
	state=$(gl pause vm)
	run -0 gl migrate prepare vm
	target_begins
	run -0 other_host migrate cancel vm
	other_kill
	ended "$target" 137
	run -0 gl migrate cancel vm
	has vm state paused
	kill -KILL "$(pid_of vm)"
	eventually gone vm
	run -0 gl run --uuid "$uuid" --disk "$disk" --state "$state" -- touch "$dir/ran"
	test -e "$dir/ran"
}

@test "run --state: a paused guest goes on elsewhere as long as nobody had its disk meanwhile" {
	local state foreign

	begin vm --uuid "$uuid" --disk "$disk"
	state=$(gl pause vm)
	run -0 other_host run --uuid "$uuid" --disk "$disk" --state "$state" -- touch "$dir/ran"
	test -e "$dir/ran"
	rm "$dir/ran"
	# It may have written.
	run -65 --separate-stderr other_host run --uuid "$uuid" --disk "$disk" --state "$state" -- touch "$dir/ran"
	is_message "$stderr"
	contains "$stderr" "$disk"
	run -65 gl resume vm
	test ! -e "$dir/ran"
	test -z "$(holder "$disk")"

	begin other --disk "$dir/second.img"
	foreign=$(gl inquire other)
	for state in "$foreign" "${state%?}" ""; do
		run -65 --separate-stderr other_host run --uuid "$uuid" --disk "$disk" --state "$state" -- touch "$dir/ran"
		is_message "$stderr"
	done
	test ! -e "$dir/ran"
	test -z "$(holder "$disk")"
	test "$(other_host list --json | jq '.guests | length')" = 0
}
