#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What libvirt calls its lock manager for, beside the life of a guest in libvirt.bats: after each step sanlock says which
# leases there are.
# What the helpers set.
# shellcheck disable=SC2154
settings=("readonly_disks = shared")
load libvirt

setup_file()
{
	sanlock_world
	test -n "${world_missing-}" || own_lockspace
}

teardown()
{
	local status=0

	world_settle || status=$?
	test -n "${world_missing-}" || on alpha umount "$top/shared/small" 2>/dev/null || :
	return "$status"
}

# ---- Start, pause, end ----

@test "started paused: nothing is leased until it is resumed, and somebody else can be first" {
	local a=$top/split/a.img

	image "$a"
	define alpha one "$a"
	vsh alpha start one --paused
	has_leases alpha
	begin beta two "$a"
	run vsh alpha resume one
	refused_by beta two "$a"
	has_leases alpha
	vsh beta destroy two
	vsh alpha resume one
	has_leases alpha one "$a"
	run vsh beta start two
	refused_by alpha one "$a"
}

@test "suspended and resumed again and again: the leases go and come with it" {
	local a=$top/split/a.img b=$top/split/b.img turn

	image "$a" "$b"
	begin alpha one "$a" "$b,shared"
	for ((turn = 0; turn < 4; turn++)); do
		vsh alpha suspend one
		has_leases alpha
		vsh alpha resume one
		has_leases alpha one "$a" "$b,SW"
	done
	run vsh alpha resume one
	has_leases alpha one "$a" "$b,SW"
}

@test "a guest that powers off or panics has nothing any more; one that resets itself or restarts has its disk" {
	local name

	image "$top"/split/{again,poweroff,panic,preserve}.img
	for name in poweroff panic; do
		program "$top/alpha/split/$name.img" "$name"
	done
	cp "$top/alpha/split/panic.img" "$top/alpha/split/preserve.img"
	cp "$top/alpha/split/panic.img" "$top/alpha/split/again.img"
	begin alpha again "$top/split/again.img" panic=yes on_crash=restart
	begin alpha poweroff "$top/split/poweroff.img"
	eventually is_state alpha poweroff "shut off"
	begin alpha panic "$top/split/panic.img" panic=yes
	eventually is_state alpha panic "shut off"
	begin alpha preserve "$top/split/preserve.img" panic=yes on_crash=preserve
	eventually is_state alpha preserve crashed
	# It has panicked and been restarted until it finds another program, which resets it.
	program "$top/alpha/split/again.img" reset
	eventually is_quiet
	begin beta two "$top"/split/{poweroff,panic,preserve}.img
}

is_quiet()
{
	runs_with_lease && sleep 0.3 && runs_with_lease
}

runs_with_lease()
{
	is_state alpha again running && has_leases alpha again "$top/split/again.img" 2>/dev/null
}

@test "a full disk pauses the guest, its lease is given up, and taken again by the resume" {
	local a=$top/shared/small/a.img

	mkdir "$top/shared/small"
	on alpha mount -t tmpfs -o size=64k none "$top/shared/small"
	truncate -s 512 "$top/xml/sector"
	program "$top/xml/sector" write
	on alpha dd if="$top/xml/sector" of="$a" status=none
	on alpha truncate -s 1M "$a"
	on alpha dd if=/dev/zero of="$top/shared/small/rest" bs=4k status=none || :
	begin alpha one "$a,stop"
	eventually is_state alpha one paused
	contains "$(vsh alpha domstate one --reason)" "I/O error"
	eventually has_leases alpha
	on alpha rm "$top/shared/small/rest"
	vsh alpha resume one
	has_leases alpha one "$a"
	is_state alpha one running
}

@test "libvirtd is away while guests run, are paused, and die: what sanlock has is right before it is back, and after" {
	local name

	image "$top"/split/{runs,paused,dies}.img
	for name in runs paused dies; do
		begin alpha "$name" "$top/split/$name.img"
	done
	vsh alpha suspend paused
	has_leases alpha runs dies "$top"/split/{runs,dies}.img
	daemon_end alpha TERM
	kill -KILL "$(qemu_pid alpha dies)"
	eventually has_leases alpha runs "$top/split/runs.img"
	begin beta two "$top/split/dies.img"
	daemon_start alpha
	is_state alpha runs running
	is_state alpha paused paused
	is_state alpha dies "shut off"
	has alpha dies state gone
	has_leases alpha runs "$top/split/runs.img"
	run vsh alpha start dies
	refused_by beta two "$top/split/dies.img"
	vsh alpha "resume paused; suspend runs"
	has_leases alpha paused "$top/split/paused.img"
	vsh alpha resume runs
	has_leases alpha runs paused "$top"/split/{runs,paused}.img
}

# ---- Devices ----

