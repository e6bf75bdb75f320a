#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is one disk, whatever it is called: a file and what is made of it, a whole disk and its parts, a file by several
# names, in several mount namespaces and for several run directories.
# What the helpers set.
# shellcheck disable=SC2154,SC2034
load helpers

# refused_for NAME COMMAND...: it ends with 1 and names that guest.
refused_for()
{
	local name=$1

	shift
	run -1 --separate-stderr gl "$@"
	is_message "$stderr"
	contains "$stderr" "$name"
}

@test "a whole disk, its partitions and the file behind it" {
	image "$dir/img"
	loop_of "$dir/img"
	begin part --disk "${loop}p1"
	for whole in "$loop" "$dir/img"; do
		refused_for part run --disk "$whole" -- touch "$dir/ran"
		contains "$stderr" "a part of it"
		contains "$stderr" "${loop}p1"
	done
	# The other partition is another disk.
	begin other --disk "${loop}p2"
	refused_for part attach other --disk "$dir/img"
	gl detach other --disk "${loop}p2"
	kill -KILL "$(property part pid)"
	eventually gone part
	gl attach other --disk "$dir/img"
	refused_for other run --disk "${loop}p1" -- touch "$dir/ran"
	contains "$stderr" "is a part of, or made of, $dir/img"
	refused_for other run --disk "$loop" -- touch "$dir/ran"
	gl detach other --disk "$dir/img"
	run -0 gl run --disk "${loop}p1" -- true
	test ! -e "$dir/ran"
}

@test "parts of what is paused, and who waits for them" {
	image "$dir/img"
	loop_of "$dir/img"
	begin part --disk "${loop}p1"
	gl pause part
	# Its memory belongs to what the disk has now: the whole of it must not be written meanwhile.
	refused_for part run --disk "$dir/img" -- touch "$dir/ran"
	gl resume part
	background gl run --wait 30 --name waits --disk "$dir/img" -- touch "$dir/ran"
	eventually has waits state bound
	sleep 0.5
	test ! -e "$dir/ran"
	kill -KILL "$(property part pid)"
	ended "$supervisor" 0
	test -e "$dir/ran"
}

@test "readers of a whole disk and of a part of it go together" {
	image "$dir/img"
	loop_of "$dir/img"
	printf 'readonly_disks = shared\n' >>"$GUESTLOCK_CONFIG"
	begin part --disk "${loop}p1,readonly"
	run -0 gl run --disk "$dir/img,readonly" -- true
	refused_for part run --disk "$dir/img" -- true
}

@test "a loop device on a loop device" {
	image "$dir/img"
	loop_of "$dir/img"
	lower=$loop
	upper=$(losetup --find --show "${lower}p2")
	sed -i "1i $upper" "$dir/loops"
	begin web --disk "$upper"
	refused_for web run --disk "${lower}p2" -- true
	refused_for web run --disk "$dir/img" -- true
	run -0 gl run --disk "${lower}p1" -- true
}

@test "two that come at once for the whole and for a part: never both" {
	image "$dir/img"
	loop_of "$dir/img"
	for ((i = 0; i < 30; i++)); do
		for path in "$dir/img" "${loop}p1"; do
			gl run --disk "$path" -- sh -c 'mkdir "$1" || touch "$2"; sleep 0.02; rmdir "$1"' sh "$dir/claim" "$dir/both" \
				2>/dev/null 3>&- &
		done
		wait
	done
	test ! -e "$dir/both"
}

