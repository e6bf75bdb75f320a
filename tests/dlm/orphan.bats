#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# guestlock release --orphan frees what nothing explains, and nothing else: a guest is known by its record, or by the
# keeper's note of whose a lock is. The first node is the master of /srv/a.img.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 token=30000
}

setup()
{
	cluster_settle
	guests_prepare
	start_guest 1 first /srv/a.img
	on 1 guestlock pause first >/dev/null
	key=$(on_for 30 1 'guestlock show first --json | jq -r ".guests[0].resources[] | select(.name == \"/srv/a.img\") | .key"')
	start_guest 2 vm /srv/a.img
}

# What is left has no record by which it could be found.
teardown()
{
	cluster_explain
	on_for 60 2 'kill -KILL $(pidof sleep)
		for key in $(dlm_tool lockdump guestlock | sed -n "s/^id.* gr [EP][XR] .*\"\(.\{43\}\)\"$/\1/p"); do
			guestlock release --timeout 5 --orphan $key --force
		done' >/dev/null 2>&1 || :
	guests_end
}

teardown_file()
{
	cluster_end
}

# orphan NODE STATUS WORD...: what the command says in the end, in $output.
orphan()
{
	local node=$1 wanted=$2

	shift 2
	run on_for 60 "$node" "guestlock release --timeout 5 --orphan $key $*"
	test "$status" = "$wanted" || {
		echo "exit status $status, not $wanted: $output"
		return 1
	}
}

is_refused()
{
	run on_for 60 1 'guestlock run --timeout 10 --disk /srv/a.img -- true'
	echo "$status: $output"
	test "$status" = 1
}

# The disk is free, and nothing is left of the lock.
is_free()
{
	eventually 30 can_start 1 /srv/a.img
	eventually 30 no_lock_of_key
}

no_lock_of_key()
{
	! on 2 dlm_tool lockdump guestlock | grep -q -e "gr EX.*$key"
}

# Of all guests.
lose_record()
{
	on_for 30 2 'rm /run/guestlock/guests/*'
}

lose_notes()
{
	on_for 30 2 'rm /run/guestlock/owners/*'
}

@test "a guest with its record is no orphan, forced or not" {
	orphan 2 66
	[[ $output == *"accounts for it"* ]]
	orphan 2 66 --force
	is_refused
}

@test "a guest with its record and no note is no orphan, also while the master does not answer" {
	lose_notes
	node_freeze 1
	run on_for 60 2 "guestlock release --timeout 3 --orphan $key"
	node_thaw 1
	echo "$status: $output"
	test "$status" != 0
	is_refused
	orphan 2 66
	is_refused
}

@test "a guest without a record that lives: it is kept unless that is forced" {
	lose_record
	orphan 2 77
	[[ $output == *"not known to be dead"* ]]
	is_refused
	# The same for the next keeper.
	keeper_kill 2 both KILL
	orphan 2 77
	is_refused
	orphan 2 0 --force
	is_free
	orphan 2 66
}

@test "a guest without a record that is dead: it goes by itself, or is freed" {
	lose_record
	on_for 30 2 'kill -KILL $(pidof sleep)'
	run on_for 60 2 "guestlock release --timeout 5 --orphan $key"
	test "$status" = 0 -o "$status" = 66
	is_free
}

@test "neither record nor note: reap reports it and keeps it, and it is freed" {
	lose_record
	lose_notes
	# Its disk, and its own lock.
	run on_for 60 2 'guestlock reap --json'
	echo "$output"
	[[ $output == *"$key"* && $(tr -d ' \n' <<<"$output") == *'"orphans":2'* ]]
	is_refused
	orphan 2 0
	is_free
}

@test "neither record nor note, and both processes of the keeper are killed: the same" {
	lose_record
	lose_notes
	keeper_kill 2 both KILL
	# Its disk, and its own lock.
	run on_for 60 2 'guestlock reap --json'
	echo "$output"
	[[ $output == *"$key"* && $(tr -d ' \n' <<<"$output") == *'"orphans":2'* ]]
	is_refused
	orphan 2 0
	is_free
}

@test "on a host that has no such lock nothing is freed" {
	lose_record
	lose_notes
	orphan 1 66
	orphan 1 66 --force
	is_refused
}

@test "two share a disk: the lock of one without a record is kept with that of the other" {
	end_guest 2 vm
	eventually 30 can_start 2 /srv/a.img
	start_guest 2 one /srv/a.img,shared
	lose_record
	lose_notes
	start_guest 2 two /srv/a.img,shared
	orphan 2 66
	[[ $output == *"accounts for it"* ]]
	test "$(on 2 dlm_tool lockdump guestlock | grep -e "$key" | grep -c 'gr PR')" = 2
	is_refused
}

@test "while the cluster gives no answers it is refused in time, and done later" {
	lose_record
	lose_notes
	node_freeze 1
	run on_for 60 2 "guestlock release --timeout 3 --orphan $key"
	node_thaw 1
	echo "$status: $output"
	test "$status" != 0
	run on_for 60 2 "guestlock release --timeout 10 --orphan $key"
	test "$status" = 0 -o "$status" = 66
	is_free
}