@test "of nine disks one is detached, running and paused: its lease goes, and those of the others stay" {
	local paths=("$top"/split/{a,b,c,d,e,f,g,h,i}.img) rest

	image "${paths[@]}"
	begin alpha one "${paths[@]}"
	has_leases alpha one "${paths[@]}"
	vsh alpha detach-disk one sde
	rest=("$top"/split/{a,b,c,d,f,g,h,i}.img)
	eventually has_leases alpha one "${rest[@]}"
	disk_xml sde "$top/split/e.img" >"$top/xml/e"
	vsh alpha attach-device one "$top/xml/e"
	has_leases alpha one "${paths[@]}"
	vsh alpha suspend one
	vsh alpha detach-disk one sdc
	# What is attached now can be written to by QEMU.
	image "$top/split/new.img"
	disk_xml sdc "$top/split/new.img" >"$top/xml/new"
	eventually vsh alpha attach-device one "$top/xml/new"
	has_leases alpha "$top/split/new.img"
	vsh alpha resume one
	has_leases alpha one "$top"/split/{a,b,d,e,f,g,h,i,new}.img
	begin beta two "$top/split/c.img"
}

@test "a lease of an administrator's own: at the start, attached and detached, running and paused" {
	local a=$top/split/a.img

	image "$a"
	begin alpha one "$a" lease=first
	has_leases alpha one "$a" "$(own_lease first)"
	lease_xml first >"$top/xml/first"
	lease_xml second >"$top/xml/second"
	vsh alpha attach-device one "$top/xml/second"
	has_leases alpha one "$a" "$(own_lease first)" "$(own_lease second)"
	begin beta two
	run vsh beta attach-device two "$top/xml/second"
	refused "cannot lock lease second" "alpha"
	vsh alpha detach-device one "$top/xml/second"
	has_leases alpha one "$a" "$(own_lease first)"
	vsh beta attach-device two "$top/xml/second"
	has_leases beta two "$(own_lease second)"
	run vsh alpha attach-device one "$top/xml/second"
	refused "cannot lock lease second" "beta"

	vsh alpha suspend one
	has_leases alpha
	vsh beta detach-device two "$top/xml/second"
	has_leases beta two
	vsh alpha attach-device one "$top/xml/second"
	has_leases alpha "$(own_lease second)"
	vsh alpha detach-device one "$top/xml/first"
	vsh alpha resume one
	has_leases alpha one "$a" "$(own_lease second)"
	vsh alpha destroy one
	eventually has_leases alpha
}

@test "a CD is changed and taken out, running and paused: the lease follows it" {
	local a=$top/split/a.img b=$top/split/b.img c=$top/split/c.img

	image "$a" "$b" "$c"
	begin alpha one "$a" ",cdrom"
	has_leases alpha one "$a"
	vsh alpha change-media one sdb "$b" --insert
	has_leases alpha one "$a" "$b,SH"
	vsh alpha change-media one sdb "$c" --update
	has_leases alpha one "$a" "$c,SH"
	define beta two "$c"
	run vsh beta start two
	refused_by alpha one "$c"
	vsh alpha change-media one sdb --eject
	has_leases alpha one "$a"
	vsh beta start two
	run vsh alpha change-media one sdb "$c" --insert
	refused_by beta two "$c"
	has_leases alpha one "$a"
	vsh alpha suspend one
	vsh alpha change-media one sdb "$b" --insert
	has_leases alpha "$b,SH"
	vsh alpha resume one
	has_leases alpha one "$a" "$b,SH"
}

# ---- Chains of images ----

# snapshot NAME: guest one goes on in a new image.
snapshot()
{
	vsh alpha snapshot-create-as one --name "$1" --disk-only --no-metadata --diskspec "sda,file=$top/split/$1.qcow2" >/dev/null
}

