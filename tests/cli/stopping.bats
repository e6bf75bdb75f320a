#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Paused means that nothing of the guest writes, whatever its program does with its children.
# What the helpers set, and words that are for another shell.
# shellcheck disable=SC2154,SC2016,SC2046,SC2086,SC2030,SC2031
load helpers

# The guest's program starts the one that writes, which has no inherited descriptor and a session of its own.
readonly wrapper='import os, subprocess, sys
subprocess.Popen(["sh", "-c", "while :; do echo x >>" + sys.argv[1] + "; done"], start_new_session=True).wait()'

@test "a child that closed all descriptors is paused and resumed, too" {
	begin web --disk "$disk" -- python3 -c "$wrapper" "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	stands_still "$dir/written"
	run -0 gl run --disk "$disk" -- true
	run -65 gl resume web
	stands_still "$dir/written"
}

@test "what such a guest leaves is killed with it" {
	begin web --disk "$disk" -- python3 -c "$wrapper" "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	gl resume web
	eventually grows "$dir/written"
}

@test "a guest of short-lived processes is paused each time" {
	begin web --disk "$disk" -- sh -c 'while :; do dd if=/dev/zero bs=1 count=1 status=none >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	for round in 1 2 3 4 5 6 7 8; do
		gl pause web >/dev/null
		stands_still "$dir/written"
		gl resume web
	done
}

@test "without its tether a guest is not paused: 69; stopped by other means it is, and is resumed" {
	begin closer --disk "$disk" -- bash -c \
		'for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd > 2)) && eval "exec $fd>&-"; done; while :; do echo x >>"$0"; done' "$dir/written"
	eventually has closer life untethered
	run -69 --separate-stderr gl pause closer
	is_message "$stderr"
	contains "$stderr" "say that it is stopped"
	has closer state running
	test "$(holder "$disk")" = closer
	kill -STOP "$(pid_of closer)"
	run -0 gl pause closer --externally-stopped
	test -z "$(holder "$disk")"
	run -0 gl resume closer
	has closer state running
	test "$(holder "$disk")" = closer
}

@test "a process that was sent the tether is not stopped: 77, and it is named" {
	need_root
	cat >"$dir/receive.py" <<-'EOF'
		import array, os, socket, sys
		server = socket.socket(socket.AF_UNIX)
		server.bind(sys.argv[1])
		os.chmod(sys.argv[1], 0o777)
		server.listen()
		peer, address = server.accept()
		message, kept, flags, sender = peer.recvmsg(1, socket.CMSG_SPACE(64))
		open(sys.argv[1] + ".got", "w").close()
		peer.recv(1)
	EOF
	cat >"$dir/send.py" <<-'EOF'
		import array, os, socket, sys, time
		tether = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2 and
			os.path.exists("/proc/self/fd/" + fd) and os.readlink("/proc/self/fd/" + fd).startswith("socket:")]
		os.setgid(65534)
		os.setuid(65534)
		peer = socket.socket(socket.AF_UNIX)
		while peer.connect_ex(sys.argv[1]) != 0: time.sleep(0.02)
		peer.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", tether))])
		time.sleep(300)
	EOF
	chmod 755 "$dir"
	# One that was there before is none of the guest's processes, and in nobody's way.
	background python3 "$dir/receive.py" "$dir/older"
	older=$supervisor
	eventually test -S "$dir/older"
	begin first --disk "$disk" -- python3 "$dir/send.py" "$dir/older"
	eventually test -e "$dir/older.got"
	gl pause first >/dev/null
	test "$(cut -d ' ' -f 3 "/proc/$older/stat")" != T
	kill -KILL "$older"
	kill -KILL "$(pid_of first)"
	eventually gone first
	begin hostile --disk "$disk" -- python3 "$dir/send.py" "$dir/socket"
	background python3 "$dir/receive.py" "$dir/socket"
	receiver=$supervisor
	eventually test -e "$dir/socket.got"
	run -77 --separate-stderr gl pause hostile
	is_message "$stderr"
	contains "$stderr" "pid $receiver, python3"
	test "$(cut -d ' ' -f 3 "/proc/$receiver/stat")" != T
	has hostile state running
	test "$(holder "$disk")" = hostile
	kill -KILL "$receiver"
}

