#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest whose monitor is known (run --qmp) is stopped by it, and then as any other one. With a real QEMU, and with
# others that listen in its place.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

need_qemu()
{
	command -v qemu-system-x86_64 >/dev/null && return
	test -z "${GUESTLOCK_TEST_ALL-}" || return 1
	skip "qemu-system-x86_64 is not installed"
}

# A disk whose first sector does: for (;;) write a number, which grows, to the second one.
writing_disk()
{
	truncate -s 1M "$disk"
	printf '%b' '\x31\xc0\x8e\xd8\x8e\xc0\xff\x06\x00\x7e\xb8\x01\x03\xb9\x02\x00\xba\x80\x00\xbb\x00\x7e\xcd\x13\xeb\xec' |
		dd of="$disk" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
}

# begin_qemu NAME [WORD...]: its monitor for guestlock is $dir/NAME.qmp, another one $dir/NAME.qmp2. The words stand before
# its command.
begin_qemu()
{
	local name=$1

	shift
	begin "$name" --disk "$disk" --qmp "$name.qmp" -- "$@" qemu-system-x86_64 -accel tcg -m 8 -display none -nodefaults \
		-vga none -no-user-config -drive "file=$disk,format=raw,if=ide,cache=writeback" \
		-qmp "unix:$dir/$name.qmp,server=on,wait=off" -qmp "unix:$dir/$name.qmp2,server=on,wait=off"
	eventually test -S "$dir/$name.qmp"
}

in_state()
{
	test "$(cut -d ' ' -f 3 "/proc/$1/stat")" = "$2"
}

written()
{
	od -An -tu2 -j 512 -N 2 "$disk"
}

writes()
{
	local before

	before=$(written)
	sleep 0.3
	test "$(written)" != "$before"
}

# tell NAME COMMAND: by another monitor than guestlock's; its answer.
tell()
{
	python3 - "$dir/$1.qmp2" "$2" <<-'EOF_PYTHON'
		import json, socket, sys
		monitor = socket.socket(socket.AF_UNIX)
		monitor.settimeout(20)
		monitor.connect(sys.argv[1])
		lines = monitor.makefile("rw")
		lines.readline()
		for command in "qmp_capabilities", sys.argv[2]:
		    print(json.dumps({"execute": command, "id": 1}), file=lines, flush=True)
		    answer = {}
		    while "id" not in answer: answer = json.loads(lines.readline())
		print(json.dumps(answer["return"]))
	EOF_PYTHON
}

# listen NAME [PROGRAM]: a monitor at $dir/NAME that does what this Python says with each connection; nothing, without.
listen()
{
	cat >"$dir/listen.py" <<-EOF_PYTHON
		import json, socket, sys, time
		server = socket.socket(socket.AF_UNIX)
		server.bind("$dir/$1")
		server.listen()
		def talk(peer, status, stop):
		    lines = peer.makefile("rw")
		    print(json.dumps({"QMP": {}}), file=lines, flush=True)
		    for line in lines:
		        command = json.loads(line)
		        print(command["execute"], file=open("$dir/$1.log", "a"), flush=True)
		        answer = {"return": {}}
		        if command["execute"] == "query-status": answer = {"return": {"status": "x", "running": status}}
		        if command["execute"] == "stop": answer = stop
		        if answer: print(json.dumps(answer | {"id": command["id"]}), file=lines, flush=True)
		while True:
		    peer, address = server.accept()
		    try: ${2:-time.sleep(300)}
		    except (OSError, ValueError): pass
	EOF_PYTHON
	background python3 "$dir/listen.py"
	listener=$supervisor
	eventually test -S "$dir/$1"
}

# keeps_all GUEST FILE: it runs under its locks, and writes.
keeps_all()
{
	has "$1" state running
	test "$(holder "$disk")" = "$1"
	eventually grows "$2"
}

grows()
{
	local before

	before=$(stat -c %s "$1")
	sleep 0.2
	test "$(stat -c %s "$1")" != "$before"
}

# A guest of a shell, with a monitor that is none of its own.
begin_shell()
{
	# shellcheck disable=SC2016
	begin "$1" --disk "$disk" --qmp "$dir/$2" -- sh -c 'while :; do echo x >>"$0"; sleep 0.01; done' "$dir/$1.written"
}

@test "a QEMU that writes all the time: after pause its disk does not change, resume goes on" {
	need_qemu
	writing_disk
	begin_qemu web
	eventually writes
	for round in 1 2 3; do
		gl pause web >/dev/null
		! writes
		has web state paused
		run -0 gl run --disk "$disk,shared" -- true
		gl resume web
		eventually writes
		test "$(tell web query-status | jq .running)" = true
	done
}

@test "where the monitor is, the record says; a name that no socket can have is refused" {
	begin web --qmp one.qmp
	run -0 gl show web
	contains "$output" "qmp=$dir/one.qmp"
	test "$(gl show web --json | jq -r '.guests[0].params.qmp')" = "$dir/one.qmp"
	run -64 --separate-stderr gl run --param qmp=one.qmp -- true
	contains "$stderr" "has to be absolute"
	run -64 gl run --qmp "/$(printf '%0200d' 7)" -- true
	run -64 gl run --qmp
}

