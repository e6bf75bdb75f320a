#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# attach, detach, pause, resume, inquire.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load helpers

in_state()
{
	test "$(awk '/^State:/ { print $2 }' "/proc/$1/status")" = "$2"
}

@test "attach takes one more disk, detach gives exactly that one back" {
	begin web --disk "$disk"
	run -0 gl attach web --disk "$dir/second.img"
	test -z "$output"
	test "$(holder "$dir/second.img")" = web
	run -1 gl run --disk "$dir/second.img" -- true
	run -0 gl detach web --disk "$dir/second.img"
	test -z "$(holder "$dir/second.img")"
	test "$(holder "$disk")" = web
	run -0 gl run --disk "$dir/second.img" -- true
	run -1 gl run --disk "$disk" -- true
}

@test "attach of what is held and detach of what is not are done already" {
	begin web --disk "$disk"
	run -0 gl attach web --disk "$disk"
	run -0 gl detach web --disk "$dir/second.img"
	run -0 gl detach web --disk "$disk"
	run -0 gl detach web --disk "$disk"
	test -z "$(holder "$disk")"
}

# holds_open NAME: of a guest as the next test starts it.
holds_open()
{
	test -e "$dir/$1.open"
}

@test "detach of a disk that a process of the guest has open for writing is refused: 77; --force does it" {
	# Its program has one, and a child of it, without any inherited descriptor, has another one.
	cat >"$dir/guest.py" <<-'EOF'
		import os, subprocess, sys, time
		if len(sys.argv) == 3:
		    subprocess.Popen([sys.executable, sys.argv[0], sys.argv[2]], start_new_session=True)
		disk = open(sys.argv[1], "r+b")
		readonly = open(os.path.dirname(sys.argv[1]) + "/third.img", "rb")
		open(os.path.dirname(sys.argv[1]) + "/" + os.path.basename(sys.argv[1]) + ".open", "w").close()
		while not os.path.exists(sys.argv[1] + ".close"): time.sleep(0.02)
		disk.close()
		os.unlink(sys.argv[1] + ".open")
		time.sleep(300)
	EOF
	begin web --disk "$disk" --disk "$dir/second.img" --disk "$dir/third.img" -- \
		python3 "$dir/guest.py" "$disk" "$dir/second.img"
	eventually holds_open disk.img
	eventually holds_open second.img
	run -77 --separate-stderr gl detach web --disk "$disk"
	is_message "$stderr"
	contains "$stderr" "the lock of $disk is not released: process $(pid_of web) (python3) of guest"
	run -77 gl detach web --disk "$dir/second.img"
	test "$(holder "$disk")$(holder "$dir/second.img")" = webweb
	# By another name of it, and when it has been renamed.
	ln -s "$disk" "$dir/link.img"
	run -77 gl detach web --disk "$dir/link.img"
	mv "$dir/second.img" "$dir/moved.img"
	run -77 gl detach web --disk "$dir/second.img"
	mv "$dir/moved.img" "$dir/second.img"
	# What is only read does not need its lock.
	run -0 gl detach web --disk "$dir/third.img"
	# A guest that is paused would write as soon as it is resumed.
	gl pause web >/dev/null
	run -77 gl detach web --disk "$disk"
	gl resume web
	run -0 gl detach web --disk "$dir/second.img" --force
	test -z "$(holder "$dir/second.img")"
	touch "$disk.close"
	eventually test ! -e "$disk.open"
	run -0 gl detach web --disk "$disk"
	test -z "$(holder "$disk")"
}

@test "attach and detach of a lease" {
	begin web --disk "$disk"
	run -0 gl attach web --lease k,lockspace=l
	run -1 gl run --lease k,lockspace=l -- true
	run -0 gl detach web --lease k,lockspace=l
	run -0 gl run --lease k,lockspace=l -- true
	test "$(holder "$disk")" = web
}

@test "attach of a busy disk: refused, with its holder; -E" {
	begin first --disk "$disk"
	begin second --disk "$dir/second.img"
	run -1 --separate-stderr gl attach second --disk "$disk"
	contains "$stderr" first
	run -9 gl -E 9 attach second --disk "$disk"
	run -0 gl show second --json
	test "$(jq '[.guests[0].resources[] | select(.type == "disk")] | length' <<<"$output")" = 1
}

@test "attach of several: the first failure stops, and it is said what was done" {
	begin first --disk "$dir/second.img"
	begin web
	run -1 --separate-stderr gl attach web --disk "$disk" --disk "$dir/second.img" --disk "$dir/third.img"
	contains "$stderr" "$disk: attached"
	contains "$stderr" "$dir/second.img: failed"
	contains "$stderr" "$dir/third.img: not tried"
	test "$(holder "$disk")" = web
	test -z "$(holder "$dir/third.img")"
}

@test "attach of a missing disk, a directory: 66, 64" {
	begin web
	run -66 --separate-stderr gl attach web --disk "$dir/missing"
	contains "$stderr" "$dir/missing"
	run -64 gl attach web --disk "$dir"
}

