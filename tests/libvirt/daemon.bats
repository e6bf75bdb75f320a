#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests start, stop, pause and end, and libvirtd goes and comes back.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

@test "start: the guest holds its disks, and others are refused on both hosts before QEMU opens an image" {
	image "$top/shared/a.img" "$top/split/b.img"
	begin alpha one "$top/shared/a.img" "$top/split/b.img"
	has alpha one state running
	has alpha one life alive
	has alpha one pid "$(qemu_pid alpha one)"
	holds alpha one shared/a.img=held/exclusive split/b.img=held/exclusive

	define beta two "$top/split/b.img"
	run vsh beta start two
	refused_by alpha one "$top/split/b.img"
	contains "$output" "Process exited prior to exec"
	define alpha three "$top/shared/a.img"
	run vsh alpha start three
	refused_by alpha one "$top/shared/a.img"
	is_state beta two "shut off"
	has beta two state gone
	has alpha three state gone
	has alpha one state running
}

@test "start: no disk is taken when one of them is held" {
	image "$top"/shared/{a,b,c}.img
	begin alpha one "$top/shared/b.img"
	define beta two "$top/shared/a.img" "$top/shared/b.img" "$top/shared/c.img"
	run vsh beta start two
	refused_by alpha one "$top/shared/b.img"
	begin beta three "$top/shared/a.img" "$top/shared/c.img"
	holds beta three shared/a.img=held/exclusive shared/c.img=held/exclusive
}

@test "start: the same guest does not run on two hosts, even without a disk" {
	begin alpha one
	define beta one
	run vsh beta start one
	refused_by alpha one "$(uuid_of one)"
	vsh alpha destroy one
	vsh beta start one
}

@test "start: shared disks go together, but not with a guest that has one for itself; readonly ones are not locked" {
	image "$top"/split/{s,r}.img
	begin alpha one "$top/split/s.img,shared" "$top/split/r.img,readonly"
	begin beta two "$top/split/s.img,shared" "$top/split/r.img"
	holds alpha one split/s.img=held/shared
	holds beta two split/r.img=held/exclusive split/s.img=held/shared
	define beta three "$top/split/s.img"
	run vsh beta start three
	refused "$top/split/s.img" "since 20"
	vsh alpha destroy one
	run vsh beta start three
	refused_by beta two "$top/split/s.img"
}

@test "start: leases are locked as disks are" {
	: >"$top/shared/leases"
	begin alpha one lease=first lease=second:512
	holds alpha one first=held/exclusive second=held/exclusive
	define beta two lease=second:512
	run vsh beta start two
	refused_by alpha one second
	begin beta three lease=second:1024
	holds beta three second=held/exclusive
}

@test "start: taken by another guest between the child and the daemon, it is refused and QEMU ends" {
	image "$top/split/a.img"
	# Stands for QEMU, and lets another guest take the disk before QEMU is there.
	cat >"$top/xml/late" <<-END
		#!/bin/bash
		export GUESTLOCK_BACKEND_PATH='$GUESTLOCK_BACKEND_PATH'
		if [[ "\$*" == *"guest=two"* ]]; then
			(
				for fd in /proc/self/fd/*; do
					fd=\${fd##*/}
					((fd < 3)) || eval "exec \$fd>&-"
				done
				exec '$GUESTLOCK' -c '$top/alpha/etc/qemu-guestlock.conf' run --name rival --disk '$top/split/a.img' \\
					-- sleep 60 </dev/null >'$top/xml/rival.out' 2>&1
			) &
			until '$GUESTLOCK' -c '$top/alpha/etc/qemu-guestlock.conf' show rival >/dev/null 2>&1; do sleep 0.02; done
		fi
		exec qemu-system-x86_64 "\$@"
	END
	chmod 0755 "$top/xml/late"
	define beta two "$top/split/a.img" emulator="$top/xml/late"
	run vsh beta start two
	refused "$top/split/a.img" "guest rival (" "since 20"
	[[ "$output" != *"prior to exec"* ]]
	is_state beta two "shut off"
	has beta two life dead
	has alpha rival state running
	kill "$(property alpha rival pid)"
	eventually has alpha rival state gone
	begin beta three "$top/split/a.img"
}

