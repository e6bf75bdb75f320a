#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# Hosts that die, hang, or lose their storage, with daemons whose clocks run ten times as fast: with an I/O timeout of 4 s a
# host is dead after 92 s, which last 9.2 s here. It cannot renew its lease for 32 s, and sanlock begins to stop its guests.
# Of bats, where each test is a subshell.
# shellcheck disable=SC2154,SC2030,SC2031
load hosts

setup_file()
{
	world_begin speed=10 io_timeout=4
	test -n "${world_missing-}" || {
		host_begin alpha 1
		host_begin beta 2
		d=$world/disks
		export d
		# Each knows the other one.
		gl alpha run --quiet --name first -- true
		gl beta run --quiet --name first -- true
	}
}

# sanlock_says NAME HOST_ID: what the daemon there thinks of a host: LIVE, FAIL, DEAD, FREE, UNKNOWN.
sanlock_says()
{
	sanlock_on "$1" client gets -h 1 | sed -nE "s/^h $2 .* ([A-Z]+)\$/\\1/p"
}

@test "a host died: its disks are refused until sanlock says that it is dead, and then they are had" {
	local before after began=$SECONDS

	guest alpha web --disk "$d/a"
	guest beta other --disk "$d/b"
	holds alpha web "$d/a"
	host_kill alpha
	while :; do
		before=$(sanlock_says beta 1)
		run gl beta run --quiet --name copy --disk "$d/a" -- true
		after=$(sanlock_says beta 1)
		((SECONDS - began < 60))
		test "$status" != 0 || break
		test "$status" = 1 || test "$status" = 69
		says web alpha
		test "$before" != DEAD
		sleep 0.2
	done
	echo "# had after $((SECONDS - began)) s" >&3
	test "$after" = DEAD
	((SECONDS - began >= 5))
	holds beta other "$d/b"
	# What was there before it died has no rights any more, and the host itself can work again.
	guest beta copy --disk "$d/a"
	host_begin alpha 1
	refused alpha 1 run --name web --disk "$d/a" -- true
	says "guest copy" beta
	guest alpha web --disk "$d/c"
	holds alpha web "$d/c"
}

@test "a host that died comes back before anybody noticed: its disks are had again, here and there" {
	guest alpha web --disk "$d/a" --disk "$d/b"
	host_kill alpha
	host_begin alpha 1
	eventually gl alpha run --quiet --name again --disk "$d/a" -- true
	eventually gl beta run --quiet --name copy --disk "$d/b" -- true
}

@test "storage is lost, and back in time: the guest lives and keeps its disk" {
	guest alpha web --disk "$d/a"
	storage_lost alpha
	sleep 1.5
	storage_back alpha
	sleep 2
	holds alpha web "$d/a"
	refused beta 1 run --name copy --disk "$d/a" -- true
	guest_end alpha web
	gl beta run --name copy --disk "$d/a" -- true
}

@test "storage is lost for long: the guest has ended before the other host can have its disk" {
	local pid began=$SECONDS

	guest alpha web --disk "$d/a"
	pid=$(property alpha web pid)
	storage_lost alpha
	until gl beta run --quiet --name copy --disk "$d/a" -- true 2>/dev/null; do
		((SECONDS - began < 60))
		sleep 0.2
	done
	is_gone "$pid"
	echo "# had after $((SECONDS - began)) s" >&3
	test "$(property alpha web life)" != alive
	# The host that had lost it works again as soon as its storage is back.
	storage_back alpha
	eventually gl alpha run --quiet --name again --disk "$d/b" -- true
}

@test "while a host has lost its storage, what it says is why nothing starts there" {
	guest alpha web --disk "$d/a"
	storage_lost alpha
	sleep 4
	run gl alpha run --name other --disk "$d/b" -- true
	test "$status" = 69 || test "$status" = 74 || test "$status" = 75
	says guestlock
	storage_back alpha
	eventually gl alpha run --quiet --name other --disk "$d/b" -- true
}

@test "a host that hangs for a while and goes on has lost nothing" {
	guest alpha web --disk "$d/a"
	daemon_stop alpha
	sleep 1
	run gl beta run --name copy --disk "$d/a" -- true
	test "$status" = 1
	daemon_continue alpha
	sleep 1
	holds alpha web "$d/a"
	gl alpha attach web --disk "$d/b"
	holds alpha web "$d/a" "$d/b"
}

@test "a host id that is in use elsewhere: the id and its host are told, and nobody is disturbed" {
	guest alpha web --disk "$d/a"
	host_begin gamma 1
	# At first it is being joined.
	eventually tells_of_its_id
	refused gamma 78 run --name other --disk "$d/b" -- true
	says "host id 1" "host alpha" host_id
	holds alpha web "$d/a"
	test "$(sanlock_says beta 1)" = LIVE
	host_kill gamma
	rm -rf "$world/gamma"
}

tells_of_its_id()
{
	local status=0

	gl gamma run --name other --disk "$d/b" -- true || status=$?
	test "$status" = 78
}

@test "hosts with other timeouts do not meet: io_timeout is refused" {
	gl alpha run --quiet --name other --disk "$d/a" -- true
	gl beta leave
	reconfigure beta "io_timeout = 3"
	refused beta 78 run --name other --disk "$d/a" -- true
	says "io_timeout 4" "io_timeout 3"
	reconfigure beta
	gl beta run --quiet --name other --disk "$d/a" -- true
}

@test "joining takes its time after a crash under another name, and says what it waits for" {
	host_kill beta
	host_begin delta 2
	run gl delta --timeout 2 run --name other --disk "$d/b" -- true
	test "$status" = 69 || test "$status" = 75
	says join
	eventually gl delta run --quiet --name other --disk "$d/b" -- true
	host_kill delta
	rm -rf "$world/delta"
	host_begin beta 2
	gl beta run --quiet --name other --disk "$d/b" -- true
}