is_held_elsewhere()
{
	test "$(other_host --quiet list --json | jq -r '.guests[0].state')" = running
}

@test "a guest that lost a lock is stopped before it gives up the others" {
	begin web --disk "$disk" --disk "$dir/second.img" -- \
		sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	# Somebody removes the entry of one disk, and a guest of other records has it by then.
	rm "$dir/state/fcntl/keys/$(gl show web --json |
		jq -r --arg disk "$disk" '.. | objects | select(.name? == $disk) | .key' | head -n 1)"
	background other_host run --disk "$disk" -- sleep 300
	eventually is_held_elsewhere
	gl reap || :
	has web state lost
	eventually grows "$dir/written"
	gl pause web >/dev/null
	stands_still "$dir/written"
	run -0 gl run --disk "$dir/second.img" -- true
}

@test "what the command leaves without any descriptor keeps the disks, and is named" {
	begin web --disk "$disk" -- python3 -c 'import subprocess, sys
subprocess.Popen(["sleep", "300"], start_new_session=True)'
	eventually grep -q "live on" "$dir/web.err"
	rest=$(pgrep -x sleep -P "$supervisor")
	contains "$(cat "$dir/web.err")" "pid $rest (sleep)"
	has web life untethered
	run -1 gl run --disk "$disk" -- true
	run -69 gl pause web
	kill -KILL "$rest"
	ended "$supervisor" 0
	nothing_taken
}

@test "an orphan without any descriptor is paused with the rest" {
	begin web --disk "$disk" -- python3 -c 'import subprocess, sys, time
subprocess.run(["sh", "-c", "setsid sh -c \"while :; do echo x >>$0; done\" $0 &", sys.argv[1]])
time.sleep(300)' "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	stands_still "$dir/written"
	gl resume web
	eventually grows "$dir/written"
}

# continued SIGNAL-SENDER...: web, which is paused and writes, is stopped again within a second or two, and it is said.
continued()
{
	"$@"
	eventually grep -q "ran without its locks" "$dir/web.err"
	stands_still "$dir/written"
	has web state paused
}

@test "a paused guest that somebody continues is stopped again" {
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	continued kill -CONT "$(pid_of web)"
	gl resume web
	eventually grows "$dir/written"
}

@test "a job of a shell is not continued as its supervisor is killed, nor as the shell ends" {
	cat >"$dir/job.sh" <<-'EOF'
		"$GUESTLOCK" run --name web --disk "$1" -- sh -c 'while :; do echo x >>"$1"; done' sh "$2" &
		echo $! >"$2.supervisor"
		until test -e "$2.end"; do sleep 0.02; done
	EOF
	background setsid bash -m "$dir/job.sh" "$disk" "$dir/written"
	eventually has web state running
	eventually grows "$dir/written"
	gl pause web >/dev/null
	kill -KILL "$(cat "$dir/written.supervisor")"
	touch "$dir/written.end"
	eventually is_over "$supervisor"
	sleep 0.2
	stands_still "$dir/written"
	has web state paused
}

@test "reap --follow stops it again where there is no supervisor any more" {
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	kill -KILL "$supervisor"
	"$GUESTLOCK" reap --follow >"$dir/follow.out" 2>"$dir/web.err" 3>&- &
	eventually grows "$dir/written"
	gl pause web >/dev/null
	continued kill -CONT "$(pid_of web)"
	# And once more.
	: >"$dir/web.err"
	continued kill -CONT "$(pid_of web)"
}

is_traced()
{
	test "$(sed -n 's/^TracerPid:\t//p' "/proc/$1/status")" != 0
}

# trace [OPTION]...: web by strace, whose pid is in $tracer.
trace()
{
	strace -o /dev/null -p "$(pid_of web)" "$@" 2>"$dir/strace.err" 3>&- &
	tracer=$!
	eventually is_traced "$(pid_of web)"
}

untrace()
{
	kill -INT "$tracer"
	wait "$tracer" || :
}

