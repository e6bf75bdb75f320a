#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# When a host may be a member: with the lockspace that all have, with the timeouts that all have, with a daemon that
# protects, and not before guests have ended of which the daemon has forgotten the leases. The daemons' clocks run ten
# times as fast: a host that renews nothing is dead for the others after 92 s, which last 9.2 s here.
# shellcheck disable=SC2154 # of bats
load hosts

setup_file()
{
	world_begin speed=10 io_timeout=4
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
	}
}

teardown()
{
	test -n "${world-}" || return 0
	test -n "${BATS_TEST_COMPLETED-}" || world_explain
	test ! -e "$world/kept" || mv "$world/kept" "$leases/guestlock.lockspace"
	test ! -e "$world/format" || mv "$world/format" "$leases/guestlock.format"
	test ! -d "$world/gamma" || {
		host_kill gamma
		rm -rf "$world/gamma"
	}
	hosts_settle
}

# ---- The lockspace ----

@test "the lockspace is removed under hosts that run: nobody joins a new one, and it is said what to do" {
	guest alpha web --disk "$d/a"
	gl beta run --quiet -- true
	mv "$leases/guestlock.lockspace" "$world/kept"
	host_begin gamma 3
	refused gamma 65 run --disk "$d/a" -- true
	says "guestlock.lockspace" "is gone" "bring that very file back"
	test ! -e "$leases/guestlock.lockspace"
	# Who is a member has it open, and goes on.
	refused beta 1 run --name copy --disk "$d/a" -- true
	says "guest web"
	test ! -e "$leases/guestlock.lockspace"
	mv "$world/kept" "$leases/guestlock.lockspace"
	refused gamma 1 run --disk "$d/a" -- true
	says "guest web"
}

@test "a copy in the place of the lockspace is none, nor is another one" {
	gl alpha run --quiet -- true
	mv "$leases/guestlock.lockspace" "$world/kept"
	cp -p "$world/kept" "$leases/guestlock.lockspace"
	host_begin gamma 3
	refused gamma 65 run --disk "$d/a" -- true
	says "guestlock.lockspace" copy
	sanlock_on gamma direct init -s "guestlock:0:$leases/guestlock.lockspace:0"
	refused gamma 65 run --disk "$d/a" -- true
	says "guestlock.lockspace" "another one"
}

@test "without the format file a host that has joined makes no other; one that has not goes by the lockspace that is there" {
	guest alpha web --disk "$d/a"
	mv "$leases/guestlock.format" "$world/format"
	keeper_end alpha
	refused alpha 65 run --name other -- true
	says "guestlock.lockspace" "lost its format file"
	holds alpha web "$d/a"
	host_begin gamma 3
	refused gamma 1 run --disk "$d/a" -- true
	says "guest web"
	cmp "$world/format" "$leases/guestlock.format"
	gl alpha run --quiet --name other -- true
}

@test "hosts whose watchdogs fire after another time do not meet" {
	gl alpha run --quiet -- true
	cp -p "$leases/guestlock.format" "$world/format"
	sed -i 's/^watchdog_fire_timeout .*/watchdog_fire_timeout 10/' "$leases/guestlock.format"
	host_begin gamma 3
	refused gamma 78 run --disk "$d/a" -- true
	says "watchdog_fire_timeout 10" "watchdog_fire_timeout 60"
}

# ---- The daemon ----

# daemon_anew NAME WORD...: it is started with these as well.
daemon_anew()
{
	local name=$1

	shift
	daemon_end "$name" KILL
	world_daemon="$*" daemon_start "$name"
}

@test "that there is a watchdog is what the running daemon says, not its file" {
	local word

	host_begin gamma 3
	for word in "-w 00" "-w 0"; do
		daemon_anew gamma $word
		mkdir -p "$world/gamma/empty"
		echo "use_watchdog = 1" >"$world/gamma/empty/sanlock.conf"
		reconfigure gamma -allow_no_watchdog
		refused gamma 69 check
		says watchdog allow_no_watchdog
		refused gamma 69 run --disk "$d/a" -- true
	done
	# There is nobody who runs the watchdog: the daemon says so itself when it joins.
	daemon_anew gamma -w 1
	run gl gamma run --disk "$d/a" -- true
	((status != 0))
	says watchdog
}

