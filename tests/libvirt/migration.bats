#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests go from alpha to beta.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

setup_file()
{
	world_begin alpha beta
	migrate_port=$((49152 + $$ % 500 * 20 + 15))
	export migrate_port
}

teardown()
{
	local host

	for host in ${top:+alpha beta}; do
		while on "$host" mountpoint -q "$top/locks"; do
			locks "$host"
		done
	done
	world_settle
}

# no_locks HOST, locks HOST: its lock directory cannot be written to, and can again.
no_locks()
{
	on "$1" mount --bind "$top/locks" "$top/locks" && on "$1" mount -o remount,bind,ro "$top/locks"
}

locks()
{
	on "$1" umount "$top/locks"
}

# migrate GUEST [OPTION...]
migrate()
{
	local guest=$1

	shift
	vsh alpha migrate --unsafe "$@" "$guest" "$(uri_of beta)" --migrateuri "tcp://127.0.0.1:$migrate_port"
}

# arrived IMAGE: guest one is on beta, with it, and alpha is rid of it.
arrived()
{
	is_state beta one running
	has beta one pid "$(qemu_pid beta one)"
	holds beta one "${1#"$top/"}=held/exclusive"
	! is_state alpha one running && ! is_state alpha one paused
	has_ended alpha one
	define alpha other "$1"
	run vsh alpha start other
	refused_by beta one "$1"
}

# stayed IMAGE: it is on alpha as before.
stayed()
{
	eventually is_state alpha one running
	eventually holds alpha one "${1#"$top/"}=held/exclusive"
	eventually is_absent beta one
	eventually has_ended beta one
	define beta other "$1"
	run vsh beta start other
	refused_by alpha one "$1"
	vsh alpha suspend one
	vsh alpha resume one
	holds alpha one "${1#"$top/"}=held/exclusive"
}

is_absent()
{
	is_state "$1" "$2" none || is_state "$1" "$2" "shut off"
}

@test "live: the guest's disks go with it" {
	image "$top/shared/a.img"
	begin alpha one "$top/shared/a.img"
	migrate one --live
	arrived "$top/shared/a.img"
}

@test "live, peer to peer, and back again" {
	image "$top/shared/a.img"
	begin alpha one "$top/shared/a.img"
	migrate one --live --p2p --persistent --undefinesource
	arrived "$top/shared/a.img"
	vsh beta migrate --live --unsafe --p2p one "$(uri_of alpha)" --migrateuri "tcp://127.0.0.1:$migrate_port"
	holds alpha one shared/a.img=held/exclusive
	eventually has_ended beta one
}

@test "live, with post-copy, and with the storage copied" {
	image "$top"/split/{a,b}.img
	begin alpha one "$top/split/a.img"
	migrate one --live --postcopy --postcopy-after-precopy
	arrived "$top/split/a.img"
	end_guests beta
	end_guests alpha
	begin alpha one "$top/split/b.img"
	migrate one --live --copy-storage-all
	arrived "$top/split/b.img"
}

@test "live, with shared disks and leases" {
	image "$top/split/a.img"
	: >"$top/shared/leases"
	begin alpha one "$top/split/a.img,shared" lease=first
	begin beta two "$top/split/a.img,shared"
	migrate one --live
	holds beta one first=held/exclusive split/a.img=held/shared
	has_ended alpha one
}

@test "paused: it arrives paused, without locks, and takes them when it is resumed there" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	migrate one
	is_state beta one paused
	has beta one state bound
	eventually has_ended alpha one
	vsh beta resume one
	arrived "$top/split/a.img"
}

@test "paused, and another guest had its disk before it was resumed there: refused, for the state says so" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	migrate one
	begin alpha other "$top/split/a.img"
	run vsh beta resume one
	refused_by alpha other "$top/split/a.img"
	vsh alpha destroy other
	run vsh beta resume one
	refused "$top/split/a.img"
	is_state beta one paused
}

@test "paused, with a state that another lock manager made: refused where it arrived" {
	image "$top/split/a.img"
	begin alpha one "$top/split/a.img"
	vsh alpha suspend one
	daemon_end alpha TERM
	sed -i 's|<lockstate>.*</lockstate>|<lockstate>/a/b:1,/c/d:2</lockstate>|' "$top/alpha/run/libvirt/qemu/one.xml"
	daemon_start alpha
	migrate one
	run vsh beta resume one
	refused "saved by another lock manager"
	is_state beta one paused
	holds beta one split/a.img=none/none
	begin alpha other "$top/split/a.img"
}

@test "suspended at the source in the middle of it: its disks are where it is" {
	image "$top/split/a.img"
	slow_guest "$top/split/a.img"
	migrate_slowly
	vsh alpha suspend one
	vsh alpha migrate-setspeed one 1000 || :
	wait "$migration"
	! is_state beta one paused || vsh beta resume one
	arrived "$top/split/a.img"
}

# slow_guest IMAGE: guest one, which writes to its memory faster than it is migrated.
slow_guest()
{
	program "$1" dirty
	test ! -e "$top/alpha/split/${1##*/}" || program "$top/alpha/split/${1##*/}" dirty
	begin alpha one "$1"
	eventually in_first_sector alpha one
	vsh alpha migrate-setmaxdowntime one 1
}

# in_first_sector HOST NAME: the BIOS is done, the guest's own program runs.
in_first_sector()
{
	vsh "$1" qemu-monitor-command --hmp "$2" "info registers" | grep -q 'EIP=00007c'
}

