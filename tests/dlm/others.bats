#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Others beside a keeper: one of another run directory on the same host, and programs that use the lockspace without being
# guestlock. Node ids are as large as they can be.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=224 token=10000 first_id=2147483646
}

setup()
{
	cluster_settle
	guests_prepare
	for node in 1 2; do
		once_in_node "$node" log 'sed -i "1alog = /run/keeper.log" /etc/guestlock/guestlock.conf'
		once_in_node "$node" second 'sed "1arun_dir = /run/second" /etc/guestlock/guestlock.conf >/etc/guestlock/second.conf'
	done
}

# Nobody is a member any more, so that each test decides who is the first one.
teardown()
{
	cluster_explain /run/keeper.log
	guests_end
	for node in 1 2; do
		on_for 60 "$node" 'kill -KILL $(pidof raw sleep)
			for options in "-c /etc/guestlock/second.conf" ""; do
				guestlock $options reap --timeout 10
				guestlock $options leave || guestlock $options leave
			done
			# What a foreign program has left.
			test ! -e /sys/kernel/dlm/guestlock || dlm_tool leave guestlock' >/dev/null 2>&1 || :
	done
}

teardown_file()
{
	cluster_end
}

# second NODE WORD...: the command, for the other run directory there.
second()
{
	local node=$1

	shift
	on_for 60 "$node" "guestlock -c /etc/guestlock/second.conf ${*@Q}"
}

start_second() # NODE NAME DISK
{
	launch_on "$1" "$2" "guestlock -c /etc/guestlock/second.conf run --name $2 --disk $3 -- sleep 7201"
	eventually 40 runs_second "$1" "$2"
}

# By its process, and no other's: end_guest ends all that sleep.
kill_guest() # NODE NAME
{
	on "$1" kill -KILL "$(pid_of "$1" "$2")"
	job_status "$1" "$2" >/dev/null
}

kill_second()
{
	on "$1" kill -KILL "$(second "$1" list --json | jq -r --arg name "$2" '.guests[] | select(.name == $name) | .pid')"
}

runs_second()
{
	test "$(second "$1" list --json | jq -r --arg name "$2" '.guests[] | select(.name == $name) | .state')" = running
}

refused_by() # NODE DISK NAME
{
	run on_for 60 "$1" "guestlock run --timeout 10 --disk $2 -- true"
	echo "$status: $output"
	test "$status" = 1
	[[ $output == *"$3"* ]]
}

refused_second()
{
	run second "$1" run --timeout 10 --disk "$2" -- true
	echo "$status: $output"
	test "$status" = 1
	[[ $output == *"$3"* ]]
}

# Refused once the time is over, and nothing is open then.
refused_without_name() # NODE DISK
{
	run on_for 60 "$1" "guestlock run --timeout 4 --disk $2 -- true"
	echo "$status: $output"
	test "$status" = 69 || test "$status" = 75
	[[ $output == *"at this moment; try again"* ]]
	test "$(on_for 30 "$1" 'guestlock list --json' | jq '.guests | length')" = 0
}

key_of() # NODE DISK
{
	on_for 30 "$1" "guestlock check $2" | sed -n 's/.*key \([A-Za-z0-9_-]\{43\}\).*/\1/p'
}

# foreign NODE NAME MODE: a program has that lock in guestlock's lockspace, until the end of the test.
foreign()
{
	launch_on "$1" "foreign$3" "exec /tests/raw $2 $3 600 guestlock"
	eventually 30 on 1 grep -q granted "/run/jobs/foreign$3.output"
}

is_member()
{
	on "$1" test -e /sys/kernel/dlm/guestlock
}

@test "node ids of 31 bits: guests and hosts are named, and a node that fails is taken over" {
	start_guest 2 vm /srv/a.img
	refused_by 1 /srv/a.img node2
	[[ $output == *vm* ]]
	test "$(on 1 dlm_tool ls | sed -n 's/^members  *//p')" = "2147483646 2147483647 "
	node_kill 2
	eventually 60 can_start 1 /srv/a.img
	rm -f "$cluster/2.changed"
	node_boot 2
	guests_prepare
}

