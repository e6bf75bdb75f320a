#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The two processes of a keeper, killed before one of their system calls, at work and when one starts the other again:
# nothing is lost, nobody else gets anything, and what follows works. FULL=1: before each of them.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 token=10000
}

setup()
{
	cluster_settle
	guests_prepare
}

teardown()
{
	cluster_explain
	guests_end
}

teardown_file()
{
	cluster_end
}

# How many points a test takes without FULL=1.
readonly few=3

# What is done on node 2 meanwhile. Whatever of it fails is settled by what comes after.
readonly work='guestlock run --timeout 10 --disk /srv/b.img -- true
	guestlock pause --timeout 10 vm
	guestlock resume --timeout 10 vm'

# traced OPTIONS PID SCRIPT: what that process calls while this is done. One that is started after a kill may be killed at
# the same place once more, and no further one.
traced()
{
	trace "$1" "$2" 2
	on_for 90 2 "$3" >/dev/null 2>&1 || :
	end_trace
}

# trace OPTIONS PID MOST: until so many were killed.
trace()
{
	on_for 30 2 ': >/run/trace'
	launch_on 2 tracer "strace $1 -qq -o /run/trace -p $2 &
		while kill -0 \$! && ((\$(grep -c 'killed by SIGKILL' /run/trace) < $3)); do sleep 0.1; done
		kill \$!"
	# A kill before its first call may have come already.
	on_for 30 2 "while test -d /proc/$2 && ! grep -q 'TracerPid:.*[1-9]' /proc/$2/status; do sleep 0.02; done"
}

end_trace()
{
	on_for 30 2 'kill $(pidof strace) 2>/dev/null; while pidof strace >/dev/null; do sleep 0.02; done'
}

# points: "CALL NUMBER" of a trace, in the order in which a thread first got so far, without those that depend on chance.
points()
{
	on 2 cat /run/trace | awk '
		{ at = $1 ~ /^[0-9]+$/ ? 2 : 1; thread = at == 2 ? $1 : 0; call = $at }
		call !~ /^[a-z0-9_]+\(/ || call ~ /^(restart_syscall|futex|exit|exit_group|getpid|mmap|munmap|mprotect|brk)\(/ { next }
		{ sub(/\(.*/, "", call); number = ++count[thread, call] }
		number > most[call] { most[call] = number; print call, number }'
}

# Node 1 does not get the guest's disk.
is_refused()
{
	run on_for 60 1 'guestlock run --name other --disk /srv/a.img -- true'
	test "$status" = 1
	[[ $output == *"it is held (exclusive) by guest "* ]]
}

# The guest has its disk, or gave it up in its pause and can have it again; what was only under way is nobody's.
all_is_well()
{
	on_for 40 2 'guestlock reap --timeout 20'
	is_running 2 vm || on_for 40 2 'guestlock resume --timeout 20 vm'
	is_running 2 vm
	is_refused
	# Only its keeper knows the name, once it is among the others again.
	eventually 30 is_held 1 /srv/a.img "vm exclusive"
	can_start 1 /srv/b.img
	keeper_runs 2
}

# each_kill OPTIONS WHO SCRIPT: SCRIPT is done with strace at WHO of the keeper of node 2, once to see what is called, and
# then with a kill before some of these calls, or all. Whichever thread gets there first is killed with all the others.
# "WORKER" in the script is the worker.
each_kill()
{
	local options=$1 who=$2 script=$3 place call number stride=1 turns=0 killed=0 points

	start_guest 2 vm /srv/a.img
	traced "$options" "$(keeper_pids 2 "$who")" "${script//WORKER/$(keeper_pids 2 worker)}"
	mapfile -t points < <(points)
	test -n "${FULL-}" || stride=$(((${#points[@]} + few - 1) / few))
	for ((place = 0; place < ${#points[@]}; place += stride)); do
		read -r call number <<<"${points[place]}"
		echo "killed before $call number $number:"
		traced "$options -e inject=$call:signal=KILL:when=$number" "$(keeper_pids 2 "$who")" \
			"${script//WORKER/$(keeper_pids 2 worker)}"
		! on_for 30 2 'grep -q "killed by SIGKILL" /run/trace' || killed=$((killed + 1))
		turns=$((turns + 1))
		all_is_well
	done
	echo "killed $killed times in $turns turns, at ${#points[@]} points"
	test "$turns" -ge 3
	test "$((killed * 2))" -ge "$turns"
	end_guest 2 vm
	eventually 30 can_start 1 /srv/a.img
}

@test "the worker is killed at work" {
	each_kill -f worker "$work"
}

@test "the guard is killed when it starts a worker" {
	each_kill '' guard "kill -KILL WORKER; $work"
}

@test "guard or worker is killed from the start of the worker on" {
	each_kill -f guard "kill -KILL WORKER; $work"
}

@test "each worker is killed when it begins to work: commands end in time, and all goes on when one lives" {
	start_guest 2 vm /srv/a.img
	trace "-f -e inject=epoll_wait:signal=KILL:when=1" "$(keeper_pids 2 guard)" 100000
	on 2 kill -KILL "$(keeper_pids 2 worker)"
	run on_for 40 2 'timeout 30 guestlock pause --timeout 5 vm'
	echo "$output"
	[[ $status == 69 || $status == 75 ]]
	is_refused
	on_for 30 2 'test "$(grep -c "killed by SIGKILL" /run/trace)" -ge 2'
	end_trace
	all_is_well
	end_guest 2 vm
	eventually 30 can_start 1 /srv/a.img
}
