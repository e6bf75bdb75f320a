#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is done with a guest that is about to lose its locks: the option of run, and the program that a technology
# calls. The backend is fcntl, which loses none, wrapped by one that says it could (tests/fault/fault.c): the test calls
# the program. virsh is a script; with a real one it is tried in tests/libvirt.
# What the helpers set; each test is a subshell.
# shellcheck disable=SC2154,SC2030,SC2031
load helpers

uuid=6c6f7373-0000-4000-8000-00000000000a

setup_file()
{
	local directory

	: "${GUESTLOCK_FAULT_PATH:?is the directory of fault.so}" "${GUESTLOCK_LOSS_PROGRAM:?is the program to test}"
	for directory in ${GUESTLOCK_BACKEND_PATH//:/ }; do
		if test -e "$directory/fcntl.so"; then
			export GUESTLOCK_FAULT_INNER=$directory/fcntl.so
		fi
	done
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_FAULT_PATH:$GUESTLOCK_BACKEND_PATH
	export GUESTLOCK_FAULT_WITH=watch,loss-action
	unset GUESTLOCK_FAULT_PLAN GUESTLOCK_FAULT_WITHOUT GUESTLOCK_FAULT_CALLS
}

# write_config FILE RUN_DIR STATE_DIR: as that of the helpers, for a backend that can lose locks.
write_config()
{
	export GUESTLOCK_FAULT_PLAN=$dir/plan
	printf '%s\n' "[guestlock]" "backend = fault" "run_dir = $2" "state_dir = $3" "[fault]" "lock_dir = $dir/locks" >"$1"
}

plan()
{
	# At once: a call that is under way reads it again and again.
	printf '%s\n' "$@" >"$dir/plan.new"
	mv "$dir/plan.new" "$dir/plan"
}

# instance: of the life that the guest has now, 1 where there is none.
instance()
{
	local found

	found=$(gl show "$uuid" --json 2>/dev/null | jq -r '.guests[0].instance')
	echo "${found:-1}"
}

# lost UUID ACTION [INSTANCE [SECONDS]]: as a daemon calls it: another working directory, another configuration, and descriptors of
# its own.
lost()
{
	local life=${3-$(instance)}

	(cd / && GUESTLOCK_CONFIG=/nowhere exec "$GUESTLOCK_LOSS_PROGRAM" "$dir/run" "$1" "$life" "$2" "${4-40}" 9<"$dir") 3>&- 2>&1
}

# A guest of two processes, which count in $dir/one and $dir/two as long as they run; $dir/pids has them.
begin_counting()
{
	begin "$@" -- bash -c 'count() { echo $BASHPID >>"$0/pids"; for ((i = 0;; i++)); do echo $i >>"$1"; sleep 0.01; done; }
		count "$0/one" & count "$0/two"' "$dir"
	eventually test -s "$dir/one"
	eventually test -s "$dir/two"
}

is_still()
{
	local before

	before=$(cat "$dir/one" "$dir/two" | wc -l)
	sleep 0.3
	test "$(cat "$dir/one" "$dir/two" | wc -l)" = "$before"
}

# virsh_does COMMAND: what virsh is; it notes how it was called.
virsh_does()
{
	mkdir -p "$dir/bin"
	printf '%s\n' '#!/bin/bash' 'echo "$*" >>"$GUESTLOCK_TEST_MARK/virsh"' "$*" >"$dir/bin/virsh"
	chmod +x "$dir/bin/virsh"
	export PATH=$dir/bin:$PATH
}

# ---- run --on-lock-loss ----

@test "--on-lock-loss is kept with the configuration's path, and refused where nothing can be lost or done" {
	begin web --disk "$disk" --on-lock-loss pause
	test "$(gl show web --json | jq -c '.guests[0].params')" = \
		"{\"on_lockfailure\":\"pause\",\"config\":\"$GUESTLOCK_CONFIG\"}"
	run -64 gl run --on-lock-loss restart -- true
	contains "$output" "wants pause or poweroff"
	run -64 gl run --on-lock-loss -- true

	export GUESTLOCK_FAULT_WITH=watch
	run -69 gl run --disk "$dir/second.img" --on-lock-loss poweroff -- true
	contains "$output" 'wants on_lockfailure "poweroff", and backend fault cannot act on a guest that lost a lock'
	unset GUESTLOCK_FAULT_WITH
	run -69 gl run --disk "$dir/second.img" --on-lock-loss pause -- true
	contains "$output" "never loses a lock while the guest runs"
	test -z "$(holder "$dir/second.img")"
	export GUESTLOCK_FAULT_WITH=loss-action
	run -69 gl run --param on_lockfailure=restart -- true
	contains "$output" "but not restart it"
	gl run --param on_lockfailure=ignore --disk "$dir/second.img" -- true
}

@test "a relative path of the configuration is kept as an absolute one" {
	cp "$GUESTLOCK_CONFIG" "$dir/mine.conf"
	gl -c mine.conf run --name web --uuid "$uuid" --on-lock-loss poweroff -- sleep 300 3>&- &
	eventually has web state running
	test "$(gl show web --json | jq -r '.guests[0].params.config')" = "$dir/mine.conf"
}

# ---- pause ----

@test "pause: every process is stopped, the locks are free, and resume continues the guest" {
	begin_counting web --uuid "$uuid" --disk "$disk" --on-lock-loss pause
	run -0 lost "$uuid" pause
	contains "$output" "guest $uuid is paused and its locks are released"
	has web state paused
	is_still
	test -z "$(holder "$disk")"
	gl run --name other --disk "$dir/second.img" -- true
	# Once more: there is nothing to do.
	run -0 lost "$uuid" pause
	gl resume web
	has web state running
	test "$(holder "$disk")" = web
	run ! is_still
}

@test "pause: a backend that does not release at first is asked again; a guest that cannot be paused runs on" {
	begin_counting web --uuid "$uuid" --disk "$disk" --on-lock-loss pause
	plan "release fail again 3" "release fail denied 2"
	run -0 lost "$uuid" pause
	contains "$output" "is not paused yet: "
	has web state paused
	gl resume web
	plan "release fail denied"
	SECONDS=0
	run -1 lost "$uuid" pause
	((SECONDS >= 20 && SECONDS <= 50))
	contains "$output" "guest $uuid could not be paused"
	has web state running
	run ! is_still
}

@test "pause: the program ends in time although another operation has the guest" {
	local pid

	begin web --uuid "$uuid" --disk "$disk" --on-lock-loss pause
	plan "release hang 60000"
	gl pause web 2>/dev/null 3>&- &
	pid=$!
	sleep 0.5
	SECONDS=0
	run -1 lost "$uuid" pause
	((SECONDS <= 50))
	contains "$output" "could not be paused"
	kill -KILL "$pid"
}

# ---- poweroff ----

@test "poweroff: every process is killed, and nothing is held" {
	begin_counting web --uuid "$uuid" --disk "$disk" --on-lock-loss poweroff
	run -0 lost "$uuid" poweroff
	contains "$output" "guest $uuid is powered off"
	is_still
	ended "$supervisor" 137
	gl run --disk "$disk" -- true
	# Its record may be gone by now.
	run lost "$uuid" poweroff
	is_still
}

@test "poweroff works while the backend does not" {
	begin web --uuid "$uuid" --disk "$disk" --on-lock-loss poweroff
	plan "release hang 60000" "inquire hang 60000" "join hang 60000"
	SECONDS=0
	run -0 lost "$uuid" poweroff
	((SECONDS <= 50))
	! test -e "/proc/$(pid_of web)"
}

# ---- Guests of libvirt ----

@test "a guest of libvirt is libvirt's to stop" {
	# In the place of the plugin, which is not held up by what the command says to people.
	virsh_does "\"$GUESTLOCK\" -c '$GUESTLOCK_CONFIG' pause --force $uuid"
	begin_counting web --uuid "$uuid" --disk "$disk" --on-lock-loss pause --param uri=qemu:///system
	run -0 lost "$uuid" pause
	test "$(cat "$dir/virsh")" = "-q -c qemu:///system suspend $uuid"
	has web state paused
	gl resume web
	virsh_does 'kill -KILL $(cat "$GUESTLOCK_TEST_MARK/pids")'
	run -0 lost "$uuid" poweroff
	test "$(tail -n 1 "$dir/virsh")" = "-q -c qemu:///system destroy $uuid"
}

@test "what libvirt does not do is done without it" {
	begin_counting web --uuid "$uuid" --disk "$disk" --on-lock-loss pause --param uri=qemu:///system
	virsh_does "echo 'error: no connection' >&2; exit 1"
	run -0 lost "$uuid" pause
	contains "$output" "virsh suspend: it failed: error: no connection"
	has web state paused
	is_still
	gl resume web

	# It says that it has stopped the guest, and the locks are there still: they are released.
	virsh_does 'kill -STOP $(cat "$GUESTLOCK_TEST_MARK/pids")'
	run -0 lost "$uuid" pause
	contains "$output" "libvirt has not done it"
	has web state paused
	is_still
}

@test "a virsh that hangs does not hold up anything" {
	begin_counting web --uuid "$uuid" --disk "$disk" --on-lock-loss poweroff --param uri=qemu:///system
	virsh_does "exec sleep 300"
	SECONDS=0
	run -0 lost "$uuid" poweroff
	((SECONDS >= 9 && SECONDS <= 60))
	contains "$output" "virsh destroy: it has not ended in time"
	is_still
}

# ---- What is wrong ----

@test "guests and words that are not known" {
	run -1 lost "$uuid" pause
	contains "$output" "nothing can be done"
	run -64 lost "$uuid" restart
	run -64 lost "$uuid" pause 0
	run -64 lost "$uuid" pause somewhen
	contains "$output" "Usage: "
	run -64 lost web pause
	run -64 "$GUESTLOCK_LOSS_PROGRAM" run "$uuid" 1 pause 40
	run -64 "$GUESTLOCK_LOSS_PROGRAM" "$dir/run" "$uuid" pause 40
	run -64 "$GUESTLOCK_LOSS_PROGRAM" "$dir/run" "$uuid" 1 pause
	run -64 lost "$uuid" pause 1 19
	run -64 lost "$uuid" pause 1 forty
	run -0 "$GUESTLOCK_LOSS_PROGRAM" --version
	contains "$output" "guestlock-lost "
	run -0 "$GUESTLOCK_LOSS_PROGRAM" --help
	begin web --uuid "$uuid" --on-lock-loss pause
	rm "$GUESTLOCK_CONFIG"
	run -1 lost "$uuid" pause
	contains "$output" "nothing can be done"
	contains "$output" "guestlock.conf"
}

@test "the guest was started anew meanwhile: the new life is neither paused nor killed" {
	local before

	begin first --uuid "$uuid" --disk "$disk" --on-lock-loss poweroff
	before=$(instance)
	kill -KILL "$(pid_of first)"
	eventually gone first
	begin_counting second --uuid "$uuid" --disk "$disk" --on-lock-loss poweroff
	run -0 lost "$uuid" poweroff "$before"
	run -0 lost "$uuid" pause "$before"
	has second state running
	run ! is_still
	run -0 lost "$uuid" poweroff
	eventually gone second
}
