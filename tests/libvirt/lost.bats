#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests of a real libvirtd that are about to lose their locks: what a backend's daemon calls is called by the test, as
# fcntl, wrapped by one that says it could, loses none.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

setup_file()
{
	local directory

	: "${GUESTLOCK_FAULT_PATH:?is the directory of fault.so}" "${GUESTLOCK_LOSS_PROGRAM:?is the program to test}"
	for directory in ${GUESTLOCK_BACKEND_PATH//:/ }; do
		test ! -e "$directory/fcntl.so" || export GUESTLOCK_FAULT_INNER=$directory/fcntl.so
	done
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_BACKEND_PATH:$GUESTLOCK_FAULT_PATH
	export GUESTLOCK_FAULT_WITH=watch,loss-action
	world_begin alpha
}

setup()
{
	test -z "${world_missing-}" || skip "$world_missing"
	daemon_end alpha TERM
	write_guestlock_conf alpha "backend = fault"
	: >"$top/alpha/changed"
	daemon_start alpha "GUESTLOCK_FAULT_INNER=$GUESTLOCK_FAULT_INNER" "GUESTLOCK_FAULT_WITH=$GUESTLOCK_FAULT_WITH"
	image "$top/split/a.img"
}

# lost NAME ACTION: as a daemon calls it, knowing nothing of the guest.
lost()
{
	on alpha env -u GUESTLOCK_CONFIG --chdir=/ "$GUESTLOCK_LOSS_PROGRAM" "$top/alpha/records" "$(uuid_of "$1")" \
		"$(gl alpha show "$1" --json | jq -r '.guests[0].instance')" "$2" 40 2>&1
}

@test "pause: libvirt suspends the guest, its locks are free, and virsh resume continues it" {
	begin alpha one "$top/split/a.img" on_lockfailure=pause
	gl alpha show one --json | jq -e '.guests[0].params | .on_lockfailure == "pause" and .uri == "qemu:///system" and
		.config_extra == "/etc/libvirt/qemu-guestlock.conf"'
	run -0 lost one pause
	[[ "$output" != *"libvirt has not done it"* ]]
	is_state alpha one paused
	has alpha one state paused
	holds alpha one split/a.img=parked/none
	vsh alpha resume one
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive
}

@test "poweroff: libvirt destroys the guest" {
	begin alpha one "$top/split/a.img" on_lockfailure=poweroff
	run -0 lost one poweroff
	[[ "$output" != *"libvirt has not done it"* ]]
	is_state alpha one "shut off"
	has_ended alpha one
}

@test "libvirtd hangs: the guest is paused without it, and guestlock resume continues it" {
	local pid

	begin alpha one "$top/split/a.img" on_lockfailure=pause
	pid=$(qemu_pid alpha one)
	kill -STOP "$(daemon_pid alpha)"
	run lost one pause
	kill -CONT "$(daemon_pid alpha)"
	((status == 0))
	contains "$output" "virsh suspend: it has not ended in time"
	has alpha one state paused
	grep -q '^State:.T' "/proc/$pid/status"
	holds alpha one split/a.img=parked/none
	gl alpha resume one
	has alpha one state running
	eventually grep -q '^State:.[SR]' "/proc/$pid/status"
	# libvirt, which took it for running all the time, can go on with it.
	vsh alpha suspend one
	has alpha one state paused
	vsh alpha resume one
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive
}

@test "there is no libvirtd: the guest is killed without it" {
	local pid

	begin alpha one "$top/split/a.img" on_lockfailure=poweroff
	pid=$(qemu_pid alpha one)
	daemon_end alpha KILL
	run -0 lost one poweroff
	contains "$output" "virsh destroy: it failed"
	is_gone "$pid"
	has_ended alpha one
}
