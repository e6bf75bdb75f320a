#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The backend is missing, fails or is another one; guests without a tether, without a record, and resumed by others.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

# What the fault module wraps and is told.
setup_file()
{
	local directory

	: "${GUESTLOCK_FAULT_PATH:?is the directory of fault.so}"
	for directory in ${GUESTLOCK_BACKEND_PATH//:/ }; do
		test ! -e "$directory/fcntl.so" || export GUESTLOCK_FAULT_INNER=$directory/fcntl.so
	done
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_BACKEND_PATH:$GUESTLOCK_FAULT_PATH
	world_begin alpha beta
	export GUESTLOCK_FAULT_PLAN=$top/plan
}

# use_fault HOST [LINE...]: the backend fails there as $top/plan says.
use_fault()
{
	: >"$top/plan"
	daemon_end "$1" TERM
	write_guestlock_conf "$@" "backend = fault"
	: >"$top/$1/changed"
	daemon_start "$1" "GUESTLOCK_FAULT_INNER=$GUESTLOCK_FAULT_INNER" "GUESTLOCK_FAULT_PLAN=$top/plan"
}

plug()
{
	disk_xml "$3" "$4" >"$top/xml/device"
	vsh "$1" attach-device "$2" "$top/xml/device"
}

@test "the backend cannot work when libvirtd starts: guests are refused and told why, until it can" {
	image "$top/split/a.img"
	define alpha one "$top/split/a.img"
	: >"$top/alpha/blocked"
	daemon_reconfigure alpha "lock_dir = $top/alpha/blocked/locks"
	grep -q "$top/alpha/blocked/locks" "$top/alpha/log/libvirtd.log"
	run vsh alpha start one
	refused "$top/alpha/blocked/locks"
	is_state alpha one "shut off"
	rm "$top/alpha/blocked"
	vsh alpha start one
	holds alpha one split/a.img=held/exclusive
}

@test "the backend cannot work for a while: running guests keep what they have" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	on alpha mount --bind "$top/locks" "$top/locks"
	on alpha mount -o remount,bind,ro "$top/locks"
	run plug alpha one sdb "$top/split/b.img"
	refused "Read-only file system"
	run vsh alpha suspend one
	on alpha umount "$top/locks"
	run vsh alpha resume one
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive
	vsh alpha suspend one
	holds alpha one split/a.img=parked/none
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
}

@test "a mistake in the configuration: libvirtd does not start, and its log names file and line" {
	daemon_end alpha TERM
	write_guestlock_conf alpha "acquire_timeuot = 10"
	: >"$top/alpha/changed"
	daemon_launch alpha
	eventually test -e "$top/alpha/log/daemon.ended"
	grep -q "/etc/libvirt/qemu-guestlock.conf:5: .*acquire_timeuot.*acquire_timeout" "$top/alpha/log/libvirtd.log"
}

@test "a backend that is not installed: libvirtd does not start, and says so" {
	daemon_end alpha TERM
	: >"$top/alpha/changed"
	daemon_launch alpha GUESTLOCK_BACKEND_PATH="$top/empty"
	eventually test -e "$top/alpha/log/daemon.ended"
	grep -q 'cannot load backend "fcntl": no fcntl.so' "$top/alpha/log/libvirtd.log"
}

@test "an answer of the backend is late: the others go on meanwhile" {
	local starting

	image "$top"/split/{a,b,c}.img
	use_fault alpha "acquire_timeout = 40"
	begin alpha one "$top/split/a.img"
	define alpha two "$top/split/b.img"
	echo "acquire delay 20000 1" >"$top/plan"
	vsh alpha start two &
	starting=$!
	eventually test ! -s "$top/plan"
	vsh alpha suspend one
	vsh alpha resume one
	begin alpha three "$top/split/c.img"
	kill -0 "$starting"
	holds alpha one split/a.img=held/exclusive
	wait "$starting"
	is_state alpha two running
	holds alpha two split/b.img=held/exclusive
}

@test "no answer of the backend: the start fails when acquire_timeout is over, and nothing stays locked" {
	image "$top/split/a.img"
	use_fault alpha "acquire_timeout = 1"
	define alpha one "$top/split/a.img"
	echo "acquire drop 1" >"$top/plan"
	run vsh alpha start one
	refused "the backend did not say in time what it did"
	is_state alpha one "shut off"
	has_ended alpha one
	begin beta two "$top/split/a.img"
	vsh beta destroy two
	vsh alpha start one
	# An attach: the guest runs on.
	image "$top/split/b.img"
	echo "acquire drop" >"$top/plan"
	run plug alpha one sdb "$top/split/b.img"
	refused "the backend did not say in time what it did"
	is_state alpha one running
	: >"$top/plan"
	plug alpha one sdb "$top/split/b.img"
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
}