@test "many who come at once wait for a daemon that is busy for a moment" {
	local pids=() pid failed=0

	host_begin gamma 3
	gl gamma check >/dev/null
	daemon_stop gamma
	for ((n = 0; n < 20; n++)); do
		gl gamma check >/dev/null &
		pids+=("$!")
	done
	sleep 0.7
	daemon_continue gamma
	for pid in "${pids[@]}"; do
		wait "$pid" || failed=$((failed + 1))
	done
	test "$failed" = 0
}

@test "a daemon that leaves no time to act on a guest: such a guest is not started, and it is said why" {
	host_begin gamma 3
	daemon_anew gamma -g 15
	refused gamma 64 run --on-lock-loss pause --disk "$d/a" -- touch "$world/ran"
	says "kill_grace_seconds" 15
	test ! -e "$world/ran"
	gl gamma run --quiet --disk "$d/a" -- true
}

# ---- A daemon that was started anew ----

# hunt NAME PID: somebody there tries to have disk a all the time; $world/had appears when he had it, and $world/both if
# the process lived then.
hunt()
{
	rm -f "$world/had" "$world/both"
	launch "$1" hunter sh -c "until \"\$0\" run --quiet --name copy --disk '$d/a' -- sh -c '
		test ! -e /proc/$2/exe || touch $world/both; touch $world/had'; do sleep 0.1; done" "$GUESTLOCK"
}

has_joined()
{
	sanlock_on "$1" client status | grep -q '^s guestlock:'
}

@test "a daemon that was started anew: this host does not join while a guest lives whose leases it does not know" {
	local pid

	gl beta run --quiet -- true
	guest alpha web --disk "$d/a"
	pid=$(property alpha web pid)
	daemon_end alpha KILL
	daemon_start alpha
	hunt beta "$pid"
	refused alpha 69 run --name other --disk "$d/b" -- true
	says "guest web" "$pid" "release --force"
	eventually is_state alpha web lost
	refused alpha 69 check
	says "guest web"
	# Others have to wait as for a host that died.
	sleep 4
	kill -0 "$pid"
	test ! -e "$world/had"
	run ! has_joined alpha
	guest_end alpha web
	eventually gl alpha run --quiet --name other --disk "$d/b" -- true
	has_joined alpha
	eventually test -e "$world/had"
	test ! -e "$world/both"
}

@test "so it is with one that was told to act: it is acted upon, and then this host joins" {
	local pid

	gl beta run --quiet -- true
	guest alpha web --disk "$d/a" --on-lock-loss poweroff
	guest alpha db --disk "$d/b" --on-lock-loss pause
	pid=$(property alpha web pid)
	daemon_end alpha KILL
	daemon_start alpha
	hunt beta "$pid"
	run gl alpha run --name other --disk "$d/c" -- true
	eventually is_gone "$pid"
	eventually grep -q '^State:.T' "/proc/$(property alpha db pid)/status"
	eventually gl alpha run --quiet --name other --disk "$d/c" -- true
	eventually test -e "$world/had"
	test ! -e "$world/both"
}

@test "one that is released by force is nobody to wait for" {
	guest alpha web --disk "$d/a"
	daemon_end alpha KILL
	daemon_start alpha
	refused alpha 69 run --name other --disk "$d/b" -- true
	gl alpha release --force web
	eventually gl alpha run --quiet --name other --disk "$d/b" -- true
	has_joined alpha
}

# ---- Hosts that joined a moment ago ----

@test "a host that has just joined takes nothing for free whose owner it does not know yet" {
	gl alpha run --quiet -- true
	guest beta web --disk "$d/a"
	for ((n = 0; n < 3; n++)); do
		host_begin gamma 3
		run gl gamma run --name copy --disk "$d/a" -- true
		test "$status" = 1
		says "guest web"
		host_kill gamma
		rm -rf "$world/gamma"
	done
}