@test "start paused: the locks are taken when it is resumed first, or not, when another was faster" {
	image "$top/split/a.img"
	define alpha one "$top/split/a.img"
	vsh alpha start one --paused
	has alpha one state bound
	holds alpha one split/a.img=none/none

	begin beta two "$top/split/a.img"
	run vsh alpha resume one
	refused_by beta two "$top/split/a.img"
	is_state alpha one paused
	vsh beta destroy two
	vsh alpha resume one
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
}

@test "suspend and resume: the disks are free meanwhile, and are taken again" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img" "$top/split/b.img,shared"
	define beta two "$top/split/a.img"
	vsh alpha suspend one
	has alpha one state paused
	holds alpha one split/a.img=parked/none split/b.img=parked/none
	vsh alpha resume one
	is_state alpha one running
	holds alpha one split/a.img=held/exclusive split/b.img=held/shared
	run vsh beta start two
	refused_by alpha one "$top/split/a.img"
}

@test "guestlock pause of a guest of libvirt is refused; --force pauses it, and resume continues it" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	run -77 gl alpha pause one
	contains "$output" "libvirt runs this guest; use 'virsh -c qemu:///system suspend $(uuid_of one)'"
	run -77 gl alpha pause one --externally-stopped
	is_state alpha one running
	has alpha one state running
	holds alpha one split/a.img=held/exclusive
	gl alpha pause one --force
	has alpha one state paused
	holds alpha one split/a.img=parked/none
	gl alpha resume one
	has alpha one state running
	holds alpha one split/a.img=held/exclusive
	# What the refusal says is the way.
	vsh alpha suspend "$(uuid_of one)"
	has alpha one state paused
	vsh alpha resume one
}

@test "resume is refused while another guest has the disk, and also after it had it" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	begin beta two "$top/split/a.img"
	run vsh alpha resume one
	refused_by beta two "$top/split/a.img"
	is_state alpha one paused
	vsh beta destroy two
	run vsh alpha resume one
	refused "$top/split/a.img"
	is_state alpha one paused
	has alpha one state paused
	vsh alpha destroy one
	vsh alpha start one
	holds alpha one split/a.img=held/exclusive
}

@test "resume after another guest shared the disk meanwhile is no harm" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img,shared"
	vsh alpha suspend one
	begin beta two "$top/split/a.img,shared"
	vsh beta destroy two
	vsh alpha resume one
	holds alpha one split/a.img=held/shared
}

@test "suspending twice and resuming twice changes nothing" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	run vsh alpha suspend one
	holds alpha one split/a.img=parked/none
	vsh alpha resume one
	run vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
}

@test "destroy: libvirt says nothing, and yet another host may start it at once" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	define beta two "$top/split/a.img"
	vsh alpha destroy one
	vsh beta start two
	holds beta two split/a.img=held/exclusive
	vsh beta destroy two
	vsh alpha start one
	holds alpha one split/a.img=held/exclusive
}

@test "destroy and start at once, several times" {
	image "$top/shared/a.img"
	begin alpha one "$top/shared/a.img"
	for _ in 1 2 3; do
		vsh alpha "destroy one; start one"
		holds alpha one shared/a.img=held/exclusive
	done
}

@test "destroy of a paused guest frees what it had" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	vsh alpha destroy one
	begin beta two "$top/split/a.img"
	vsh alpha start one && return 1
	vsh beta destroy two
	vsh alpha start one
}

@test "a QEMU that is killed holds nothing" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	define beta two "$top/split/a.img"
	kill -KILL "$(qemu_pid alpha one)"
	eventually is_state alpha one "shut off"
	vsh beta start two
	holds beta two split/a.img=held/exclusive
}