@test "no answer of the backend: libvirtd can be stopped and started, and its guests stay locked" {
	image "$top"/split/{a,b}.img
	use_fault alpha
	begin alpha one "$top/split/a.img"
	define alpha two "$top/split/b.img"
	echo "acquire drop" >"$top/plan"
	vsh alpha start two &
	sleep 0.7
	daemon_end alpha KILL
	wait || :
	daemon_start alpha "GUESTLOCK_FAULT_INNER=$GUESTLOCK_FAULT_INNER" "GUESTLOCK_FAULT_PLAN=$top/plan"
	is_state alpha one running
	: >"$top/plan"
	holds alpha one split/a.img=held/exclusive
	vsh alpha suspend one
	vsh alpha resume one
	is_state alpha two running || vsh alpha start two
	holds alpha two split/b.img=held/exclusive
}

@test "another backend in the configuration while guests run: refused, with what to do" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	use_fault alpha
	is_state alpha one running
	run plug alpha one sdb "$top/split/b.img"
	refused fcntl fault
	run vsh alpha suspend one
	run vsh alpha resume one
	daemon_reconfigure alpha
	is_state alpha one running || vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
	define beta two "$top/split/a.img"
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
}

@test "a program that closes its tether does not start, and is told why" {
	image "$top/split/a.img"
	# Stands for QEMU: closes what it does not know, and keeps what libvirt names.
	cat >"$top/xml/closer" <<-'END'
		#!/bin/bash
		if [[ "$*" == *"guest=one"* ]]; then
			for fd in /proc/self/fd/*; do
				fd=${fd##*/}
				((fd < 3)) || [[ "$*" == *"fd=$fd,"* ]] || eval "exec $fd>&-"
			done
		fi
		exec qemu-system-x86_64 "$@"
	END
	chmod 0755 "$top/xml/closer"
	define alpha one "$top/split/a.img" emulator="$top/xml/closer"
	run vsh alpha start one
	refused tether
	is_state alpha one "shut off"
	begin alpha two "$top/split/a.img" emulator="$top/xml/closer"
	holds alpha two split/a.img=held/exclusive
}

@test "guests older than the plugin have no locks until libvirt asks for some: then they are adopted" {
	image "$top"/split/{a,b,c,d}.img
	without_plugin alpha
	begin alpha one "$top/split/a.img"
	begin alpha two "$top/split/b.img"
	vsh alpha suspend two
	begin alpha three "$top/split/d.img"
	with_plugin alpha
	is_state alpha one running
	has alpha one state gone
	# Stopping, and what has no lock yet, is no error.
	vsh alpha suspend one
	vsh alpha "resume one; resume two"
	has alpha one life adopted
	has alpha one pid "$(qemu_pid alpha one)"
	holds alpha one split/a.img=held/exclusive
	holds alpha two split/b.img=held/exclusive
	define beta other "$top/split/a.img"
	run vsh beta start other
	refused_by alpha one "$top/split/a.img"
	plug alpha three sdb "$top/split/c.img"
	holds alpha three split/c.img=held/exclusive
	vsh alpha suspend three
	vsh alpha resume three
	holds alpha three split/c.img=held/exclusive split/d.img=held/exclusive
	vsh alpha destroy one
	vsh beta start other
}

@test "a guest older than the plugin that was adopted with the command is like others to libvirt" {
	image "$top"/split/{a,b}.img
	without_plugin alpha
	begin alpha one "$top/split/a.img"
	with_plugin alpha
	gl alpha adopt "$(qemu_pid alpha one)" --name one --uuid "$(uuid_of one)" --disk "$top/split/a.img"
	holds alpha one split/a.img=held/exclusive
	plug alpha one sdb "$top/split/b.img"
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
	vsh alpha suspend one
	daemon_restart alpha KILL
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
	vsh alpha destroy one
	begin beta two "$top/split/a.img" "$top/split/b.img"
}

@test "a guest older than the plugin whose disk another has by now is not resumed" {
	image "$top/split/a.img"
	without_plugin alpha
	begin alpha one "$top/split/a.img"
	with_plugin alpha
	vsh alpha suspend one
	begin beta two "$top/split/a.img"
	run vsh alpha resume one
	refused_by beta two "$top/split/a.img"
	is_state alpha one paused
}

@test "on_lockfailure: what cannot be done is refused at the start" {
	local action

	image "$top/split/a.img"
	for action in poweroff restart pause; do
		define alpha one "$top/split/a.img" on_lockfailure=$action
		run vsh alpha start one
		refused "on_lockfailure" "$action" fcntl
		is_state alpha one "shut off"
		has alpha one state gone
	done
	define alpha one "$top/split/a.img" on_lockfailure=ignore
	vsh alpha start one
	holds alpha one split/a.img=held/exclusive
}

@test "resumed through QEMU's monitor a guest has no locks, and gets them with the next suspend and resume" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha qemu-monitor-command one --hmp stop
	eventually has alpha one state paused
	vsh alpha qemu-monitor-command one --hmp cont
	eventually is_state alpha one running
	has alpha one state paused
	holds alpha one split/a.img=parked/none
	vsh alpha suspend one
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
}

@test "a damaged record: the guest is refused what is new, and keeps what it had" {
	local record

	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	record=$top/alpha/records/guests/$(uuid_of one)
	cp "$record" "$top/xml/record"
	echo "nonsense" >"$record"
	run plug alpha one sdb "$top/split/b.img"
	refused "$record"
	define beta two "$top/split/a.img"
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
	daemon_restart alpha KILL
	is_state alpha one running
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
}
