#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The life of guests with 1, 9 and 20 disks in real libvirtds whose hosts have a sanlock daemon each.
# What the helpers set.
# shellcheck disable=SC2154
load libvirt

# disks COUNT: their paths, and the images.
disks()
{
	local number

	for ((number = 1; number <= $1; number++)); do
		truncate -s 1M "$top/shared/disk$number"
		echo "$top/shared/disk$number"
	done
}

# life_with COUNT: all that happens to a guest with so many disks.
life_with()
{
	local paths words

	mapfile -t paths < <(disks "$1")
	words=("${paths[@]/%/,virtio}")
	begin alpha one "${words[@]}"
	has_leases alpha one "${paths[@]}"
	define beta two "${paths[-1]}"
	run vsh beta start two
	refused_by alpha one "${paths[-1]}"
	has_leases beta
	vsh alpha suspend one
	has_leases alpha
	vsh alpha resume one
	has_leases alpha one "${paths[@]}"
	vsh alpha destroy one
	eventually has_leases alpha
	vsh beta start two
	run vsh alpha start one
	refused_by beta two "${paths[-1]}"
	has_leases alpha
	vsh beta destroy two
	vsh alpha start one
	has_leases alpha one "${paths[@]}"
}

@test "a guest with one disk: started, refused elsewhere, suspended, resumed, destroyed, started again" {
	life_with 1
}

@test "the same with 9 disks, which is more than one call of sanlock takes" {
	life_with 9
}

@test "the same with 20 disks" {
	life_with 20
}

@test "a disk is attached and detached, running and paused: its lease comes and goes, and no other" {
	local a=$top/shared/a b=$top/shared/b c=$top/shared/c

	image "$a" "$b" "$c"
	begin alpha one "$a"
	disk_xml sdb "$b" >"$top/xml/b"
	disk_xml sdc "$c" >"$top/xml/c"
	vsh alpha attach-device one "$top/xml/b"
	vsh alpha attach-device one "$top/xml/c"
	has_leases alpha one "$a" "$b" "$c"
	vsh alpha detach-device one "$top/xml/b"
	eventually has_leases alpha one "$a" "$c"
	begin beta two "$b"
	run vsh alpha attach-device one "$top/xml/b"
	refused_by beta two "$b"
	has_leases alpha one "$a" "$c"
	vsh alpha suspend one
	has_leases alpha
	vsh alpha detach-device one "$top/xml/c"
	vsh alpha resume one
	has_leases alpha one "$a"
}

@test "a paused guest whose disk ran elsewhere is not resumed" {
	local a=$top/split/a.img

	image "$a"
	begin alpha one "$a"
	vsh alpha suspend one
	begin beta two "$a"
	run vsh alpha resume one
	refused_by beta two "$a"
	vsh beta destroy two
	run vsh alpha resume one
	refused "another guest held disk $a"
}

@test "libvirtd is killed, and stopped: leases stay, and it finds its guests again" {
	local a=$top/shared/a b=$top/shared/b

	image "$a" "$b"
	begin alpha one "$a"
	begin alpha two "$b"
	vsh alpha suspend two
	define beta other "$a"
	daemon_end alpha KILL
	has_leases alpha one "$a"
	run vsh beta start other
	refused_by alpha one "$a"
	daemon_start alpha
	daemon_restart alpha TERM
	has_leases alpha one "$a"
	vsh alpha resume two
	vsh alpha suspend one
	has_leases alpha two "$b"
}

@test "a guest that is killed leaves nothing behind" {
	local a=$top/shared/a

	image "$a"
	begin alpha one "$a"
	define beta two "$a"
	kill -KILL "$(qemu_pid alpha one)"
	eventually has_leases alpha
	vsh beta start two
}

@test "a guest is saved and restored, and migrates, and its leases with it" {
	local a=$top/shared/a

	image "$a"
	begin alpha one "$a"
	vsh alpha save one "$top/xml/saved"
	has_leases alpha
	vsh alpha restore "$top/xml/saved"
	has_leases alpha one "$a"
	vsh alpha migrate --live --unsafe one "$(uri_of beta)" --migrateuri "tcp://127.0.0.1:$((49152 + $$ % 500 * 20 + 16))"
	is_state beta one running
	has_leases beta one "$a"
	has_leases alpha
	run vsh alpha start one
	refused "one"
}

@test "two guests share a disk, and nobody gets it alone" {
	local a=$top/shared/a

	image "$a"
	begin alpha one "$a,shared"
	begin beta two "$a,shared"
	has_leases alpha one "$a,SH"
	has_leases beta two "$a,SH"
	define alpha three "$a"
	run vsh alpha start three
	refused "$a"
}