# migrate_slowly: in the background, and it is under way. What fails before it was, as a connection to a libvirtd that has
# only just started can, is begun again.
migrate_slowly()
{
	local end

	for _ in 1 2 3; do
		migrate one --live --bandwidth 1 >"$top/xml/migrate" 2>&1 &
		migration=$!
		end=$((SECONDS + patience))
		while kill -0 "$migration" 2>/dev/null; do
			! is_under_way || return 0
			if ((SECONDS >= end)); then
				echo "the migration does not get under way"
				return 1
			fi
			sleep 0.02
		done
		cat "$top/xml/migrate"
		if is_state beta one running; then
			echo "the guest was there before it could be seen on its way"
			return 1
		fi
	done
	return 1
}

is_under_way()
{
	vsh alpha domjobinfo one 2>/dev/null | grep -q "Memory processed" && test "$(state beta one)" = paused
}

# finish_quickly: what migrate_slowly began gets to its end, maybe after the first of these already.
finish_quickly()
{
	vsh alpha migrate-setmaxdowntime one 60000
	vsh alpha migrate-setspeed one 1000 || :
}

# failed: what migrate_slowly began has failed.
failed()
{
	local status=0

	wait "$migration" || status=$?
	test "$status" != 0 || {
		echo "the guest has been migrated: $(<"$top/xml/migrate")"
		return 1
	}
}

@test "the guest is destroyed at the source in the middle of it: nothing is held at either end" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	vsh alpha destroy one
	failed
	eventually is_absent beta one
	begin beta other "$top/shared/a.img"
	holds beta other shared/a.img=held/exclusive
}

@test "cancelled: the guest keeps its disks at the source, and nothing is left at the target" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	holds alpha one shared/a.img=held/exclusive
	vsh alpha domjobabort one
	failed
	stayed "$top/shared/a.img"
}

@test "the target's QEMU is killed: the guest keeps its disks at the source" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	kill -KILL "$(qemu_pid beta one)"
	failed
	stayed "$top/shared/a.img"
}

@test "the target's libvirtd is killed: the guest keeps its disks at the source" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	daemon_end beta KILL
	finish_quickly
	failed
	daemon_start beta
	stayed "$top/shared/a.img"
}

@test "the source's libvirtd is killed: the guest keeps its disks there" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	daemon_end alpha KILL
	failed
	daemon_start alpha
	stayed "$top/shared/a.img"
}

@test "the source's QEMU is killed: nothing is held at either end" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	kill -KILL "$(qemu_pid alpha one)"
	failed
	eventually is_absent beta one
	eventually is_absent alpha one
	begin beta other "$top/shared/a.img"
	holds beta other shared/a.img=held/exclusive
}

@test "no locks can be had at the target: refused before QEMU is there, the guest keeps its disks at the source" {
	image "$top/shared/a.img"
	begin alpha one "$top/shared/a.img"
	no_locks beta
	run migrate one --live
	locks beta
	refused "Read-only file system"
	stayed "$top/shared/a.img"
}

@test "no locks can be had at the target when the guest is there: it goes on at the source" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	no_locks beta
	finish_quickly
	failed
	locks beta
	grep -q "Read-only file system" "$top/xml/migrate"
	stayed "$top/shared/a.img"
}

@test "no locks can be changed at either end: the guest goes on at the source with what it has" {
	image "$top/shared/a.img"
	slow_guest "$top/shared/a.img"
	migrate_slowly
	no_locks beta
	no_locks alpha
	finish_quickly
	failed
	locks beta
	locks alpha
	stayed "$top/shared/a.img"
}

@test "another guest gets the disk in the moment when neither end has it: the guest is paused at the source" {
	local target

	image "$top/split/a.img"
	slow_guest "$top/split/a.img"
	migrate_slowly
	launch alpha "$top/xml/rival" "$GUESTLOCK" -c "$top/alpha/etc/qemu-guestlock.conf" run --name rival --wait 30 \
		--disk "$top/split/a.img,shared" -- sleep 60
	# The moment is as long as the target does not answer.
	target=$(qemu_pid beta one)
	kill -STOP "$target"
	vsh alpha migrate-setmaxdowntime one 60000
	eventually has alpha rival state running
	kill -CONT "$target"
	failed
	contains "$(<"$top/xml/migrate")" "guest rival ("
	eventually is_state alpha one paused
	is_absent beta one
	run vsh alpha resume one
	refused "guest rival ("
	kill "$(property alpha rival pid)"
	eventually has alpha rival state gone
	vsh alpha resume one
	stayed "$top/split/a.img"
}

@test "from a host without the plugin, it has its locks here; to one without it, it has none" {
	image "$top/shared/a.img"
	without_plugin alpha
	begin alpha one "$top/shared/a.img"
	migrate one --live
	is_state beta one running
	holds beta one shared/a.img=held/exclusive
	vsh beta migrate --live --unsafe one "$(uri_of alpha)" --migrateuri "tcp://127.0.0.1:$migrate_port"
	is_state alpha one running
	has_ended beta one || holds beta one shared/a.img=parked/none
	with_plugin alpha
	has alpha one state gone
	vsh alpha suspend one
	vsh alpha resume one
	has alpha one life adopted
	# One that has no tether goes like the others, and has one where it arrives.
	migrate one --live
	arrived "$top/shared/a.img"
	has beta one life alive
}
