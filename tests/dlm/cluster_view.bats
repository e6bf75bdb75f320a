#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The whole cluster as any node shows it: list --cluster, graph --cluster, holders; and nodes that do not say what they hold.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 token=10000
}

setup()
{
	cluster_settle
	guests_prepare
}

teardown()
{
	cluster_explain
	guests_end
}

teardown_file()
{
	cluster_end
}

# view NODE: "HOST NAME" and the disks of each guest, one guest a line, and then the silent hosts with the reason.
view()
{
	on "$1" guestlock --quiet list --cluster --json | jq -r '
		(.guests[] | [.host, .name, (.locks[] | select(.identity | startswith("guest:") | not) | .mode, .identity)] | join(" ")),
		(.silent[] | "silent " + .host + ": " + .reason)'
}

view_is()
{
	test "$(view "$1")" = "$2"
}

views_are()
{
	view_is 1 "$1" && view_is 2 "$1"
}

@test "either node shows the guests of both, with paths" {
	start_guest 1 near /srv/a.img /srv/b.img,shared
	start_guest 2 far /srv/b.img,shared
	eventually 30 views_are "node1 near exclusive file:/srv/a.img shared file:/srv/b.img
node2 far shared file:/srv/b.img"
	run on 2 guestlock graph --cluster
	test "$status" = 0
	[[ $output == *'label="node1"'*'near'*'label="node2"'*'far'*'label="file:/srv/a.img"'* ]]
	# A keeper that is new knows them as well.
	keeper_kill 1 both KILL
	keeper_kill 2 worker KILL
	on 1 guestlock reap >/dev/null
	eventually 30 views_are "node1 near exclusive file:/srv/a.img shared file:/srv/b.img
node2 far shared file:/srv/b.img"
	on 1 guestlock pause near >/dev/null
	eventually 30 views_are "node2 far shared file:/srv/b.img"
	end_guest 1 near
	end_guest 2 far
}

@test "a keeper that stands still: its node is named within the deadline, and the others are shown" {
	local begun

	start_guest 1 near /srv/a.img
	start_guest 2 far /srv/b.img
	eventually 30 views_are "node1 near exclusive file:/srv/a.img
node2 far exclusive file:/srv/b.img"
	on 2 kill -STOP "$(keeper_pids 2 worker)"
	begun=$SECONDS
	run view 1
	((SECONDS - begun < 15))
	test "$output" = "node1 near exclusive file:/srv/a.img
silent node2: no answer in time"
	run on 1 guestlock list --cluster
	test "$status" = 0
	[[ $output == *"host node2 did not tell what its guests hold (no answer in time)"* ]]
	run on 1 guestlock holders /srv/a.img --json
	test "$status" = 0
	[[ $output == *'"host": "node2"'* && $output == *"no answer in time"* ]]
	on 2 kill -CONT "$(keeper_pids 2 worker)"
	eventually 30 views_are "node1 near exclusive file:/srv/a.img
node2 far exclusive file:/srv/b.img"
	end_guest 1 near
	end_guest 2 far
}

@test "no keeper runs on a node: it is named" {
	start_guest 2 far /srv/b.img
	# The command that started the guest would start another.
	on_for 30 2 'kill -KILL $(pidof guestlock)'
	keeper_kill 2 both KILL
	eventually 30 view_is 1 "silent node2: no keeper runs there"
	on 2 guestlock reap >/dev/null
	eventually 30 views_are "node2 far exclusive file:/srv/b.img"
	end_guest 2 far
}