# held: web is, by its tracer.
held()
{
	test "$(cut -d ' ' -f 3 "/proc/$(pid_of web)/stat")" = t
}

@test "a process that is traced is stopped as any other, and stays so when its tracer lets it go" {
	need_strace
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	trace
	gl pause web >/dev/null
	stands_still "$dir/written"
	untrace
	stands_still "$dir/written"
	# One that comes when it is stopped already.
	trace
	sleep 2.5
	untrace
	stands_still "$dir/written"
	run -1 grep "ran without its locks" "$dir/web.err"
	gl resume web
	eventually grows "$dir/written"
}

@test "a write that a tracer holds is waited for by pause" {
	need_strace
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	trace -e inject=write:delay_enter=2000000
	eventually held
	gl pause web >/dev/null
	written=$(stat -c %s "$dir/written")
	untrace
	sleep 2.5
	test "$(stat -c %s "$dir/written")" = "$written"
	gl resume web
	eventually grows "$dir/written"
}

@test "one that its tracer does not let go is not paused: 75, it is named, and goes on under its locks" {
	need_strace
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	trace -e inject=write:delay_enter=60000000
	eventually held
	run -75 --separate-stderr gl pause --timeout 1 web
	is_message "$stderr"
	contains "$stderr" "pid $(pid_of web), sh"
	contains "$stderr" "debugger"
	test "$(holder "$disk")" = web
	kill -KILL "$tracer"
	eventually grows "$dir/written"
}

@test "a paused guest that somebody continues while a tracer holds it is stopped again" {
	need_strace
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	trace -e inject=write:delay_enter=3000000
	gl pause web >/dev/null
	continued kill -CONT "$(pid_of web)"
	untrace
	stands_still "$dir/written"
}

