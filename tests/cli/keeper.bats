#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The keeper: started on demand, killed, hanging, ended; and the guests, which notice nothing. The backend is fcntl,
# wrapped by one that does as it is told (tests/fault/fault.c).
# What the helpers set; each test is a subshell.
# shellcheck disable=SC2154,SC2030,SC2031
load helpers

uuid=6e6f6e65-0000-4000-8000-00000000000a

setup_file()
{
	local directory folder

	: "${GUESTLOCK_FAULT_PATH:?is the directory of fault.so}" "${GUESTLOCK_KEEPER:?is the keeper to test}"
	# The command itself, not the script that libtool puts before it, which takes its time.
	folder=$(dirname "$GUESTLOCK")
	if test -x "$folder/.libs/guestlock"; then
		export LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
		export GUESTLOCK=$folder/.libs/guestlock
	fi
	for directory in ${GUESTLOCK_BACKEND_PATH//:/ }; do
		if test -e "$directory/fcntl.so"; then
			export GUESTLOCK_FAULT_INNER=$directory/fcntl.so
		fi
	done
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_FAULT_PATH:$GUESTLOCK_BACKEND_PATH
	export GUESTLOCK_FAULT_WITH=may-block
	unset GUESTLOCK_FAULT_PLAN GUESTLOCK_FAULT_WITHOUT GUESTLOCK_FAULT_CALLS
}

# write_config FILE RUN_DIR STATE_DIR [LINE...]: as that of the helpers, for a backend that may block.
write_config()
{
	local file=$1 run_dir=$2 state_dir=$3

	shift 3
	export GUESTLOCK_FAULT_PLAN=$dir/plan GUESTLOCK_FAULT_CALLS=$dir/calls
	printf '%s\n' "[guestlock]" "backend = fault" "run_dir = $run_dir" "state_dir = $state_dir" \
		"log = $dir/log" "$@" "[fault]" "lock_dir = $dir/locks" >"$file"
}

# plan LINE...: what goes wrong from now on.
plan()
{
	# At once: a call that is under way reads it again and again.
	printf '%s\n' "$@" >"$dir/plan.new"
	mv "$dir/plan.new" "$dir/plan"
}

# pids_of ROLE [RUN_DIR]: "guard" or "worker".
pids_of()
{
	grep -lszE "^--$1=" /proc/[0-9]*/cmdline | xargs -r grep -lszxF "guestlock.run_dir=${2-$dir/run}" |
		cut -d / -f 3
}

running()
{
	test "$(pids_of guard | wc -l)" = 1 && test "$(pids_of worker | wc -l)" = 1
}

ended_both()
{
	test -z "$(pids_of guard)$(pids_of worker)"
}

# Microseconds.
now()
{
	echo "${EPOCHREALTIME/[.,]/}"
}

# ---- The life of a guest ----

@test "behind the keeper: run, refuse a second one, pause, resume, attach, detach, release" {
	local keeper state

	begin web --disk "$disk"
	running
	keeper=$(pids_of worker)
	run -1 gl run --disk "$disk" -- true
	contains "$output" "guest web"
	state=$(gl pause web)
	test -n "$state"
	gl resume web
	gl attach web --disk "$dir/second.img"
	test "$(holder "$dir/second.img")" = web
	gl detach web --disk "$dir/second.img"
	test -z "$(holder "$dir/second.img")"
	kill -KILL "$(pid_of web)"
	eventually gone web
	gl run --disk "$disk" -- true
	test "$(pids_of worker)" = "$keeper"
}

@test "a backend that may block is called by the keeper's worker and by nobody else" {
	local worker

	begin web --disk "$disk"
	worker=$(pids_of worker)
	gl pause web
	gl resume web
	gl list
	gl holders "$disk"
	gl reap
	test "$(grep -vc '^probe ' "$dir/calls")" -gt 5
	test "$(grep -v '^probe ' "$dir/calls" | cut -d ' ' -f 2 | sort -u)" = "$worker"
}

@test "what ties the guest's process to the technology is called by that process" {
	local worker

	export GUESTLOCK_FAULT_WITH=may-block,bind-here GUESTLOCK_FAULT_WITHOUT=adopt
	begin web --disk "$disk"
	worker=$(pids_of worker)
	test "$(grep '^bind ' "$dir/calls")" = "bind $(pid_of web)"
	test "$(grep -v '^probe \|^bind ' "$dir/calls" | cut -d ' ' -f 2 | sort -u)" = "$worker"
	plan "bind fail denied"
	run -77 gl run --disk "$dir/second.img" -- true
	contains "$output" "cannot bind file:$dir/second.img"
	test -z "$(holder "$dir/second.img")"
}

@test "keeper = always: any backend" {
	printf '%s\n' "[guestlock]" "run_dir = $dir/run" "state_dir = $dir/state" "keeper = always" >"$GUESTLOCK_CONFIG"
	begin web --disk "$disk"
	running
	run -1 gl run --disk "$disk" -- true
}

@test "keeper = auto: no keeper for a backend that does not block" {
	printf '%s\n' "[guestlock]" "run_dir = $dir/run" "state_dir = $dir/state" >"$GUESTLOCK_CONFIG"
	begin web --disk "$disk"
	ended_both
}

@test "two hosts with a keeper each" {
	begin web --disk "$disk"
	run -1 other_host run --disk "$disk" -- true
	contains "$output" "guest web"
	test "$(pids_of worker | wc -l)$(pids_of worker "$dir/other-run" | wc -l)" = 11
}

@test "a guest that dies loses its locks at once" {
	local i supervisor pid start took=1000000

	# Mostly a few ms; this machine may be busy.
	for ((i = 0; i < 20 && took > 40000; i++)); do
		"$GUESTLOCK" --quiet run --uuid "$uuid" --disk "$disk" -- sleep 300 3>&- &
		supervisor=$!
		eventually has "$uuid" state running
		pid=$(pid_of "$uuid")
		# It would release them, too.
		kill -KILL "$supervisor"
		sleep 0.2
		start=$(now)
		kill -KILL "$pid"
		while test -e "$dir/run/guests/$uuid"; do :; done
		took=$(($(now) - start))
		echo "$took us"
	done
	((took <= 40000))
}

# ---- Starting ----

@test "twenty commands at once start one keeper" {
	local i commands=()

	for i in {1..20}; do
		"$GUESTLOCK" --quiet run -- true 3>&- &
		commands+=($!)
	done
	for i in "${commands[@]}"; do
		wait "$i"
	done
	running
	test "$(grep -c 'keeper of ' "$dir/log")" = 1
}

@test "a keeper that cannot be started: why, and what to do" {
	GUESTLOCK_KEEPER=/nowhere/keeper run -69 gl run --disk "$disk" -- true
	is_message "$output"
	contains "$output" /nowhere/keeper
	contains "$output" "install it"
	GUESTLOCK_KEEPER=$(type -P false) run -69 gl --timeout 2 run --disk "$disk" -- true
	is_message "$output"
}

@test "it is nobody's child, and nobody's descriptors are open in it" {
	local pid fd

	exec 9>"$dir/mine"
	begin web --disk "$disk"
	exec 9>&-
	for pid in $(pids_of guard) $(pids_of worker); do
		test "$(readlink "/proc/$pid/cwd")" = /
		for fd in "/proc/$pid/fd/"*; do
			[[ $(readlink "$fd") != "$dir/mine" ]]
			# Above all no life file, which would keep a guest alive.
			[[ $(readlink "$fd") != */life/* ]]
		done
	done
	# Nor the tether, which has no name: the guest is dead once its process is.
	kill -KILL "$(pid_of web)"
	eventually gone web
}

@test "a second keeper is refused, and told of the first" {
	gl run -- true
	run -1 "$GUESTLOCK_KEEPER" -o "guestlock.run_dir=$dir/run"
	contains "$(cat "$dir/log")" "a keeper runs there already: pid $(pids_of guard)"
	running
}

@test "other settings than the keeper's are refused, with what to do" {
	begin web --disk "$disk"
	echo "allow_network_filesystem = yes" >>"$GUESTLOCK_CONFIG"
	run -78 gl run --disk "$disk" -- true
	is_message "$output"
	contains "$output" "runs with fault.allow_network_filesystem=no"
	contains "$output" "here it is fault.allow_network_filesystem=yes"
	contains "$output" "kill -TERM $(pids_of guard)"
}

# ---- Being killed ----

# killed_while ROLE...: commands go on while those are killed, and each does what it should.
killed_while()
{
	local round before

	begin web --disk "$disk"
	for round in {1..8}; do
		before=$(pids_of "$1")
		# shellcheck disable=SC2046
		kill -KILL $(for role in "$@"; do pids_of "$role"; done)
		gl run --disk "$dir/second.img" -- true
		run -1 gl run --disk "$disk" -- true
		contains "$output" "guest web"
		eventually running
		test "$(pids_of "$1")" != "$before"
	done
	gl pause web
	gl resume web
	kill -KILL "$(pid_of web)"
	eventually gone web
	gl run --disk "$disk" -- true
}

@test "SIGKILL of the worker: nothing is lost" {
	killed_while worker
}

@test "SIGKILL of the guard: nothing is lost" {
	killed_while guard
}

@test "SIGKILL of both at once: nothing is lost" {
	killed_while guard worker
}

@test "kills at any moment, while commands run" {
	local killer i failures=0 status

	begin web --disk "$disk"
	(
		for i in {1..15}; do
			sleep 0.$((RANDOM % 9 + 1))
			# shellcheck disable=SC2046
			kill -KILL $(pids_of worker) $(test $((i % 3)) = 0 || pids_of guard) 2>/dev/null || :
		done
	) 3>&- &
	killer=$!
	while kill -0 "$killer" 2>/dev/null; do
		status=0
		gl --quiet --timeout 20 run --disk "$dir/second.img" -- true || status=$?
		# What could not be done says so, and leaves nothing behind.
		((status == 0 || status == 75 || status == 69))
		failures=$((failures + (status != 0)))
		run -1 gl --timeout 20 run --disk "$disk" -- true
	done
	echo "$failures failed"
	gl --quiet reap --json | jq -e '.failed == 0 and .orphans == 0'
	gl run --disk "$dir/second.img" -- true
	has web state running
}

@test "SIGTERM drains and ends both; locks stay, and the next command starts another" {
	local command before

	begin web --disk "$disk"
	before=$(pids_of worker)
	plan "acquire hang 1500 1"
	"$GUESTLOCK" --quiet run --disk "$dir/second.img" -- true 3>&- &
	command=$!
	eventually grep -q "^acquire" "$dir/calls"
	sleep 0.3
	kill -TERM "$(pids_of guard)"
	wait "$command"
	eventually is_over "$before"
	run -1 gl run --disk "$disk" -- true
	contains "$output" "guest web"
	running
}

@test "SIGTERM to the worker alone ends both, too" {
	gl run -- true
	kill -TERM "$(pids_of worker)"
	eventually ended_both
	test ! -e "$dir/run/keeper"
}

@test "a keeper whose socket was removed ends, and another one starts" {
	local before

	begin web --disk "$disk"
	before=$(pids_of worker)
	rm "$dir/run/keeper"
	run -1 gl run --disk "$disk" -- true
	contains "$output" "guest web"
	running
	test "$(pids_of worker)" != "$before"
}

# ---- Hanging ----

@test "a call that hangs: its caller gets its deadline and the reason, others go on, what comes late is settled" {
	local start

	begin web --disk "$disk"
	plan "acquire hang 15000 1"
	start=$(now)
	run -75 gl --timeout 2 run --uuid "$uuid" --name late --disk "$dir/second.img" -- true
	(($(now) - start > 1900000))
	is_message "$output"
	contains "$output" "has not answered"
	# Meanwhile.
	gl run --disk "$dir/third.img" -- true
	run -1 gl run --disk "$disk" -- true
	gl pause web
	gl resume web
	(($(now) - start < 15000000))
	is_settled()
	{
		gl reap && test -z "$(holder "$dir/second.img")"
	}
	until (($(now) - start > 16000000)); do
		sleep 0.5
	done
	eventually is_settled
	gl run --uuid "$uuid" --disk "$dir/second.img" -- true
}

@test "a call that hangs does not keep other guests' locks from being released" {
	begin web --disk "$disk"
	begin other --disk "$dir/second.img"
	plan "release hang 60000 1"
	kill -KILL "$(pid_of web)"
	sleep 0.5
	kill -KILL "$(pid_of other)"
	eventually gone other
	gl --timeout 10 run --disk "$dir/second.img" -- true
}

@test "when the backend says why it does not answer, so do we" {
	plan "acquire hang 20000 1" "status fail stopped"
	run -75 gl --timeout 3 run --disk "$disk" -- true
	contains "$output" "the plan of faults says stopped"
}

@test "joining fails: the reason" {
	plan "join fail stopped"
	run -69 gl run --disk "$disk" -- true
	contains "$output" "the plan of faults says stopped"
	plan
	gl run --disk "$disk" -- true
}

# ---- Looking, and leaving ----

@test "check tells of the keeper" {
	run -0 gl check
	contains "$output" "the next guest starts it"
	ended_both
	gl run -- true
	run -0 gl check
	contains "$output" "pid $(pids_of guard) and $(pids_of worker)"
	contains "$output" "joined"
	plan "status fail stopped"
	run -69 gl check
	contains "$output" "the plan of faults says stopped"
}

@test "leave: refused while a guest holds or has paused anything; joined again by the next one" {
	begin web --disk "$disk"
	run -1 gl leave
	is_message "$output"
	gl pause web
	run -1 gl leave
	gl resume web
	kill -KILL "$(pid_of web)"
	eventually gone web
	gl leave
	run -0 gl check
	contains "$output" " out"
	gl leave
	gl run --disk "$disk" -- true
	run -0 gl check
	contains "$output" joined
}

# calls OP: how often the backend was asked for it.
calls()
{
	grep -c "^$1 " "$dir/calls" || :
}

asked()
{
	test "$(calls "$1")" -gt "$2"
}

@test "leave while a start is under way: it waits for that, and is refused" {
	local before

	gl run --disk "$disk" -- true
	before=$(calls acquire)
	plan "acquire hang 1500 1"
	background "$GUESTLOCK" run --name web --disk "$disk" -- sleep 300
	eventually asked acquire "$before"
	# What the backend looks at shows nothing of this guest yet.
	run -1 --separate-stderr gl leave
	contains "$stderr" "guest web"
	eventually has web state running
	test "$(holder "$disk")" = web
	run -1 gl run --disk "$disk" -- true
}

# start_and_leave: a guest has joined when the host begins to leave, and goes on to bind meanwhile. false: it was faster.
start_and_leave()
{
	local before supervisor

	gl run --disk "$disk" -- true
	before=$(calls join)
	plan "join hang 2000 1" "leave hang 1000 1"
	background "$GUESTLOCK" run --name web --disk "$disk" -- sleep 300
	eventually asked join "$before"
	if gl leave; then
		return 0
	fi
	eventually has web state running
	kill -TERM "$supervisor"
	ended "$supervisor" 143
	return 1
}

@test "a start while the host leaves: it waits for that, and joins again" {
	start_and_leave || start_and_leave || start_and_leave
	eventually has web state running
	test "$(awk '/^leave / { order = "" } /^(leave|join|bind) / { order = order $1 " " } END { print order }' \
		"$dir/calls")" = "leave join bind join "
	test "$(holder "$disk")" = web
	run -1 gl leave
}

@test "a start while leaving takes its time: refused in time, with the reason, and nothing is left" {
	local before

	gl run --disk "$disk" -- true
	before=$(calls leave)
	plan "leave hang 6000 1"
	gl leave &
	eventually asked leave "$before"
	run -69 --separate-stderr gl --timeout 2 run --name web --disk "$disk" -- true
	is_message "$stderr"
	[[ $stderr == *"still joins or leaves"* || $stderr == *"in time"* ]]
	gone web
	wait $!
	gl run --disk "$disk" -- true
}

# ---- The service manager ----

@test "the service manager is told: ready, and which process is the main one" {
	local guard

	# shellcheck disable=SC2016 # for perl
	perl -MSocket -e 'socket(S, PF_UNIX, SOCK_DGRAM, 0); open(F, ">>", $ARGV[1]); bind(S, sockaddr_un($ARGV[0]));
		syswrite(F, $m) while defined recv(S, $m, 4096, 0)' "$dir/notify" "$dir/told" 3>&- &
	eventually test -S "$dir/notify"
	NOTIFY_SOCKET=$dir/notify "$GUESTLOCK_KEEPER" -o "guestlock.run_dir=$dir/run" 3>&- 2>/dev/null &
	guard=$!
	eventually grep -q "READY=1" "$dir/told"
	grep -q "MAINPID=$guard" "$dir/told"
	test "$(pids_of guard)" = "$guard"
	: >"$dir/told"
	kill -KILL "$guard"
	eventually grep -q "MAINPID=" "$dir/told"
	eventually running
	grep -q "MAINPID=$(pids_of guard)" "$dir/told"
	# What the manager starts instead finds that one.
	: >"$dir/told"
	NOTIFY_SOCKET=$dir/notify "$GUESTLOCK_KEEPER" -o "guestlock.run_dir=$dir/run"
	eventually grep -q "MAINPID=$(pids_of guard)" "$dir/told"
	kill -TERM "$(pids_of guard)"
	eventually grep -q "STOPPING=1" "$dir/told"
	eventually ended_both
}

# ---- What it uses ----

descriptors()
{
	find "/proc/$(pids_of worker)/fd" "/proc/$(pids_of guard)/fd" -mindepth 1 | wc -l
}

threads()
{
	find "/proc/$(pids_of worker)/task" -mindepth 1 -maxdepth 1 | wc -l
}

@test "descriptors and threads do not grow" {
	local i before

	gl run --disk "$disk" -- true
	before=$(descriptors)
	for i in {1..30}; do
		gl --quiet run --disk "$disk" -- true
		gl --quiet list >/dev/null
	done
	as_before()
	{
		(($(descriptors) <= before + 1 && $(threads) < 10))
	}
	eventually as_before
}
