#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# From libvirt's own plugin for sanlock to guestlock, as docs/sanlock.md says it. Each test begins with that plugin on both
# hosts, which have one sanlock daemon each for both plugins.
# What the helpers set.
# shellcheck disable=SC2154
load libvirt

# ---- Hosts with libvirt's plugin ----

eval "$(declare -f write_libvirt_conf | sed '1s/write_libvirt_conf/write_usual_conf/')"

write_libvirt_conf()
{
	write_usual_conf "$1"
	sed -i 's/^lock_manager = .*/lock_manager = "sanlock"/' "$top/$1/etc/qemu.conf"
	mkdir -p "$top/old"
	printf '%s\n' "auto_disk_leases = 1" "disk_lease_dir = \"$top/old\"" "host_id = $(host_id "$1")" "io_timeout = 1" \
		>"$top/$1/etc/qemu-sanlock.conf"
}

setup_file()
{
	local file

	for file in /usr/lib/*/libvirt/lock-driver/sanlock.so /usr/lib64/libvirt/lock-driver/sanlock.so; do
		test ! -e "$file" || ln -s "$file" "$BATS_FILE_TMPDIR/sanlock.so"
	done
	test -e "$BATS_FILE_TMPDIR/sanlock.so" || {
		export world_missing="libvirt's plugin for sanlock is not installed"
		test -z "${GUESTLOCK_TEST_ALL-}"
		return
	}
	ln -s "${GUESTLOCK_PLUGIN_PATH:-$top_builddir/compat/libvirt/.libs}/guestlock.so" "$BATS_FILE_TMPDIR/"
	export GUESTLOCK_PLUGIN_PATH=$BATS_FILE_TMPDIR
	sanlock_world
}

# change HOST: to guestlock. Guests run on.
change()
{
	daemon_end "$1" TERM
	sed -i 's/^lock_manager = .*/lock_manager = "guestlock"/' "$top/$1/etc/qemu.conf"
	: >"$top/$1/changed"
	daemon_start "$1"
}

# ---- Its leases ----

old_key()
{
	printf %s "$1" | md5sum | cut -d ' ' -f 1
}

# old_lease PATH: as sanlock says it.
old_lease()
{
	echo "__LIBVIRT__DISKS__:$(old_key "$1"):$top/old/$(old_key "$1"):0"
}

# lease_xml PATH: the same as an element of a domain.
lease_xml()
{
	echo "<lease><lockspace>__LIBVIRT__DISKS__</lockspace><key>$(old_key "$1")</key><target path='$top/old/$(old_key "$1")'/></lease>"
}

# old_lockspace HOST: as sanlock is asked to leave it.
old_lockspace()
{
	echo "__LIBVIRT__DISKS__:$(host_id "$1"):$top/old/__LIBVIRT__DISKS__:0"
}

# ---- The ways ----

@test "all hosts at once: guests are saved or shut down before, and run under guestlock after" {
	local a=$top/split/a.img b=$top/split/b.img

	image "$a" "$b"
	begin alpha one "$a"
	begin alpha two "$b"
	has_leases alpha "$(old_lease "$a")" "$(old_lease "$b")"
	define beta other "$a"
	run vsh beta start other
	refused "Lease is held by another host"
	vsh alpha suspend two
	vsh alpha "managedsave one; managedsave two"
	has_leases alpha
	change alpha
	change beta
	vsh alpha "start one; start two"
	is_state alpha one running
	is_state alpha two paused
	has_leases alpha one "$a"
	vsh alpha resume two
	has_leases alpha one two "$a" "$b"
	run vsh beta start other
	refused_by alpha one "$a"
}

@test "host by host: a guest that has the old lease of its disk, too, and guests of the other plugin keep each other out" {
	local a=$top/split/a.img

	image "$a"
	begin beta two "$a"
	change alpha
	define alpha one "$a" lease="$a"
	run vsh alpha start one
	refused "cannot lock lease $(old_key "$a")" "by somebody on "
	has_leases alpha
	vsh beta destroy two
	eventually vsh alpha start one
	has_leases alpha one "$a" "$(old_lease "$a")"
	run vsh beta start two
	refused "Lease is held by another host"

	vsh alpha suspend one
	vsh beta start two
	run vsh alpha resume one
	refused "cannot lock lease $(old_key "$a")" "by somebody on "
	vsh beta destroy two
	eventually resume_is_unproven
	vsh alpha destroy one
	vsh alpha start one

	# When all hosts are there the old lease is not needed any more.
	change beta
	lease_xml "$a" >"$top/xml/old"
	vsh alpha detach-device one "$top/xml/old" --live --config
	has_leases alpha one "$a"
	run vsh beta start two
	refused_by alpha one "$a"
	on alpha sanlock client rem_lockspace -s "$(old_lockspace alpha)"
	has_leases alpha one "$a"
	vsh alpha "suspend one; resume one"
	has_leases alpha one "$a"
	run vsh alpha attach-device one "$top/xml/old"
	refused "has not joined the lockspace of the lease"
}

resume_is_unproven()
{
	run vsh alpha resume one
	refused "nobody else wrote lease $(old_key "$a")"
}

@test "a guest that runs on over the change is nobody's: it keeps its old lease, and is not resumed, but restored" {
	local a=$top/split/a.img b=$top/split/b.img c=$top/split/c.img

	image "$a" "$b" "$c"
	begin alpha one "$a"
	begin alpha two "$b"
	change alpha
	has_leases alpha "$(old_lease "$a")" "$(old_lease "$b")"
	test "$(gl alpha --quiet list --json | jq '.guests | length')" = 0
	disk_xml sdb "$c" >"$top/xml/c"
	run vsh alpha attach-device one "$top/xml/c"
	refused "cannot take over a guest that runs, unless it is saved and restored"
	vsh alpha suspend one
	run vsh alpha resume one
	refused "cannot take over a guest that runs, unless it is saved and restored"
	is_state alpha one paused
	has_leases alpha "$(old_lease "$a")" "$(old_lease "$b")"
	vsh alpha "managedsave one; managedsave two"
	has_leases alpha
	vsh alpha "start one; start two; resume one"
	is_state alpha one running
	is_state alpha two running
	has_leases alpha one two "$a" "$b"
}

@test "a guest does not migrate from that plugin to guestlock, and runs on; saved here it is restored there" {
	local a=$top/split/a.img

	image "$a"
	begin alpha one "$a"
	change beta
	run vsh alpha migrate --live --unsafe one "$(uri_of beta)" --migrateuri "tcp://127.0.0.1:$((49152 + $$ % 500 * 20 + 18))"
	refused "it was saved by another lock manager"
	is_state alpha one running
	eventually is_state beta one none
	has_leases alpha "$(old_lease "$a")"
	has_leases beta
	vsh alpha save one "$top/shared/saved"
	has_leases alpha
	vsh beta restore "$top/shared/saved"
	is_state beta one running
	has_leases beta one "$a"
	# Both plugins keep out what has both leases; the other plugin does not take one twice.
	lease_xml "$a" >"$top/xml/old"
	vsh beta attach-device one "$top/xml/old" --live
	has_leases beta one "$a" "$(old_lease "$a")"
	define alpha other "$a"
	run vsh alpha start other
	refused "Lease is held by another host"
	vsh beta destroy one
	define alpha twice "$a" lease="$a"
	run vsh alpha start twice
	refused "File exists"
}