@test "pause stops every process and releases; resume takes again and continues" {
	begin web --disk "$disk" -- sh -c 'sleep 300 & wait'
	pid=$(pid_of web)
	child=$(pgrep -P "$pid")
	state=$(gl pause web)
	[[ "$state" =~ ^[A-Za-z0-9._:,-]+$ ]]
	in_state "$pid" T
	in_state "$child" T
	has web state paused
	test -z "$(holder "$disk")"
	run -0 gl resume web --state "$state"
	has web state running
	test "$(holder "$disk")" = web
	eventually in_state "$pid" S
	eventually in_state "$child" S
}

@test "pause twice gives the same state; inquire gives it, too, and changes nothing" {
	begin web --disk "$disk"
	inquired=$(gl inquire web)
	has web state running
	state=$(gl pause web)
	test "$inquired" = "$state"
	test "$(gl pause web)" = "$state"
	test "$(gl inquire web)" = "$state"
	test "$(gl inquire web --json | jq -r .state)" = "$state"
	test "$(gl inquire web --json | jq -r .guest)" = "$(property web uuid)"
	has web state paused
	run -0 gl resume web
	test "$(gl inquire web | wc -l)" = 1
}

@test "resume after another guest ran: stale, 65, and it stays paused; with and without the state" {
	begin web --disk "$disk"
	state=$(gl pause web)
	run -0 gl run --disk "$disk" -- true
	run -65 --separate-stderr gl resume web --state "$state"
	is_message "$stderr"
	has web state paused
	run -65 gl resume web
	in_state "$(pid_of web)" T
}

@test "resume after a shared user: nobody wrote" {
	begin web --disk "$disk"
	gl pause web >/dev/null
	run -0 gl run --disk "$disk,shared" -- true
	run -0 gl resume web
}

@test "resume while another guest runs: busy" {
	begin web --disk "$disk"
	gl pause web >/dev/null
	begin other --disk "$disk"
	run -1 --separate-stderr gl resume web
	contains "$stderr" other
	has web state paused
}

@test "resume with a foreign or broken state: 65" {
	begin web --disk "$disk"
	begin other --disk "$dir/second.img"
	foreign=$(gl pause other)
	state=$(gl pause web)
	run -65 --separate-stderr gl resume web --state "$foreign"
	is_message "$stderr"
	for broken in "${state%?}" "x$state" "" "gl1:" "$state$state" "${state/gl1/gl2}"; do
		run -65 --separate-stderr gl resume web --state "$broken"
		is_message "$stderr"
	done
	run -0 gl resume web --state "$state"
}

@test "pause --externally-stopped leaves the processes alone" {
	begin web --disk "$disk"
	kill -STOP "$(pid_of web)"
	run -0 gl pause web --externally-stopped
	test -z "$(holder "$disk")"
	run -0 gl resume web
	in_state "$(pid_of web)" T
	kill -CONT "$(pid_of web)"
}

@test "pause of a guest that libvirt runs is refused: 77, and virsh is named; --force does it" {
	begin web --disk "$disk" --param uri=qemu:///session
	run -77 --separate-stderr gl pause web
	is_message "$stderr"
	contains "$stderr" "libvirt runs this guest; use 'virsh -c qemu:///session suspend $(property web uuid)'"
	test -z "$output"
	has web state running
	test "$(holder "$disk")" = web
	run -0 gl pause web --force
	has web state paused
	run -0 gl inquire web
	run -0 gl resume web
	has web state running
}

@test "attach while paused is held at once; resume takes all" {
	begin web --disk "$disk"
	gl pause web >/dev/null
	run -0 gl attach web --disk "$dir/second.img"
	test "$(holder "$dir/second.img")" = web
	run -0 gl detach web --disk "$disk"
	run -0 gl resume web
	test -z "$(holder "$disk")"
	test "$(holder "$dir/second.img")" = web
}

@test "a paused guest can be killed, and is settled" {
	begin web --disk "$disk"
	gl pause web >/dev/null
	kill -KILL "$(pid_of web)"
	ended "$supervisor" 137
	nothing_taken
}

@test "what is done to a guest that is dead: 66, and detach has nothing to do" {
	begin web --disk "$disk"
	pid=$(pid_of web)
	kill -KILL "$supervisor" "$pid"
	wait "$supervisor" || :
	eventually has web life dead
	for command in pause resume "attach --disk $dir/second.img" "migrate prepare"; do
		begin_dead
		run -66 --separate-stderr gl $command web
		is_message "$stderr"
	done
	test -z "$(holder "$dir/second.img")"
}

@test "pause of a guest that dies at this moment: 0 or 66" {
	local round status killer

	for round in {1..30}; do
		begin "web$round" --disk "$disk"
		pid=$(pid_of "web$round")
		sleep "0.00$((round % 10))" && kill -KILL "$pid" &
		killer=$!
		run gl pause "web$round"
		wait "$killer"
		[[ $status == 0 || $status == 66 ]] || {
			echo "round $round: $status $output"
			return 1
		}
		wait "$supervisor" || :
		eventually gone "web$round"
	done
}

# A dead guest's record may be gone after the first operation that settles it.
begin_dead()
{
	if gone web; then
		begin web --disk "$disk"
		kill -KILL "$supervisor" "$(pid_of web)"
		wait "$supervisor" || :
		eventually has web life dead
	fi
}