@test "a guest that powers off holds nothing; one that resets itself holds all" {
	image "$top"/split/{off,reset}.img
	program "$top/alpha/split/off.img" poweroff
	program "$top/alpha/split/reset.img" reset
	begin alpha one "$top/split/off.img"
	begin alpha two "$top/split/reset.img"
	holds alpha two split/reset.img=held/exclusive
	eventually is_state alpha one "shut off"
	begin beta three "$top/split/off.img"
	holds alpha two split/reset.img=held/exclusive
	vsh alpha reset two
	holds alpha two split/reset.img=held/exclusive
	define beta four "$top/split/reset.img"
	run vsh beta start four
	refused_by alpha two "$top/split/reset.img"
}

@test "libvirtd is killed, or stopped, and comes back: its guests hold what they held all the time" {
	local signal

	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	define beta two "$top/split/a.img"
	for signal in KILL TERM; do
		daemon_end alpha "$signal"
		holds alpha one split/a.img=held/exclusive
		run vsh beta start two
		refused_by alpha one "$top/split/a.img"
		daemon_start alpha
		is_state alpha one running
		holds alpha one split/a.img=held/exclusive
		run vsh beta start two
		refused_by alpha one "$top/split/a.img"
	done
	vsh alpha suspend one
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
	vsh alpha destroy one
	vsh beta start two
}

@test "libvirtd is killed and comes back while a guest is paused: it resumes, unless another had its disk" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	begin alpha two "$top/split/b.img"
	vsh alpha "suspend one; suspend two"
	daemon_end alpha KILL
	begin beta three "$top/split/b.img"
	vsh beta destroy three
	daemon_start alpha
	is_state alpha one paused
	vsh alpha resume one
	holds alpha one split/a.img=held/exclusive
	run vsh alpha resume two
	refused "$top/split/b.img"
	is_state alpha two paused
	holds alpha two split/b.img=parked/none
}

@test "libvirtd was killed before it noted the guest's process: the disk is free, and without its state the guest starts" {
	local state=$top/alpha/run/libvirt/qemu/one.xml

	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	daemon_end alpha KILL
	kill -KILL "$(qemu_pid alpha one)"
	# What libvirt 9.0 writes before QEMU is there.
	sed -i -e "s|^<domstatus .*|<domstatus state='paused' reason='starting up' pid='0'>|" \
		-e "s|</qemuCaps>|&<job type='async nested' async='start' phase='none' flags='0x0'/>|" "$state"
	daemon_start alpha
	is_state alpha one paused
	has_ended alpha one
	begin beta two "$top/split/a.img"
	vsh beta destroy two
	daemon_end alpha KILL
	test ! -e "$state"
	daemon_start alpha
	is_state alpha one "shut off"
	vsh alpha start one
	holds alpha one split/a.img=held/exclusive
}

@test "a guest that dies while there is no libvirtd is in nobody's way, and is forgotten when libvirtd is back" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	begin alpha two "$top/split/b.img"
	vsh alpha suspend two
	daemon_end alpha KILL
	kill -KILL "$(qemu_pid alpha one)" "$(qemu_pid alpha two)"
	begin beta three "$top/split/a.img"
	daemon_start alpha
	is_state alpha one "shut off"
	is_state alpha two "shut off"
	has alpha one state gone
	has alpha two state gone
	run vsh alpha start one
	refused_by beta three "$top/split/a.img"
	vsh alpha start two
}

@test "libvirtd is killed in the middle of starts: nothing is held that does not run" {
	local name

	image "$top"/split/{a,b,c}.img
	for name in a b c; do
		define alpha "$name" "$top/split/$name.img"
		vsh alpha start "$name" &
	done
	sleep 0.3
	daemon_end alpha KILL
	wait || :
	daemon_start alpha
	for name in a b c; do
		case $(state alpha "$name") in
		running) holds alpha "$name" "split/$name.img=held/exclusive" ;;
		*) begin beta "$name-other" "$top/split/$name.img" ;;
		esac
	done
}
