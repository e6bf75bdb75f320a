# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests that kill the command between any two of its system calls: strace kills it before the system call
# that is to be the first one not made. What a call changes stands between two such points; calls that change nothing
# are passed over, unless FULL=1.
# shellcheck shell=bash
# What the tests set, and what cli/helpers.bash has.
# shellcheck disable=SC2154,SC2034

# What the command changes anything with. "?": not every architecture has it.
readonly calls='openat,close,pwrite64,write,fcntl,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,fchmod,sendmsg,sendto,recvfrom,kill,pidfd_send_signal,execve'

# How many points a test takes without FULL=1.
readonly few=3

# Traced is the command itself, not the script that libtool puts before it.
setup_file()
{
	local folder

	: "${GUESTLOCK:?is the command to test}"
	folder=$(dirname "$GUESTLOCK")
	if test -x "$folder/.libs/guestlock"; then
		export LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
		export GUESTLOCK=$folder/.libs/guestlock
	fi
	strace -o /dev/null true 2>/dev/null || skip "needs strace, and the right to use it"
}

# ---- Where to kill ----

# points FROM UNTIL: reads a trace of one process; prints "CALL NUMBER" for each point after FROM, up to UNTIL.
points()
{
	awk -v from="$1" -v until="$2" -v full="${FULL-}" '
		!/^[a-z0-9_]+\(/ { next }
		{
			call = substr($0, 1, index($0, "(") - 1)
			number[call]++
		}
		!begun { begun = from == "" || index($0, from); if (from != "") next }
		{ changes = 1 }
		/^close\(/ || /^openat\(/ && !/O_CREAT/ || /^fcntl\(/ && !/F_OFD_SETLK/ { changes = 0 }
		/^kill\([0-9]+, 0\)/ || /EEXIST/ || /^write\(2,/ || /^recvfrom\(/ { changes = 0 }
		/^execve\(/ && !/ = 0$/ { next }
		changes || full != "" && !/^openat.*"\/(proc|sys)\// || until != "" && index($0, until) {
			print call, number[call]
		}
		until != "" && index($0, until) { exit }'
}

# trace COMMAND...: of the command alone.
trace()
{
	timeout -k 1 30 strace -o "$dir/trace" -e "trace=$calls" "$@" >/dev/null 2>&1 3>&-
}

# The same of the process that it forks.
trace_child()
{
	local all=$dir/trace.all

	timeout -k 1 30 strace -f -o "$all" -e "trace=$calls" "$@" >/dev/null 2>&1 3>&-
	awk 'NR == 1 { parent = $1 } $1 != parent { sub(/^[0-9]+ +/, ""); print }' "$all" >"$dir/trace"
}

# ---- Killing ----

# each_kill FIXTURE CHECK COMMAND...: at some of the points, evenly spread, or at all of them with FULL=1: FIXTURE, the command until it is killed
# there, CHECK, and the end of all guests. The points are on standard input. killed tells how often it was.
each_kill()
{
	local fixture=$1 check=$2 all call number place stride=1

	shift 2
	mapfile -t all
	if test -z "${FULL-}"; then
		stride=$(((${#all[@]} + few - 1) / few))
	fi
	killed=0
	for ((place = 0; place < ${#all[@]}; place += stride)); do
		read -r call number <<<"${all[place]}"
		echo "${*:2:2} killed before $call number $number:"
		turn=$((place / stride))
		"$fixture"
		kill_at "$call" "$number" "$@"
		"$check"
		all_end
	done
	echo "killed $killed times at ${#all[@]} points"
	((killed * stride * 2 > ${#all[@]}))
}

# kill_at CALL NUMBER COMMAND...; $follow is -f where what it forks counts too. A guest that runs is not waited for.
kill_at()
{
	local tracer end=$((SECONDS + 30))

	rm -f "$dir/trace"
	strace ${follow:+"$follow"} -o "$dir/trace" -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" "${@:3}" \
		>"$dir/killed" 2>&1 3>&- &
	tracer=$!
	disown "$tracer" 2>/dev/null || : # it has ended already
	while kill -0 "$tracer" 2>/dev/null; do
		if test -e "$dir/ran" && test -z "${short-}"; then
			sleep 0.1
			break
		fi
		if ((SECONDS >= end)); then
			echo "not ended within 30 s" >&2
			return 1
		fi
		sleep 0.005
	done
	if grep -q "killed by SIGKILL" "$dir/trace"; then
		killed=$((killed + 1))
	fi
}

no_process()
{
	test -z "$(processes)"
}

# ---- What must be true ----

on_target()
{
	"$GUESTLOCK" --quiet --config "$dir/other.conf" "$@"
}

# A guest on a third host wants the disks: 0 when it got it, 1 when it was refused.
rival()
{
	# shellcheck disable=SC2046
	"$GUESTLOCK" --quiet --config "$dir/rival.conf" run $(printf -- '--disk %s ' "$@") -- true
}

refused()
{
	local status=0

	rival "$1" 2>"$dir/rival.err" || status=$?
	if ((status != 1)); then
		echo "another guest that wanted $1 ended with $status, not 1: $(cat "$dir/rival.err")" >&2
		return 1
	fi
}

# obtained DISK...: by another guest, within a second.
obtained()
{
	local end=$(($(date +%s%N) + 1000000000))

	until rival "$@" 2>"$dir/rival.err"; do
		if (($(date +%s%N) >= end)); then
			echo "another guest does not get $*: $(cat "$dir/rival.err")" >&2
			return 1
		fi
	done
}

# reaped CONFIG: everything could be settled, and nothing is strange.
reaped()
{
	local result

	result=$("$GUESTLOCK" --config "$1" --quiet reap --json) || return 1
	result=${result//[[:space:]]/}
	if [[ $result != *'"damaged":0,"orphans":0,"failed":0'* ]]; then
		echo "reap with $1: $result" >&2
		return 1
	fi
	result=$("$GUESTLOCK" --config "$1" --quiet list --json) || return 1
	result=${result//[[:space:]]/}
	if [[ ${result//'"pending":"complete-in"'/} =~ \"pending\":\"[a-z] ]]; then
		echo "pending after reap with $1: $result" >&2
		return 1
	fi
}

all_reaped()
{
	local config

	reaped "$GUESTLOCK_CONFIG"
	for config in other rival; do
		if test -d "$dir/$config-run"; then
			reaped "$dir/$config.conf"
		fi
	done
}

# is_stopped PID
is_stopped()
{
	test "$(awk '/^State:/ { print $2 }' "/proc/$1/status")" = T
}

goes_on()
{
	test "$(awk '/^State:/ { print $2 }' "/proc/$1/status")" != T
}

# All guests are killed: others get their disks at once, and after a reap nothing is left.
all_end()
{
	local left end=$((SECONDS + 10))

	until left=$(processes) && test -z "$left"; do
		# shellcheck disable=SC2086
		kill -KILL $left 2>/dev/null || :
		((SECONDS < end))
	done
	wait
	obtained "$disk" "$dir/second.img"
	# A process that is killed may leave files that nobody looks at, until they are an hour old.
	find "$dir"/{run,other-run,rival-run} "$dir/state/fcntl/life" -type f -exec touch -d '2 hours ago' {} + 2>/dev/null || :
	all_reaped
	# The files of hints stay, without a line in them.
	left=$(
		exec 2>/dev/null
		find "$dir"/{run,other-run,rival-run}/{guests,damaged} "$dir/state/fcntl/life" -name .files -prune -o -type f -print
		grep -rlE '^[^ ]+ [0-9a-f-]{36}' "$dir"/{run,other-run,rival-run}/hints "$dir/state/fcntl/life/.files"
	) || :
	if test -n "$left"; then
		echo "left behind: $left" >&2
		return 1
	fi
	left=$(gl list)
	test -z "$left"
	rm -f "$dir/ran"
}

# Three hosts with nothing on them.
hosts()
{
	rm -rf "$dir"/{run,other-run,rival-run,state}
	write_config "$dir/other.conf" "$dir/other-run" "$dir/state"
	write_config "$dir/rival.conf" "$dir/rival-run" "$dir/state"
}
