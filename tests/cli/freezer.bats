#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest in a control group of its own is frozen by pause as well: no SIGCONT continues it.
# What the helpers set, and words that are for another shell.
# shellcheck disable=SC2154,SC2016
load helpers

# groups [NAME]...: control groups, which end with the test; the first one, or that of each test, is $group.
groups()
{
	local mount name

	need_root
	mount=$(awk '/ - cgroup2 / {print $5; exit}' /proc/self/mountinfo)
	group=$mount/${dir##*/}
	test -n "$mount" && mkdir "$group" 2>/dev/null || skip "cannot make control groups of version 2 here"
	printf '%s\n' "$group" >"$dir/groups"
	test -e "$group/cgroup.freeze" || skip "the kernel cannot freeze control groups"
	for name; do
		mkdir "$group/$name"
		printf '%s\n' "$group/$name" >>"$dir/groups"
	done
}

# writer [GROUP]: web, which writes; in that group, $group where it is not given.
writer()
{
	begin web --disk "$disk" -- sh -c 'echo $$ >"$2/cgroup.procs"; while :; do echo x >>"$1"; done' \
		sh "$dir/written" "${1-$group}"
	eventually grows "$dir/written"
}

# frozen VALUE [GROUP]
frozen()
{
	test "$(cat "${2-$group}/cgroup.freeze")" = "$1"
}

# continue_all: every process of the group and of those below it.
continue_all()
{
	find "$group" -name cgroup.procs -exec cat {} + | xargs -r kill -CONT
}

# stays_paused: whatever happens to web, and nobody says that it ran.
stays_paused()
{
	stands_still "$dir/written"
	sleep 1.5
	stands_still "$dir/written"
	has web state paused
	run -1 grep "ran without its locks" "$dir/web.err"
}

@test "a paused guest in a control group of its own is continued by no SIGCONT" {
	groups below
	begin web --disk "$disk" -- sh -c 'echo $$ >"$2/cgroup.procs"
		sh -c "echo \$\$ >\"\$1/below/cgroup.procs\"; while :; do echo x >>\"\$0\"; done" "$1" "$2" & wait' \
		sh "$dir/written" "$group"
	eventually grows "$dir/written"
	test -n "$(cat "$group/below/cgroup.procs")"
	gl pause web >/dev/null
	frozen 1
	run -0 gl run --disk "$disk,shared" -- true
	continue_all
	stays_paused
	run -0 --separate-stderr gl resume web
	test -z "$stderr"
	frozen 0
	eventually grows "$dir/written"
	# And once more, without anybody's SIGCONT.
	gl pause web >/dev/null
	stands_still "$dir/written"
	gl resume web
	frozen 0
	eventually grows "$dir/written"
}

@test "a pause and a resume that are killed at any point of freezing and thawing leave no running guest frozen" {
	local command count status

	need_strace
	groups
	writer
	for command in pause resume; do
		for ((count = 1; ; count++)); do
			# What concerns the switch, and what comes just before and after it.
			status=0
			strace -f -o /dev/null -P "$group/cgroup.freeze" -P "$group/cgroup.events" \
				-e inject=all:signal=KILL:when="$count" "$GUESTLOCK" --quiet "$command" web \
				>/dev/null 2>&1 || status=$?
			if test "$(property web state)" = running; then
				eventually frozen 0
				eventually grows "$dir/written"
			fi
			((status != 0)) || break
			if test "$command" = resume && has web state running; then
				gl pause web >/dev/null
				frozen 1
			fi
		done
		# Before and after it is written, at least.
		((count > 2))
	done
	frozen 0
	eventually grows "$dir/written"
}

@test "a control group with somebody else's process in it is not frozen" {
	groups below
	background sleep 300
	other=$supervisor
	for where in "$group" "$group/below"; do
		echo "$other" >"$where/cgroup.procs"
		writer
		gl pause web >/dev/null
		frozen 0
		stands_still "$dir/written"
		gl resume web
		kill -KILL "$(pid_of web)"
		eventually gone web
	done
	# Nor that of the caller.
	writer
	cat >"$dir/pause.sh" <<-'END'
		echo $$ >"$1/cgroup.procs"
		exec "$GUESTLOCK" pause web
	END
	run -0 sh "$dir/pause.sh" "$group"
	frozen 0
	stands_still "$dir/written"
}

@test "what somebody else froze is paused, and stays frozen after resume, which says so" {
	groups inner
	writer "$group/inner"
	echo 1 >"$group/inner/cgroup.freeze"
	gl pause web >/dev/null
	run -0 gl run --disk "$disk,shared" -- true
	# It is stopped when that is thawed.
	echo 0 >"$group/inner/cgroup.freeze"
	stays_paused
	echo 1 >"$group/inner/cgroup.freeze"
	run -0 --separate-stderr gl resume web
	is_message "$stderr"
	contains "$stderr" "by somebody else"
	has web state running
	frozen 1 "$group/inner"
	stands_still "$dir/written"
	echo 0 >"$group/inner/cgroup.freeze"
	eventually grows "$dir/written"
	# What it is in.
	gl pause web >/dev/null
	frozen 1 "$group/inner"
	echo 1 >"$group/cgroup.freeze"
	run -0 --separate-stderr gl resume web
	contains "$stderr" "by somebody else"
	frozen 0 "$group/inner"
	stands_still "$dir/written"
	echo 0 >"$group/cgroup.freeze"
	eventually grows "$dir/written"
}

@test "the control group of a guest that ends while it is frozen is thawed" {
	groups
	writer
	gl pause web >/dev/null
	frozen 1
	kill -KILL "$(pid_of web)"
	eventually gone web
	eventually frozen 0
}

@test "a paused guest that is released by force is thawed, and stays stopped" {
	groups
	writer
	kill -KILL "$supervisor"
	gl pause web >/dev/null
	continue_all
	frozen 1
	gl release web --force
	frozen 0
	stands_still "$dir/written"
}

@test "a guest whose threads are in control groups of their own is stopped as any other" {
	groups threads
	echo threaded >"$group/threads/cgroup.type" || skip "no control groups of threads here"
	writer
	echo "$(pid_of web)" >"$group/threads/cgroup.threads"
	contains "$(cat "/proc/$(pid_of web)/cgroup")" /threads
	run -0 --separate-stderr gl pause web
	test -z "$stderr"
	frozen 0
	frozen 0 "$group/threads"
	stands_still "$dir/written"
	run -0 --separate-stderr gl resume web
	test -z "$stderr"
	eventually grows "$dir/written"
}

@test "the user of a guest freezes it where the control group is his" {
	groups
	chmod 755 "$dir"
	mkdir "$dir/home"
	chown 65534 "$dir/home" "$disk" "$group/cgroup.freeze"
	export GUESTLOCK_CONFIG=$dir/home/guestlock.conf
	write_config "$GUESTLOCK_CONFIG" "$dir/home/run" "$dir/home/state"
	as_user()
	{
		setpriv --reuid 65534 --clear-groups "$@"
	}
	as_user "$GUESTLOCK" run --name web --disk "$disk" -- sh -c 'while :; do echo x >>"$1"; sleep 0.01; done' \
		sh "$dir/home/written" 3>&- &
	eventually grows "$dir/home/written"
	pid=$(as_user "$GUESTLOCK" show web --json | jq -r '.. | .pid? // empty' | head -n 1)
	echo "$pid" >"$group/cgroup.procs"
	pgrep -P "$pid" | while read -r child; do echo "$child" >"$group/cgroup.procs" || :; done
	as_user "$GUESTLOCK" pause web
	frozen 1
	continue_all
	stands_still "$dir/home/written"
	as_user "$GUESTLOCK" resume web
	frozen 0
	eventually grows "$dir/home/written"
}

@test "where the freezer may not be used a guest is stopped as any other" {
	groups
	writer
	cat >"$dir/pause.sh" <<-'END'
		mount -o remount,bind,ro "$1" || exit 125
		exec "$GUESTLOCK" pause web
	END
	unshare --mount true 2>/dev/null || skip "cannot make namespaces here"
	run -0 --separate-stderr unshare --mount sh "$dir/pause.sh" "${group%/*}"
	test -z "$stderr"
	frozen 0
	stands_still "$dir/written"
	run -0 --separate-stderr gl resume web
	test -z "$stderr"
	eventually grows "$dir/written"
	# Frozen, and to be thawed by who may not: said, and done by the next who may.
	gl pause web >/dev/null
	frozen 1
	sed -i 's/pause/resume/' "$dir/pause.sh"
	kill -STOP "$supervisor"
	run -0 --separate-stderr unshare --mount sh "$dir/pause.sh" "${group%/*}"
	contains "$stderr" "could not be thawed"
	frozen 1
	kill -CONT "$supervisor"
	eventually frozen 0
	eventually grows "$dir/written"
}