# The same file for another manager, which shares the directory of locks and nothing else.
@test "a renamed, a linked and a moved file, seen from another run directory" {
	mkdir "$dir/images"
	truncate -s 64K "$dir/images/a.img"
	ln "$dir/images/a.img" "$dir/hard.img"
	begin web --disk "$dir/images/a.img"
	run -1 --separate-stderr other_host run --disk "$dir/hard.img" -- touch "$dir/ran"
	contains "$stderr" "$(property web uuid)"
	mv "$dir/images/a.img" "$dir/images/b.img"
	run -1 other_host run --disk "$dir/images/b.img" -- touch "$dir/ran"
	mv "$dir/images" "$dir/moved"
	run -1 other_host run --disk "$dir/moved/b.img" -- touch "$dir/ran"
	# Also while it is paused: it would go on with what it remembers of that file.
	gl pause web
	run -1 other_host run --disk "$dir/moved/b.img" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	kill -KILL "$(property web pid)"
	eventually gone web
	run -0 other_host run --disk "$dir/moved/b.img" -- true
}

@test "a container that has the volume elsewhere" {
	mkdir "$dir/volume" "$dir/inside"
	truncate -s 64K "$dir/volume/a.img"
	unshare --mount true 2>/dev/null || skip "no mount namespaces for this user"
	write_config "$dir/inside.conf" "$dir/inside-run" "$dir/state"
	begin web --disk "$dir/volume/a.img"
	run -1 --separate-stderr unshare --mount sh -c 'mount --bind "$1" "$2" && exec "$3" --config "$4" run --disk "$2/a.img" -- touch "$5"' \
		sh "$dir/volume" "$dir/inside" "$GUESTLOCK" "$dir/inside.conf" "$dir/ran"
	contains "$stderr" "$(property web uuid)"
	test ! -e "$dir/ran"
}

@test "a new file with the inode of one that was removed is another file" {
	truncate -s 4K "$dir/a.img"
	inode=$(stat -c %i "$dir/a.img")
	test "$(stat -c %W "$dir/a.img")" -gt 0 || skip "the file system has no birth times"
	begin web --disk "$dir/a.img"
	rm "$dir/a.img"
	for ((i = 0; i < 100; i++)); do
		truncate -s 4K "$dir/b$i.img"
		test "$(stat -c %i "$dir/b$i.img")" != "$inode" || break
	done
	test "$i" -lt 100 || skip "the file system does not use inodes again at once"
	run -0 gl run --disk "$dir/b$i.img" -- true
}

@test "a file that is called as a partition would be" {
	image "$dir/img"
	loop_of "$dir/img"
	truncate -s 64K "$dir/img-part1"
	begin web --disk "$dir/img-part1"
	run -0 gl run --disk "${loop}p1" -- true
}

@test "what two wishes for one disk come to: alone before shared, shared before read-only" {
	printf 'readonly_disks = shared\n' >>"$GUESTLOCK_CONFIG"
	for wishes in "shared readonly shared" "readonly shared shared" "readonly readonly shared" "shared  exclusive"; do
		read -r first second mode <<<"$wishes"
		test -n "$mode" || { mode=$second && second=; }
		begin web --disk "$disk,$first" --disk "$disk${second:+,$second}"
		test "$(gl holders "$disk" --json | jq -r '.resources[0].holders[0].mode')" = "$mode"
		kill -KILL "$(property web pid)"
		eventually gone web
	done
}

@test "what the host does with a disk is said, and refuses nothing" {
	image "$dir/img"
	loop_of "$dir/img"
	run -0 --separate-stderr gl run --disk "$dir/second.img" -- true
	[[ $stderr != *"the host and"* ]]
	mkfs.ext2 -q "${loop}p1" 2048
	mkdir "$dir/small"
	mount "${loop}p1" "$dir/small"
	for path in "$dir/img" "$loop" "${loop}p1"; do
		run -0 --separate-stderr gl run --disk "$path" -- true
		contains "$stderr" "mounted at $dir/small"
		run -0 gl check "$path"
		contains "$output" "mounted at $dir/small"
	done
	for path in "${loop}p2" "$dir/second.img"; do
		run -0 --separate-stderr gl run --disk "$path" -- true
		[[ $stderr != *"the host and"* ]]
	done
	run -0 gl check "$dir/img"
	contains "$output" "attached to loop device $loop"
	# Who only reads is told nothing at its start.
	run -0 --separate-stderr gl run --disk "$dir/img,readonly" -- true
	[[ $stderr != *"the host and"* ]]
}