# as_service COMMAND...: with the capabilities of the unit that follows the guests, and no others.
as_service()
{
	local caps

	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$top_srcdir/conf/systemd/guestlock-reap.service.in")
	test -n "$caps"
	caps=${caps,,}
	caps=+${caps//cap_/}
	setpriv --bounding-set "-all,${caps// /,+}" --inh-caps -all "$@"
}

@test "the service may stop and continue guests of other users" {
	need_root
	chmod 755 "$dir"
	touch "$dir/written"
	chmod 666 "$dir/written"
	begin web --disk "$disk" -- setpriv --reuid 65534 --clear-groups sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	kill -KILL "$supervisor"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	kill -CONT "$(pid_of web)"
	grows "$dir/written"
	run -0 --separate-stderr as_service "$GUESTLOCK" reap
	contains "$stderr" "it is stopped again"
	stands_still "$dir/written"
}

@test "in a pid namespace, where a process has the number of the kernel's threads elsewhere" {
	need_root
	unshare --pid --fork --mount-proc true 2>/dev/null || skip "cannot make namespaces here"
	cat >"$dir/inside.sh" <<-'EOF'
		"$GUESTLOCK" run --name web --disk "$1" -- sh -c 'while :; do echo x >>"$1"; done' sh "$2" &
		until test -s "$2"; do sleep 0.02; done
		"$GUESTLOCK" pause web >/dev/null || exit
		before=$(stat -c %s "$2")
		sleep 0.3
		test "$(stat -c %s "$2")" = "$before" || exit
		kill -KILL "$("$GUESTLOCK" show web --json | jq -r '.. | .pid? // empty' | head -n 1)"
		wait
	EOF
	run -0 timeout 20 unshare --pid --fork --mount-proc bash "$dir/inside.sh" "$disk" "$dir/written" 3>&-
	test -s "$dir/written"
}

@test "a daemon that closes what it inherited after its parent has ended keeps the disk" {
	begin web --disk "$disk" -- python3 -c 'import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(0.05)
os.closerange(3, 256)
os.execvp("sleep", ["sleep", "300"])'
	eventually grep -q "live on" "$dir/web.err"
	run -1 gl run --disk "$disk" -- true
	kill -KILL "$(pgrep -x sleep -P "$supervisor")"
	ended "$supervisor" 0
	nothing_taken
}

@test "one that closed what it inherited is waited for beside one that did not" {
	begin web --disk "$disk" -- python3 -c 'import subprocess
subprocess.Popen(["sleep", "301"], start_new_session=True)
subprocess.Popen(["sleep", "302"], start_new_session=True, close_fds=False)'
	eventually grep -q "live on" "$dir/web.err"
	kill -KILL "$(pgrep -f "^sleep 302" -P "$supervisor")"
	run -1 gl run --disk "$disk" -- true
	kill -KILL "$(pgrep -f "^sleep 301" -P "$supervisor")"
	ended "$supervisor" 0
	nothing_taken
}

@test "orphans that end keep nobody from looking, and leave no zombies" {
	begin web --disk "$disk" -- sh -c 'while :; do (echo x >>"$1" &); sleep 0.05; done' sh "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	pid=$(pid_of web)
	continued kill -CONT "$pid" $(pgrep -P "$pid")
	test "$(ps --ppid "$supervisor" -o stat= | grep -c Z)" -lt 5
}

@test "what is left of a paused guest is stopped again, too" {
	begin web --disk "$disk" -- python3 -c 'import subprocess, sys, time
subprocess.Popen(["sh", "-c", "while :; do echo x >>" + sys.argv[1] + "; done"], start_new_session=True)
time.sleep(300)' "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	kill -KILL "$(pid_of web)"
	eventually grep -q "live on" "$dir/web.err"
	rest=$(pgrep -P "$supervisor")
	kill -CONT $rest
	eventually grep -q "ran without its locks" "$dir/web.err"
	stands_still "$dir/written"
	kill -KILL $rest
	ended "$supervisor" 137
}


@test "one that is continued while another guest has its disk is lost: it stays stopped and is not resumed" {
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	begin other --disk "$disk"
	kill -CONT "$(pid_of web)"
	eventually has web state lost
	contains "$(cat "$dir/web.err")" "another guest had its disks meanwhile"
	stands_still "$dir/written"
	run -1 gl resume web
	kill -KILL "$(pid_of other)"
	eventually gone other
	# The epoch tells it afterwards, too.
	run -65 --separate-stderr gl resume web
	contains "$stderr" "exclusively since this one was paused"
	has web state lost
	run -75 --separate-stderr gl reap
	contains "$stderr" "is lost: it is stopped"
	# Whoever continues it once more.
	: >"$dir/web.err"
	kill -CONT "$(pid_of web)"
	eventually grep -q "ran without its locks: it is lost" "$dir/web.err"
	stands_still "$dir/written"
	has web state lost
	kill -KILL "$(pid_of web)"
	eventually gone web
	nothing_taken
}

@test "so it is where the other one had it and is gone; not where it only read" {
	begin web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written"
	gl pause web >/dev/null
	gl run --disk "$disk,shared" -- true
	kill -CONT "$(pid_of web)"
	eventually grep -q "ran without its locks" "$dir/web.err"
	has web state paused
	gl resume web
	gl pause web >/dev/null
	gl run --disk "$disk" -- true
	kill -CONT "$(pid_of web)"
	eventually has web state lost
	stands_still "$dir/written"
}

@test "resume leaves what somebody else had stopped before the pause" {
	begin web --disk "$disk" -- sh -c 'sh -c "while :; do echo y >>\"$1.helper\"; done" sh "$1" &
		echo $! >"$1.pid"; while :; do echo x >>"$1"; done' sh "$dir/written"
	eventually grows "$dir/written.helper"
	helper=$(cat "$dir/written.pid")
	kill -STOP "$helper"
	gl pause web >/dev/null
	stands_still "$dir/written"
	gl resume web
	eventually grows "$dir/written"
	stands_still "$dir/written.helper"
	# The whole guest: nobody is continued.
	kill -STOP "$(pid_of web)"
	gl pause web >/dev/null
	gl resume web
	has web state running
	stands_still "$dir/written"
	# Whom he continues in between he wants to run.
	gl pause web >/dev/null
	kill -CONT "$(pid_of web)"
	eventually grep -q "ran without its locks" "$dir/web.err"
	gl resume web
	eventually grows "$dir/written"
	kill -CONT "$helper"
	eventually grows "$dir/written.helper"
}