@test "two keepers of one host: the guests of each are kept out of the other's disks, and named" {
	start_guest 1 one /srv/a.img
	start_second 1 two /srv/b.img
	refused_by 1 /srv/b.img two
	refused_second 1 /srv/a.img one
	refused_by 2 /srv/a.img one
	refused_by 2 /srv/b.img two
	test "$(on_for 30 1 'guestlock reap --json' | jq -c '[.orphans, .failed]')" = '[0,0]'
	test "$(second 1 reap --json | jq -c '[.orphans, .failed]')" = '[0,0]'
	kill_guest 1 one
	# It has a guest.
	run second 1 leave
	test "$status" = 1
	runs_second 1 two
	kill_second 1 two
}

@test "one of two keepers is killed while the other is busy: it takes its own locks back, and no others" {
	start_guest 1 one /srv/a.img
	start_second 1 two /srv/b.img
	launch_on 1 busy 'while guestlock -c /etc/guestlock/second.conf run --disk /srv/c.img -- true; do :; done'
	for _ in 1 2 3; do
		mine=$(on_for 30 1 'guestlock check' | sed -n 's/^keeper .*pid \([0-9]*\) and \([0-9]*\),.*/\1 \2/p')
		on_for 30 1 "kill -STOP $mine; kill -KILL $mine"
		refused_by 2 /srv/a.img ""
		eventually 30 on_for 60 1 'guestlock pause one && guestlock resume one'
		test "$(holder 1 /srv/a.img)" = "one exclusive"
		refused_by 2 /srv/b.img two
	done
	on_for 20 1 'test -d /proc/$(cat /run/jobs/busy.pid)'
	job_end 1 busy
	kill_guest 1 one
}

@test "one of two keepers leaves: the host stays a member, and the other's guest has its disk" {
	start_guest 1 one /srv/a.img
	start_second 1 two /srv/b.img
	kill_guest 1 one
	on_for 60 1 'guestlock leave'
	is_member 1
	refused_by 2 /srv/b.img ""
	kill_second 1 two
	second 1 reap
	second 1 leave
	run ! is_member 1
	can_start 2 /srv/b.img
}

@test "a foreign program has a lock of the lockspace: its key is refused in time, and nobody takes it for an orphan" {
	can_start 1 /srv/b.img
	can_start 2 /srv/b.img
	key=$(key_of 1 /srv/a.img)
	foreign 1 "$key" EX
	for node in 1 2; do
		refused_without_name "$node" /srv/a.img
		run on_for 30 "$node" "guestlock release --orphan $key --force"
		test "$status" = 66
		test "$(on_for 30 "$node" 'guestlock reap --json' | jq -c '[.orphans, .failed]')" = '[0,0]'
		can_start "$node" /srv/c.img
	done
	# It is there still, also when the keeper began anew.
	keeper_kill 1 both KILL
	eventually 30 can_start 1 /srv/c.img
	refused_without_name 1 /srv/a.img
	job_end 1 foreignEX
	eventually 30 can_start 1 /srv/a.img
	# It cannot be shared either: there is nobody who has said that he does.
	foreign 1 "$key" PR
	refused_without_name 2 /srv/a.img
	refused_without_name 2 /srv/a.img,shared
	job_end 1 foreignPR
	eventually 30 can_start 2 /srv/a.img
}

@test "a lockspace that a foreign program made stays when the host leaves, with its locks" {
	foreign 1 strange EX
	start_guest 1 vm /srv/a.img
	refused_by 2 /srv/a.img vm
	end_guest 1 vm
	on_for 60 1 'guestlock leave'
	is_member 1
	run on_for 30 2 '/tests/raw strange EX 0 guestlock'
	test "$status" = 1
	job_end 1 foreignEX
	eventually 30 on_for 30 2 '/tests/raw strange EX 0 guestlock'
}
