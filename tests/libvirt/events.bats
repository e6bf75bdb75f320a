#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests that are saved and dumped, that panic, whose disk is full, and that are paused behind libvirt's back.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

# A disk of 64 KiB, more than which the image above does not get on alpha until there is room.
teardown()
{
	local status=0

	world_settle || status=$?
	test -n "${world_missing-}" || on alpha umount "$top/shared/small" 2>/dev/null || :
	return "$status"
}

@test "save gives everything up, and restore takes it, unless another has the disk, or had it meanwhile" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha save one "$top/xml/saved"
	is_state alpha one "shut off"
	vsh alpha restore "$top/xml/saved"
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive

	vsh alpha save one "$top/xml/saved"
	begin beta two "$top/split/a.img"
	run vsh alpha restore "$top/xml/saved"
	refused_by beta two "$top/split/a.img"
	is_state alpha one "shut off"
	vsh beta destroy two
	run vsh alpha restore "$top/xml/saved"
	refused "another guest held disk $top/split/a.img"
	vsh alpha start one
	holds alpha one split/a.img=held/exclusive
}

@test "a managed save of a running and of a paused guest comes back as it was, unless another had the disk" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	begin alpha two "$top/split/b.img"
	vsh alpha suspend two
	vsh alpha "managedsave one; managedsave two"
	vsh alpha "start one; start two"
	is_state alpha one running
	is_state alpha two paused
	holds alpha one split/a.img=held/exclusive
	has alpha two state bound
	vsh alpha resume two
	holds alpha two split/b.img=held/exclusive

	vsh alpha managedsave one
	begin beta three "$top/split/a.img"
	vsh beta destroy three
	run vsh alpha start one
	refused "another guest held disk $top/split/a.img"
	vsh alpha start one --force-boot
	holds alpha one split/a.img=held/exclusive
}

@test "a dump leaves the guest with its disks, running or paused as it was" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	define beta two "$top/split/a.img"
	vsh alpha dump one "$top/xml/core" --memory-only
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive
	vsh alpha dump one "$top/xml/core" --memory-only --live
	holds alpha one split/a.img=held/exclusive
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
	vsh alpha suspend one
	vsh alpha dump one "$top/xml/core" --memory-only
	is_state alpha one paused
	holds alpha one split/a.img=parked/none
	vsh alpha resume one
	vsh alpha dump one "$top/xml/core" --memory-only --crash
	eventually is_state alpha one "shut off"
	vsh beta start two
}

@test "a snapshot with the guest's memory leaves it with its disk" {
	chain=$top/split/a.qcow2
	on alpha qemu-img create -q -f qcow2 "$chain" 1M
	begin alpha one "$chain,qcow2"
	vsh alpha snapshot-create-as one --name s
	is_state alpha one running
	holds alpha one split/a.qcow2=held/exclusive
	vsh alpha snapshot-revert one s
	holds alpha one split/a.qcow2=held/exclusive
	vsh alpha snapshot-delete one s
	holds alpha one split/a.qcow2=held/exclusive
}

@test "panic, destroy: nothing is held; preserve: the guest is kept, its disks are free" {
	image "$top"/split/{a,b}.img
	program "$top/alpha/split/a.img" panic
	program "$top/alpha/split/b.img" panic
	begin alpha one "$top/split/a.img" panic=yes
	begin alpha two "$top/split/b.img" panic=yes on_crash=preserve
	eventually is_state alpha one "shut off"
	eventually is_state alpha two crashed
	begin beta three "$top/split/a.img" "$top/split/b.img"
	holds beta three split/a.img=held/exclusive split/b.img=held/exclusive
	holds alpha two split/b.img=parked/none
	vsh alpha destroy two
}

@test "panic, restart: the guest has its disks again" {
	local instance

	image "$top/split/a.img"
	program "$top/alpha/split/a.img" panic
	begin alpha one "$top/split/a.img" panic=yes on_crash=restart
	instance=$(property alpha one pid)
	# It panics and restarts for ever: stop it where it holds what it must.
	program "$top/alpha/split/a.img" reset
	eventually is_quiet
	test "$(property alpha one pid)" = "$instance"
	define beta two "$top/split/a.img"
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
}

# Guest one runs and has its disk, twice in a row.
is_quiet()
{
	is_state alpha one running && holds alpha one split/a.img=held/exclusive 2>/dev/null && sleep 0.5 &&
		is_state alpha one running && holds alpha one split/a.img=held/exclusive 2>/dev/null
}

@test "a full disk pauses the guest, its locks are given up and taken again" {
	mkdir "$top/shared/small"
	on alpha mount -t tmpfs -o size=64k none "$top/shared/small"
	on alpha truncate -s 1M "$top/shared/small/a.img"
	on alpha dd if=/dev/zero of="$top/shared/small/rest" bs=4k count=14 status=none
	program_there alpha "$top/shared/small/a.img" write
	# Full before the guest writes for the first time: what it has written once has its room.
	on alpha dd if=/dev/zero of="$top/shared/small/more" bs=4k status=none || :
	begin alpha one "$top/shared/small/a.img,stop"
	eventually is_state alpha one paused
	contains "$(vsh alpha domstate one --reason)" "I/O error"
	eventually has alpha one state paused
	holds alpha one shared/small/a.img=parked/none
	# Without room it pauses at once again.
	vsh alpha resume one
	eventually is_state alpha one paused
	eventually has alpha one state paused
	on alpha rm "$top/shared/small/rest" "$top/shared/small/more"
	vsh alpha resume one
	sleep 0.3
	is_state alpha one running
	holds alpha one shared/small/a.img=held/exclusive
}

# program_there HOST IMAGE NAME: of a mount that only that host has.
program_there()
{
	truncate -s 512 "$top/xml/sector"
	program "$top/xml/sector" "$3"
	on "$1" dd if="$top/xml/sector" of="$2" conv=notrunc status=none
}

hmp()
{
	vsh "$1" qemu-monitor-command "$2" --hmp "$3"
}

@test "paused through QEMU's monitor, the guest gives up its disks, and libvirt's resume takes them" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	hmp alpha one stop
	eventually is_state alpha one paused
	eventually has alpha one state paused
	begin beta two "$top/split/a.img"
	run vsh alpha resume one
	refused_by beta two "$top/split/a.img"
	vsh beta destroy two
	run vsh alpha resume one
	refused "$top/split/a.img"
	vsh alpha destroy one
	vsh alpha start one
	hmp alpha one stop
	eventually has alpha one state paused
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
}

@test "libvirt's record of a paused guest is damaged or foreign: the guest is not resumed" {
	local status_file=$top/alpha/run/libvirt/qemu/one.xml

	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	daemon_end alpha TERM
	grep -q '<lockstate>[A-Za-z0-9._:,-]*</lockstate>' "$status_file"
	sed -i 's|<lockstate>.*</lockstate>|<lockstate>/a/b:1,/c/d:2</lockstate>|' "$status_file"
	daemon_start alpha
	is_state alpha one paused
	run vsh alpha resume one
	refused "saved by another lock manager"
	is_state alpha one paused
	holds alpha one split/a.img=parked/none
}