@test "nobody who has a paused QEMU go on makes it write, not by another monitor of it and not by SIGCONT" {
	need_qemu
	writing_disk
	begin_qemu web
	eventually writes
	gl pause web >/dev/null
	background tell web cont
	! writes
	kill -CONT "$(pid_of web)"
	eventually grep -q "ran without its locks" "$dir/web.err"
	eventually in_state "$(pid_of web)" T
	! writes
	gl resume web
	eventually writes
}

@test "a QEMU whose user has stopped it stays stopped after pause and resume" {
	need_qemu
	writing_disk
	begin_qemu web
	eventually writes
	tell web stop
	gl pause web >/dev/null
	has web state paused
	gl resume web
	test "$(tell web query-status | jq .running)" = false
	tell web cont
	eventually writes
}

@test "what QEMU had still to write is in its image after pause" {
	need_qemu
	command -v qemu-img >/dev/null || skip "qemu-img is not installed"
	writing_disk
	qemu-img create -q -f qcow2 -b "$disk" -F raw "$dir/top.qcow2"
	begin web --disk "$dir/top.qcow2" --qmp web.qmp -- qemu-system-x86_64 -accel tcg -m 8 -display none -nodefaults \
		-vga none -no-user-config -drive "file=$dir/top.qcow2,if=ide,cache=writeback" \
		-qmp "unix:$dir/web.qmp,server=on,wait=off"
	eventually test -S "$dir/web.qmp"
	sleep 1
	gl pause web >/dev/null
	# Another QEMU finds there what the guest wrote; in the cache of the one that is stopped it would be lost.
	qemu-img check -q -U "$dir/top.qcow2"
	qemu-img convert -U -O raw "$dir/top.qcow2" "$dir/seen"
	test "$(od -An -tu2 -j 512 -N 2 "$dir/seen")" -gt 0
	gl resume web
}

@test "helpers of such a guest are stopped, too" {
	need_qemu
	writing_disk
	# shellcheck disable=SC2016
	begin_qemu web sh -c 'f=$0; while :; do echo x >>"$f"; sleep 0.01; done & exec "$@"' "$dir/helper"
	eventually writes
	eventually grows "$dir/helper"
	gl pause web >/dev/null
	! writes
	! grows "$dir/helper"
	gl resume web
	eventually writes
	eventually grows "$dir/helper"
}

@test "a monitor that hangs: pause fails in time, 75, says so, and the locks are kept" {
	listen web.qmp
	begin_shell web web.qmp
	SECONDS=0
	run -75 --separate-stderr gl pause --timeout 2 web
	((SECONDS < 10))
	is_message "$stderr"
	contains "$stderr" "its monitor $dir/web.qmp did not answer in time"
	keeps_all web "$dir/web.written"
	# The way out: it is stopped by other means.
	kill -STOP "$(pid_of web)"
	run -0 gl pause web --externally-stopped
}

@test "one that hangs as it is told to stop is told to go on, and the locks are kept" {
	listen web.qmp 'talk(peer, True, None)'
	begin_shell web web.qmp
	run -75 --separate-stderr gl pause --timeout 2 web
	contains "$stderr" "did not answer in time"
	keeps_all web "$dir/web.written"
	test "$(tail -n 1 "$dir/web.qmp.log")" = cont
}

is_told()
{
	test "$(tail -n 1 "$dir/web.qmp.log")" = "$1"
}

@test "a pause that is killed after it told the monitor to stop: within a second the guest is told to go on" {
	listen web.qmp 'talk(peer, True, None)'
	begin_shell web web.qmp
	background "$GUESTLOCK" pause --timeout 60 web
	eventually is_told stop
	kill -KILL "$supervisor"
	eventually is_told cont
	keeps_all web "$dir/web.written"
}

@test "a monitor that is not there, refuses, or says that it did what it did not do" {
	begin_shell web none.qmp
	run -69 --separate-stderr gl pause web
	is_message "$stderr"
	contains "$stderr" "its monitor $dir/none.qmp cannot be reached (No such file or directory)"
	keeps_all web "$dir/web.written"
	kill -KILL "$(pid_of web)"
	eventually gone web

	listen no.qmp 'talk(peer, True, {"error": {"class": "GenericError", "desc": "a dump is in progress"}})'
	begin_shell web no.qmp
	run -69 --separate-stderr gl pause web
	contains "$stderr" 'refused "stop": "a dump is in progress"'
	keeps_all web "$dir/web.written"
	kill -KILL "$(pid_of web)" "$listener"
	eventually gone web

	listen liar.qmp 'talk(peer, True, {"return": {}})'
	begin_shell web liar.qmp
	run -69 --separate-stderr gl pause web
	contains "$stderr" "and then that it runs"
	keeps_all web "$dir/web.written"
}

@test "a monitor that had not answered when pause gave up, and answers later: the guest goes on by itself" {
	need_qemu
	writing_disk
	begin_qemu web
	eventually writes
	kill -STOP "$(pid_of web)"
	run -75 gl pause --timeout 2 web
	has web state running
	kill -CONT "$(pid_of web)"
	eventually writes
	test "$(tell web query-status | jq .running)" = true
	gl pause web >/dev/null
	gl resume web
	eventually writes
}