@test "devices by their nodes need no sysfs" {
	image "$dir/img"
	loop_of "$dir/img"
	sed -i '/^\[guestlock\]/a disk_identity = path' "$GUESTLOCK_CONFIG"
	run -0 unshare --mount sh -c 'umount -l /sys && exec "$1" run --disk "$2" -- true' sh "$GUESTLOCK" "${loop}p1"
	sed -i '/disk_identity/d' "$GUESTLOCK_CONFIG"
	rm -r "$dir/run" "$dir/state"
	run ! --separate-stderr unshare --mount sh -c 'umount -l /sys && exec "$1" run --disk "$2" -- true' sh "$GUESTLOCK" "${loop}p1"
	contains "$stderr" "/sys"
}

@test "a guest with two parts of a disk that gives back one still has the other" {
	image "$dir/img"
	loop_of "$dir/img"
	begin web --disk "${loop}p1" --disk "${loop}p2"
	gl detach web --disk "${loop}p1"
	refused_for web run --disk "$dir/img" -- true
	refused_for web run --disk "$loop" -- true
	run -0 gl run --disk "${loop}p1" -- true
	gl detach web --disk "${loop}p2"
	run -0 gl run --disk "$dir/img" -- true
}

@test "a guest with a whole disk and a part of it that gives back one still has the other" {
	image "$dir/img"
	loop_of "$dir/img"
	begin web --disk "$loop" --disk "${loop}p1"
	gl detach web --disk "$loop"
	refused_for web run --disk "$dir/img" -- true
	run -0 gl run --disk "${loop}p2" -- true
	gl attach web --disk "$loop"
	gl detach web --disk "${loop}p1"
	refused_for web run --disk "${loop}p1" -- true
	refused_for web run --disk "${loop}p2" -- true
	gl detach web --disk "$loop"
	run -0 gl run --disk "$dir/img" -- true
}

@test "an adopted guest's file by another name, and its parts, seen from another run directory" {
	image "$dir/img"
	sleep 300 3>&- &
	pid=$!
	run -0 gl adopt "$pid" --name old --disk "$dir/img" --disk "$disk"
	ln "$disk" "$dir/hard.img"
	run -1 --separate-stderr other_host run --disk "$dir/hard.img" -- touch "$dir/ran"
	contains "$stderr" "$(property old uuid)"
	contains "$stderr" "pid $pid"
	mv "$disk" "$dir/renamed.img"
	run -1 other_host run --disk "$dir/renamed.img" -- touch "$dir/ran"
	loop_of "$dir/img"
	run -1 --separate-stderr other_host run --disk "${loop}p1" -- touch "$dir/ran"
	contains "$stderr" "is a part of, or made of"
	# Who cannot see whether it lives does not have it either.
	if unshare --pid --fork --mount-proc true 2>/dev/null; then
		run -1 --separate-stderr unshare --pid --fork --mount-proc "$GUESTLOCK" --config "$dir/other.conf" run --disk "$dir/renamed.img" -- touch "$dir/ran"
		contains "$stderr" "it is not seen from here whether it lives"
	fi
	test ! -e "$dir/ran"
	kill -KILL "$pid"
	wait "$pid" || :
	run -0 other_host run --disk "$dir/renamed.img" --disk "${loop}p1" -- true
}

@test "a guest without its tether: its file by another name, seen from another run directory" {
	begin web --disk "$disk" -- python3 -c 'import os, time; os.closerange(3, 100); time.sleep(300)'
	kill -KILL "$supervisor"
	eventually has web life untethered
	mv "$disk" "$dir/renamed.img"
	run -1 --separate-stderr other_host run --disk "$dir/renamed.img" -- touch "$dir/ran"
	contains "$stderr" "$(property web uuid)"
	test ! -e "$dir/ran"
	pid=$(pid_of web)
	kill -KILL "$pid"
	eventually is_over "$pid"
	run -0 other_host run --disk "$dir/renamed.img" -- true
}
