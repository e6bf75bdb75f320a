#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Leases on NFS: two virtual machines are hosts with a daemon each, a third one serves the directory, and all of them have
# the distribution's kernel. The hosts use different versions of the protocol.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

readonly server=3

setup_file()
{
	# Its server has the files of all three in its memory, and the protocol's buffers.
	cluster_begin 3 memory=320
	test -z "${cluster_missing-}" || return 0
	serve
	host_begin 1 4.2
	host_begin 2 4.1
}

setup()
{
	cluster_needed
}

teardown()
{
	cluster_explain /run/keeper.log /run/jobs/sanlock.output
	for node in 1 2; do
		on_for 60 "$node" 'kill -KILL $(pidof sleep); guestlock reap --timeout 20' >/dev/null 2>&1 || :
	done
}

teardown_file()
{
	cluster_end
}

# serve: /plain, and /squashed, where root is nobody. Whoever reads a name of a service or of a transport wants these files.
serve()
{
	on_for 60 "$server" '
		/node modules nfsd
		echo "nfs 2049/tcp" >>/etc/services
		printf "%s\n" "tcp tpi_cots_ord v inet tcp - -" "udp tpi_clts v inet udp - -" >/etc/netconfig
		mkdir -p /export /var/lib/nfs/v4recovery
		touch /var/lib/nfs/etab /var/lib/nfs/rmtab
		mount -t tmpfs none /export
		mkdir /export/plain /export/squashed
		mount -t tmpfs none /export/plain
		mount -t tmpfs none /export/squashed
		mkdir -m 770 /export/squashed/leases
		chown 65534:65534 /export/squashed/leases
		printf "%s 10.77.0.0/24(rw,no_subtree_check,insecure,%s)\n" /export fsid=0 /export/plain fsid=1,no_root_squash \
			/export/squashed fsid=2,root_squash >/etc/exports
		mount -t nfsd nfsd /proc/fs/nfsd
		# As short as they can be: nobody can write before the latter has passed.
		echo 10 >/proc/fs/nfsd/nfsv4leasetime
		echo 10 >/proc/fs/nfsd/nfsv4gracetime
		exportfs -ra
		setsid rpc.mountd -N 3 -F </dev/null >/run/mountd.log 2>&1 &
		rpc.nfsd -N 3 4' >/dev/null
}

# host_begin NODE VERSION
host_begin()
{
	on_for 60 "$1" "
		/node modules nfs nfsv4
		mkdir -p /plain /squashed /run/sanlock /etc/sanlock
		mount.nfs 10.77.0.$server:/plain /plain -o vers=$2,hard
		mount.nfs 10.77.0.$server:/squashed /squashed -o vers=$2,hard"
	launch_on "$1" sanlock "exec sanlock daemon -D -w 0 -l 0 -h 0 -U root -G root -e node$1"
	on_for 60 "$1" "
		mkdir -p /plain/leases
		printf '%s\n' '[guestlock]' 'backend = sanlock' 'acquire_timeout = 60' 'log = /run/keeper.log' '[sanlock]' \
			'host_id = $1' 'lease_dir = /plain/leases' 'io_timeout = 2' 'allow_no_watchdog = yes' >/etc/guestlock/guestlock.conf
		sed 's|/plain|/squashed|; /^\[guestlock/a run_dir = /run/squashed\nstate_dir = /run/squashed.state
			\$ a lockspace = squashed' /etc/guestlock/guestlock.conf >/etc/guestlock/squashed.conf
		truncate -s 1M /plain/a.img /plain/b.img /a.img /b.img"
}

# is_refused NODE DISK WORDS: a start there, because of somebody who has the disk.
is_refused()
{
	run on_for 60 "$1" "guestlock run --name other --disk $2 -- true"
	test "$status" = 1
	[[ $output == *"$3"* ]]
}

@test "a guest has its disk on both hosts, and is named; what another guest had is not resumed" {
	start_guest 1 vm /plain/a.img
	is_refused 2 /plain/a.img "guest vm ("
	[[ $output == *") on node1"* ]]
	on_for 40 1 'guestlock pause vm' >/dev/null
	can_start 2 /plain/a.img
	run on_for 40 1 'guestlock resume vm'
	test "$status" = 65
	end_guest 1 vm
	start_guest 2 far /plain/a.img
	is_refused 1 /plain/a.img "guest far ("
	on_for 40 2 'guestlock pause far && guestlock resume far' >/dev/null
	is_refused 1 /plain/a.img ") on node2"
	end_guest 2 far
	eventually 30 can_start 1 /plain/a.img
}

@test "two hosts want a disk at once, whose lease nobody has made yet: one gets it" {
	local round node

	for round in 1 2; do
		on 1 truncate -s 1M "/plain/race$round.img"
		for node in 1 2; do
			launch_on "$node" race "guestlock run --quiet --disk /plain/race$round.img -- sleep 8"
		done
		for node in 1 2; do
			job_status "$node" race 60
		done >"$BATS_TEST_TMPDIR/ends"
		test "$(sort "$BATS_TEST_TMPDIR/ends" | tr '\n' ' ')" = "0 1 "
	done
}

# has_lease DISK: there is one of it, says the server. A file's name there may begin with '-'.
has_lease()
{
	test -n "$(on_for 30 "$server" "cd /export/plain/leases && grep -lF -- ${1@Q} ./*.note")"
}

# By node 2, as its image is gone; what has just been released is not free at once.
lease_is_removed()
{
	on_for 60 2 'guestlock unprovision --unused --age 0' >/dev/null
	! has_lease /plain/b.img
}

@test "a lease that another host has removed is made anew" {
	can_start 1 /plain/b.img
	can_start 2 /plain/b.img
	has_lease /plain/b.img
	on 2 rm /plain/b.img
	eventually 30 lease_is_removed
	on 2 truncate -s 1M /plain/b.img
	# It may have the old files in mind.
	eventually 60 can_start 1 /plain/b.img
	start_guest 2 far /plain/b.img
	is_refused 1 /plain/b.img "guest far ("
	end_guest 2 far
}

@test "root is nobody there: the directory's owner can do everything" {
	local -r conf='export GUESTLOCK_CONFIG=/etc/guestlock/squashed.conf'

	launch_on 1 vm "$conf; guestlock run --name vm --disk /plain/a.img -- sleep 600"
	eventually 60 on_for 30 1 "$conf; guestlock list --json | jq -e '.guests[0].state == \"running\"'" >/dev/null
	run on_for 60 2 "$conf; guestlock run --name other --disk /plain/a.img -- true"
	test "$status" = 1
	[[ $output == *"guest vm ("*") on node1"* ]]
	on_for 40 1 "$conf; guestlock pause vm && guestlock resume vm" >/dev/null
	run on "$server" find /export/squashed/leases -mindepth 1 ! -user 65534
	test "$output" = ""
	on_for 30 1 'kill -KILL $(pidof sleep)'
	eventually 30 on_for 60 2 "$conf; guestlock run --disk /plain/a.img -- true"
}

# The last one: what hangs in a kernel may do so for long. The images are not there: nobody could look at them either.
@test "the server hangs: starts end in time, the guest ends before others could have its disk; then all goes on" {
	start_guest 1 vm /a.img
	node_freeze "$server"
	run on_for 60 2 'timeout -s KILL 50 guestlock run --timeout 5 --disk /b.img -- true; echo status $?'
	[[ $output == *"status 69"* || $output == *"status 75"* ]]
	eventually 60 runs_none 1 sleep
	on 1 guestlock list
	node_thaw "$server"
	eventually 90 can_start 2 /a.img
	eventually 60 can_start 1 /b.img
}