@test "snapshots, commits, pull and copy: what the guest writes is leased; what another has is not taken" {
	local split=$top/split

	image "$split/base.qcow2" "$split/upper.qcow2"
	on alpha qemu-img create -q -f qcow2 "$split/base.qcow2" 1M
	on alpha qemu-img create -q -f qcow2 "$split/upper.qcow2" 1M
	begin alpha one "$split/base.qcow2,qcow2"
	snapshot first
	has_leases alpha one "$split/first.qcow2"
	begin beta two "$split/base.qcow2" "$split/upper.qcow2"
	run vsh alpha blockcommit one sda --active --wait --pivot
	refused_by beta two "$split/base.qcow2"
	run vsh alpha snapshot-create-as one --name x --disk-only --no-metadata --reuse-external --diskspec \
		"sda,file=$split/upper.qcow2"
	refused_by beta two "$split/upper.qcow2"
	run vsh alpha blockcopy one sda "$split/upper.qcow2" --transient-job --wait --reuse-external --format qcow2
	refused_by beta two "$split/upper.qcow2"
	has_leases alpha one "$split/first.qcow2"
	vsh beta destroy two
	snapshot second
	has_leases alpha one "$split/second.qcow2"

	vsh alpha blockcommit one sda --base "$split/base.qcow2" --top "$split/first.qcow2" --wait
	# It reads the base from now on. What libvirt does not list goes with the next resume.
	eventually has_leases alpha one "$split/base.qcow2,SH" "$split/second.qcow2"
	vsh alpha suspend one
	vsh alpha resume one
	has_leases alpha one "$split/second.qcow2"

	vsh alpha blockcommit one sda --active --wait
	has_leases alpha one "$split/base.qcow2" "$split/second.qcow2"
	vsh alpha blockjob one sda --abort
	# libvirt does not say that the base is done with.
	eventually is_without_job
	has_leases alpha one "$split/base.qcow2" "$split/second.qcow2"
	gl alpha --quiet detach one --disk "$split/base.qcow2" --force
	has_leases alpha one "$split/second.qcow2"
	vsh alpha blockcommit one sda --active --wait --pivot
	eventually has_leases alpha one "$split/base.qcow2"

	snapshot third
	vsh alpha blockpull one sda --wait
	has_leases alpha one "$split/third.qcow2"

	vsh alpha blockcopy one sda "$split/copy.qcow2" --transient-job --wait --format qcow2
	has_leases alpha one "$split/third.qcow2" "$split/copy.qcow2"
	vsh alpha blockjob one sda --abort
	eventually has_leases alpha one "$split/third.qcow2"
	vsh alpha blockcopy one sda "$split/other.qcow2" --transient-job --wait --pivot --format qcow2
	eventually has_leases alpha one "$split/other.qcow2"
	vsh alpha suspend one
	has_leases alpha
	vsh alpha resume one
	has_leases alpha one "$split/other.qcow2"
}

is_without_job()
{
	[[ "$(vsh alpha blockjob one sda 2>&1)" != *"Block Commit"* ]]
}

# ---- Saved, dumped, sent ----

@test "managed saves of a running and of a paused guest, and dumps: the leases are as the guests are" {
	local a=$top/split/a.img b=$top/split/b.img

	image "$a" "$b"
	begin alpha one "$a"
	begin alpha two "$b"
	vsh alpha suspend two
	vsh alpha "managedsave one; managedsave two"
	has_leases alpha
	vsh alpha "start one; start two"
	has_leases alpha one "$a"
	vsh alpha resume two
	has_leases alpha one two "$a" "$b"

	vsh alpha dump one "$top/xml/core" --memory-only
	has_leases alpha one two "$a" "$b"
	vsh alpha suspend two
	vsh alpha dump two "$top/xml/core" --memory-only
	has_leases alpha one "$a"
	vsh alpha resume two
	vsh alpha dump two "$top/xml/core" --memory-only --crash
	eventually is_state alpha two "shut off"
	eventually has_leases alpha one "$a"

	vsh alpha managedsave one
	begin beta three "$a"
	run vsh alpha start one
	refused_by beta three "$a"
	vsh beta destroy three
	run vsh alpha start one
	refused "another guest held disk $a"
	has_leases alpha
	vsh alpha start one --force-boot
	has_leases alpha one "$a"
}

# migrate GUEST [OPTION...]: from alpha to beta.
migrate()
{
	local guest=$1

	shift
	vsh alpha migrate --unsafe "$@" "$guest" "$(uri_of beta)" --migrateuri "tcp://127.0.0.1:$((49152 + $$ % 500 * 20 + 17))"
}

# cancelled GUEST: its migration, which would take as long as its disk is copied, is under way and is cancelled.
cancelled()
{
	local migration

	migrate "$1" --copy-storage-all --bandwidth 1 >"$top/xml/migrate" 2>&1 &
	migration=$!
	eventually is_under_way "$1"
	vsh alpha domjobabort "$1"
	! wait "$migration" || return 1
	eventually is_state beta "$1" none
}

is_under_way()
{
	vsh alpha domjobinfo "$1" | grep -q "Data processed" && test "$(state beta "$1")" = paused
}

@test "a migration is cancelled, of a running and of a paused guest; then it goes: its leases are where it runs" {
	local a=$top/split/a.img

	image "$a"
	head -c 8M /dev/urandom >"$top/alpha/split/a.img"
	truncate -s 8M "$top/beta/split/a.img"
	begin alpha one "$a"
	cancelled one
	is_state alpha one running
	has_leases alpha one "$a"
	has_leases beta
	vsh alpha suspend one
	cancelled one
	is_state alpha one paused
	has_leases alpha
	has_leases beta
	vsh alpha resume one
	has_leases alpha one "$a"
	vsh alpha suspend one
	migrate one
	is_state beta one paused
	has_leases alpha
	has_leases beta
	vsh beta resume one
	has_leases beta one "$a"
	has_leases alpha
	define alpha other "$a"
	run vsh alpha start other
	refused_by beta one "$a"
}
