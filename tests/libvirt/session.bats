#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A libvirtd of a user without privileges, and one without a daemon: virt-qemu-run.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

readonly nobody=65534

setup_file()
{
	world_begin alpha
	test -n "${world_missing-}" || user_begin
}

setup()
{
	test -z "${world_missing-}" || skip "$world_missing"
	set_without_privileges
}

teardown()
{
	local status=0

	test -z "${world_missing-}" || return 0
	user_end_guests
	world_settle || status=$?
	return "$status"
}

# A home with all that it needs, for the build may be out of reach for others than root.
user_begin()
{
	local file

	export home=$top/home
	mkdir -p "$home"/{bin,run,.config/libvirt,images,.cache,records,state}
	cp "$plugin_dir/guestlock.so" "$GUESTLOCK" "$home/bin"
	for file in "$top_builddir"/.libs/libguestlock.so* "${GUESTLOCK_BACKEND_PATH%%:*}"/*.so; do
		cp "$file" "$home/bin"
	done
	# Through virtlogd, what a guest says as it fails may come too late for the daemon's message.
	printf '%s\n' 'lock_manager = "guestlock"' 'stdio_handler = "file"' >"$home/.config/libvirt/qemu.conf"
	cat >"$home/.config/libvirt/qemu-guestlock.conf" <<-END
		[guestlock]
		run_dir = $home/records
		state_dir = $home/state
	END
	truncate -s 1M "$home/images/a.img"
	chown -R "$nobody:$nobody" "$home"
	chmod 0700 "$home/run"
}

# What a command of that user begins with.
set_without_privileges()
{
	without_privileges=(env -i PATH="$PATH" HOME="$home" XDG_RUNTIME_DIR="$home/run" LC_ALL=C.UTF-8
		LD_LIBRARY_PATH="$home/bin" GUESTLOCK_BACKEND_PATH="$home/bin"
		LIBVIRT_LOCK_MANAGER_PLUGIN_DIR="$home/bin" LIBVIRT_DRIVER_DIR="$top/drivers"
		setpriv --reuid="$nobody" --regid="$nobody" --clear-groups)
}

# as_user COMMAND...: without privileges, in that home, on alpha.
as_user()
{
	on alpha "${without_privileges[@]}" "$@"
}

ush()
{
	as_user timeout 60 virsh -q -c "qemu+unix:///session?socket=$home/run/libvirt/libvirt-sock" "$@"
}

ugl()
{
	as_user "$home/bin/guestlock" -c "$home/.config/libvirt/qemu-guestlock.conf" "$@"
}

user_daemon()
{
	launch alpha "$top/alpha/log/session" "${without_privileges[@]}" libvirtd
	eventually ush connect
}

user_end_guests()
{
	local pid

	ush destroy one >/dev/null 2>&1 || :
	ush destroy two >/dev/null 2>&1 || :
	pid=$(cat "$home/run/libvirt/libvirtd.pid" 2>/dev/null) || return 0
	kill -TERM "$pid" 2>/dev/null || :
	eventually is_gone "$pid"
}

# sees NAME RESOURCE=STATE/MODE
user_holds()
{
	local got

	got=$(ugl --quiet show "$1" --json | jq -r --arg top "$home/" '.guests[].resources[] |
		select(.type == "disk") | "\(.name | ltrimstr($top))=\(.state)/\(.mode)"')
	test "$got" = "$2" || {
		echo "guestlock says of $1: $got, not $2" >&2
		return 1
	}
}

@test "session mode: a user's guests are locked against each other" {
	user_daemon
	guest_xml one "$home/images/a.img" >"$top/xml/one"
	guest_xml two "$home/images/a.img" >"$top/xml/two"
	ush define "$top/xml/one"
	ush define "$top/xml/two"
	ush start one
	user_holds one images/a.img=held/exclusive
	run ush start two
	refused "$home/images/a.img" "guest one ($(uuid_of one)) on alpha, pid " "since 20"
	ush suspend one
	user_holds one images/a.img=parked/none
	ush resume one
	user_holds one images/a.img=held/exclusive
	ush destroy one
	ush start two
	user_holds two images/a.img=held/exclusive
}

@test "session mode: libvirtd is killed and comes back" {
	user_daemon
	guest_xml one "$home/images/a.img" >"$top/xml/one"
	guest_xml two "$home/images/a.img" >"$top/xml/two"
	ush define "$top/xml/one"
	ush define "$top/xml/two"
	ush start one
	kill -KILL "$(<"$home/run/libvirt/libvirtd.pid")"
	user_holds one images/a.img=held/exclusive
	user_daemon
	run ush start two
	refused "$home/images/a.img" "guest one ($(uuid_of one)) on alpha, pid " "since 20"
	ush destroy one
	ush start two
}

@test "check tells a user what separates his guests from others'" {
	run ugl check
	((status == 0))
	contains "$output" "$home/records"
	contains "$output" "root"
}

# embedded NAME DISK: virt-qemu-run with a root of its own, in the background.
embedded()
{
	local name=$1 root=$top/alpha/embedded-$1

	mkdir -p "$root/etc"
	cp "$top/alpha/etc/qemu.conf" "$top/alpha/etc/qemu-guestlock.conf" "$root/etc"
	guest_xml "$name" "$2" >"$top/xml/$name"
	launch alpha "$top/xml/$name.out" env LIBVIRT_LOCK_MANAGER_PLUGIN_DIR="$plugin_dir" \
		LIBVIRT_DRIVER_DIR="$top/drivers" virt-qemu-run -v --root="$root" "$top/xml/$name"
}

@test "virt-qemu-run: its guest is locked as those of libvirtd are, and ends with it" {
	image "$top/split/a.img"
	embedded one "$top/split/a.img"
	eventually has alpha one state running
	holds alpha one split/a.img=held/exclusive
	define alpha two "$top/split/a.img"
	run vsh alpha start two
	refused "$top/split/a.img" "guest one ($(uuid_of one)) on alpha, pid " "since 20"

	embedded three "$top/split/a.img"
	eventually test -e "$top/xml/three.out.ended"
	test "$(<"$top/xml/three.out.ended")" != 0
	grep -q "guest one ($(uuid_of one)) on alpha, pid " "$top/xml/three.out"

	# It does not notice when its guest ends, but ends its guest when it is told to end itself.
	kill -TERM "$(<"$top/xml/one.out.pid")"
	eventually test -e "$top/xml/one.out.ended"
	eventually has_ended alpha one
	vsh alpha start two
}
