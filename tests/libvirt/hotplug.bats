#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Disks and leases come and go while a guest runs or is paused.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

# plug HOST NAME TARGET SPEC
plug()
{
	disk_xml "$3" "$4" >"$top/xml/device"
	vsh "$1" attach-device "$2" "$top/xml/device"
}

# unplug HOST NAME TARGET: and QEMU has let go of it.
unplug()
{
	vsh "$1" detach-disk "$2" "$3" && eventually is_unplugged "$@"
}

is_unplugged()
{
	local got

	got=$(vsh "$1" domblklist "$2") || return 1
	! grep -qw "$3" <<<"$got"
}

@test "a disk that is attached is held, and is free when it is detached" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	define beta two "$top/split/b.img"
	plug alpha one sdb "$top/split/b.img"
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
	run vsh beta start two
	refused_by alpha one "$top/split/b.img"

	unplug alpha one sdb
	eventually holds alpha one split/a.img=held/exclusive
	vsh beta start two
	holds beta two split/b.img=held/exclusive
}

@test "attaching what another guest has is refused, and the guest runs on with what it had" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	begin beta two "$top/split/b.img"
	run plug alpha one sdb "$top/split/b.img"
	refused_by beta two "$top/split/b.img"
	is_state alpha one running
	is_unplugged alpha one sdb
	holds alpha one split/a.img=held/exclusive
	vsh beta destroy two
	plug alpha one sdb "$top/split/b.img"
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
}

@test "a failed attempt to attach what the guest has already does not cost it its lock" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	run plug alpha one sdb "$top/split/a.img"
	((status != 0))
	holds alpha one split/a.img=held/exclusive
	run plug alpha one sdb "$top/split/a.img,readonly"
	((status != 0))
	holds alpha one split/a.img=held/exclusive
}

@test "the same by another name of the image: a symbolic link" {
	image "$top/split/a.img"
	ln -s a.img "$top/alpha/split/link.img"
	begin alpha one "$top/split/a.img"
	define beta two "$top/split/a.img"
	run plug alpha one sdb "$top/split/link.img"
	((status != 0))
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
	gl alpha --quiet show one --json | jq -e '[.guests[].resources[] | select(.type == "disk")] | length == 1'
	vsh alpha suspend one
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
}

@test "a disk that QEMU cannot open is not left locked" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	run plug alpha one sdb "$top/split/b.img,qcow2"
	((status != 0))
	holds alpha one split/a.img=held/exclusive
	begin beta two "$top/split/b.img"
}

@test "shared and readonly disks are attached as such" {
	image "$top"/split/{a,b,c}.img
	begin alpha one "$top/split/a.img"
	begin beta two "$top/split/b.img,shared" "$top/split/c.img"
	plug alpha one sdb "$top/split/b.img,shared"
	plug alpha one sdc "$top/split/c.img,readonly"
	holds alpha one split/a.img=held/exclusive split/b.img=held/shared
	run plug alpha one sdd "$top/split/c.img"
	refused_by beta two "$top/split/c.img"
	unplug alpha one sdc
	unplug alpha one sdb
	eventually holds alpha one split/a.img=held/exclusive
	holds beta two split/b.img=held/shared split/c.img=held/exclusive
}

@test "a disk attached to a paused guest is held at once, and the others are not" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	plug alpha one sdb "$top/split/b.img"
	holds alpha one split/a.img=parked/none split/b.img=held/exclusive
	define beta two "$top/split/b.img"
	run vsh beta start two
	refused_by alpha one "$top/split/b.img"
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
	vsh alpha suspend one
	holds alpha one split/a.img=parked/none split/b.img=parked/none
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
}

@test "a disk detached from a paused guest is not taken again when it resumes" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img" "$top/split/b.img"
	vsh alpha suspend one
	# The guest's processor has to run for an unplug that waits for it; these do not wait.
	unplug alpha one sdb
	begin beta two "$top/split/b.img"
	vsh alpha resume one
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive
	holds beta two split/b.img=held/exclusive
}

@test "a resume that fails for a disk attached meanwhile can be tried again" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	plug alpha one sdb "$top/split/b.img"
	begin beta two "$top/split/a.img,shared"
	run vsh alpha resume one
	refused_by beta two "$top/split/a.img"
	holds alpha one split/a.img=parked/none split/b.img=held/exclusive
	vsh beta destroy two
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
}

@test "a lease is attached and detached" {
	: >"$top/shared/leases"
	begin alpha one lease=first
	lease_xml second >"$top/xml/second"
	vsh alpha attach-device one "$top/xml/second"
	holds alpha one first=held/exclusive second=held/exclusive
	define beta two lease=second
	run vsh beta start two
	refused_by alpha one second
	vsh alpha detach-device one "$top/xml/second"
	holds alpha one first=held/exclusive
	vsh beta start two
	run vsh alpha attach-device one "$top/xml/second"
	refused_by beta two second
	vsh alpha suspend one
	vsh beta destroy two
	vsh alpha attach-device one "$top/xml/second"
	holds alpha one first=parked/none second=held/exclusive
	vsh alpha resume one
	holds alpha one first=held/exclusive second=held/exclusive
}

@test "another CD takes the place of the first; an empty drive needs nothing" {
	image "$top"/split/{a,b,c}.img
	begin alpha one "$top/split/a.img" ",cdrom"
	holds alpha one split/a.img=held/exclusive
	vsh alpha change-media one sdb "$top/split/b.img" --insert
	vsh alpha change-media one sdb "$top/split/c.img" --update
	vsh alpha change-media one sdb --eject
	holds alpha one split/a.img=held/exclusive
	is_state alpha one running
	begin beta two "$top/split/b.img" "$top/split/c.img"
}

@test "with readonly_disks = shared a CD is held shared, and its successor after it" {
	image "$top"/split/{a,b,c}.img
	daemon_reconfigure alpha "readonly_disks = shared"
	begin alpha one "$top/split/a.img" "$top/split/b.img,cdrom"
	holds alpha one split/a.img=held/exclusive split/b.img=held/shared
	vsh alpha change-media one sdb "$top/split/c.img" --update
	holds alpha one split/a.img=held/exclusive split/c.img=held/shared
	define beta two "$top/split/c.img"
	run vsh beta start two
	refused_by alpha one "$top/split/c.img"
	vsh alpha change-media one sdb --eject
	holds alpha one split/a.img=held/exclusive
	vsh beta start two
	run vsh alpha change-media one sdb "$top/split/c.img" --insert
	refused_by beta two "$top/split/c.img"
}

@test "after libvirtd was killed and is back, its guests attach and detach as before" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	daemon_restart alpha KILL
	plug alpha one sdb "$top/split/b.img"
	holds alpha one split/a.img=held/exclusive split/b.img=held/exclusive
	daemon_restart alpha KILL
	unplug alpha one sdb
	eventually holds alpha one split/a.img=held/exclusive
	begin beta two "$top/split/b.img"
}
