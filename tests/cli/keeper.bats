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
	grep -lszx "[g]uestlock.run_dir=${2-$dir/run}" /proc/[0-9]*/cmdline | sed 's/cmdline$/comm/' |
		xargs -r grep -lsx "keeper-$1" | cut -d / -f 3
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

# ---- What is kept ----

# The backend has a descriptor that must not be closed, as long as anything is under way (tests/fault/fault.c).
keeping()
{
	export GUESTLOCK_FAULT_KEPT=$dir/kept
}

# has_kept ROLE: that process has it open.
has_kept()
{
	local pid

	pid=$(pids_of "$1")
	test -n "$pid" && find "/proc/$pid/fd" -lname "$dir/kept" | grep -q .
}

has_not_kept()
{
	! has_kept "$1"
}

# opened TIMES: as often it was opened, in whatever process.
opened()
{
	test ! -e "$dir/kept.wrong"
	test "$(wc -l <"$dir/kept.opened")" = "$1"
}

@test "what must not be closed is with the guard before anything is asked" {
	local worker

	keeping
	plan "join hang 60000 1"
	background "$GUESTLOCK" run --name web --disk "$disk" -- sleep 300
	eventually grep -qs "^join" "$dir/calls"
	has_kept guard
	# And so is what that one asked.
	worker=$(pids_of worker)
	kill -KILL "$worker"
	eventually has web state running
	opened 1
	test "$(tail -n 1 "$dir/kept.again")" = "$(pids_of worker)"
	test "$(pids_of worker)" != "$worker"
}

@test "a join that fails takes nothing from the guard, and the next one uses it again" {
	keeping
	plan "join fail io"
	run -74 gl run --disk "$disk" -- true
	has_kept guard
	has_kept worker
	gl --quiet run --disk "$disk" -- true || test $? = 74
	kill -KILL "$(pids_of worker)"
	run -74 gl run --disk "$disk" -- true
	has_kept guard
	plan
	gl run --disk "$disk" -- true
	opened 1
	has_kept guard
}

@test "leave lets go of it, and the next guest opens it anew" {
	keeping
	gl run --disk "$disk" -- true
	gl leave
	has_not_kept guard
	has_not_kept worker
	gl run --disk "$disk" -- true
	has_kept guard
	opened 2
}

@test "a guard that does not answer: nothing is asked, and it goes on when it does" {
	local guard

	keeping
	gl run --disk "$disk" -- true
	gl leave
	guard=$(pids_of guard)
	: >"$dir/calls"
	kill -STOP "$guard"
	run -75 gl --timeout 8 run --disk "$disk" -- true
	is_message "$output"
	run ! grep '^bind\|^acquire' "$dir/calls"
	has_not_kept worker
	kill -CONT "$guard"
	gl run --disk "$disk" -- true
	has_kept guard
	test "$(pids_of guard)" = "$guard"
}

# ---- Another version ----

@test "the program was replaced by another version, or removed: the pair goes on with its own" {
	local guard folder

	keeping
	folder=$(dirname "$GUESTLOCK_KEEPER")
	test ! -x "$folder/.libs/guestlock-keeper" || folder=$folder/.libs
	cp "$folder/guestlock-keeper" "$dir/guestlock-keeper"
	export GUESTLOCK_KEEPER=$dir/guestlock-keeper
	begin web --disk "$disk"
	guard=$(pids_of guard)
	for other in /bin/true /bin/false /nowhere; do
		rm -f "$dir/guestlock-keeper"
		test ! -x "$other" || cp "$other" "$dir/guestlock-keeper"
		kill -KILL "$(pids_of worker)"
		run -1 gl run --disk "$disk" -- true
		contains "$output" "guest web"
		has_kept guard
		opened 1
	done
	test "$(pids_of guard)" = "$guard"
}

# ---- Ending with something under way ----

# stays PID: that worker has been asked to end, and is still there after looking around a few times.
stays()
{
	local times

	times=$(grep -c "^busy $1" "$dir/calls" || :)
	asked_again()
	{
		(($(grep -c "^busy $1" "$dir/calls" || :) >= times + 3))
	}
	eventually asked_again "$1"
	test "$(pids_of worker)" = "$1"
}

# ends_late COMMAND...: which tells them to end, while the backend has something under way.
ends_late()
{
	local guard worker

	keeping
	begin web --disk "$disk"
	guard=$(pids_of guard)
	worker=$(pids_of worker)
	plan "busy fail again"
	"$@"
	stays "$worker"
	has_kept guard
	# Of one whose socket was removed nobody gets that far.
	run gl --timeout 1 run --disk "$dir/second.img" -- true
	[[ $status == 75 || $status == 69 ]]
	# Another one ends in the same way.
	kill -KILL "$worker"
	eventually running
	worker=$(pids_of worker)
	stays "$worker"
	has_kept guard
	plan
	# The refused one may have started a keeper, which waited for these.
	eventually is_over "$worker"
	eventually is_over "$guard"
	run -1 gl run --disk "$disk" -- true
	contains "$output" "guest web"
}

terminate()
{
	kill -TERM "$(pids_of "$1")"
}

@test "SIGTERM to the guard: the pair stays until nothing is under way" {
	ends_late terminate guard
}

@test "SIGTERM to the worker: the same" {
	ends_late terminate worker
}

@test "the socket was removed: the same" {
	ends_late rm "$dir/run/keeper"
}

@test "a worker that is to end and cannot find out what is under way stays, and goes on to try" {
	keeping
	plan "join fail stopped"
	run -69 gl run --disk "$disk" -- true
	terminate guard
	tried_again()
	{
		(($(grep -c "^join" "$dir/calls") >= 8))
	}
	eventually tried_again
	running
	has_kept guard
	plan
	eventually ended_both
	opened 1
}

# ---- Without a guard ----

@test "a worker whose guard was killed works on as long as something is under way, says so, and takes its place" {
	local worker

	keeping
	begin web --disk "$disk"
	worker=$(pids_of worker)
	plan "busy fail again"
	kill -KILL "$(pids_of guard)"
	stays "$worker"
	gl run --disk "$dir/second.img" -- true
	run -0 gl check
	contains "$output" "pid $worker alone, as its guard was killed"
	# Once.
	test "$(grep -c "the guard has ended" "$dir/log")" = 1
	test "$(pids_of guard)$(pids_of worker)" = "$worker"
	plan
	eventually running
	test "$(pids_of guard)" = "$worker"
	run -1 gl run --disk "$disk" -- true
	contains "$output" "guest web"
	# Nobody had to open it again.
	opened 1
	has_kept guard
	worker=$(pids_of worker)
	kill -KILL "$(pids_of guard)" "$worker"
	eventually is_over "$worker"
	run -1 gl run --disk "$disk" -- true
}

@test "a worker without a guard that is told to end does so when nothing is under way" {
	local worker

	keeping
	begin web --disk "$disk"
	worker=$(pids_of worker)
	plan "busy fail again"
	kill -KILL "$(pids_of guard)"
	stays "$worker"
	terminate worker
	stays "$worker"
	plan
	eventually ended_both
	run -1 gl run --disk "$disk" -- true
	contains "$output" "guest web"
}

# ---- The service manager ----

# manager FOLDER: as far as we need it. It starts the keeper again whenever that has ended, until FOLDER/stop is there,
# with the descriptors that it was given to store; FOLDER/told gets what it was told.
manager()
{
	command -v python3 >/dev/null || skip "no python3"
	cat >"$dir/manager.py" <<'END'
import os, select, socket, sys, time
folder, program = sys.argv[1], sys.argv[2].split()
os.environ["NOTIFY_SOCKET"] = folder + "/notify"
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(folder + "/notify")
stored = {}
def start():
    child = os.fork()
    if child == 0:
        # The last one first, as it may be.
        names = list(stored)[::-1]
        lifted = [os.dup2(stored[name], 100 + i) for i, name in enumerate(names)]
        for i, fd in enumerate(lifted):
            os.dup2(fd, 3 + i)
        if stored:
            os.environ.update(LISTEN_FDS=str(len(names)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(names))
        os.execv(program[0], program)
    return child
child = start()
while True:
    if select.select([server], [], [], 0.02)[0]:
        text, fds, _, _ = socket.recv_fds(server, 4096, 8)
        lines = text.decode().split("\n")
        name = next((line[7:] for line in lines if line.startswith("FDNAME=")), "")
        if "FDSTORE=1" in lines:
            stored[name] = fds[0]
        if "FDSTOREREMOVE=1" in lines and name in stored:
            os.close(stored.pop(name))
        with open(folder + "/told", "a") as told:
            told.write(" ".join(lines) + "\n")
    elif os.waitpid(child, os.WNOHANG)[0]:
        if os.path.exists(folder + "/stop"):
            break
        child = start()
END
	mkdir "$1"
	# In one word, as it is no keeper itself.
	python3 "$dir/manager.py" "$1" "$GUESTLOCK_KEEPER -o guestlock.run_dir=$dir/run" 3>&- 2>"$dir/manager.err" &
}

@test "the service manager is told: ready, and ending" {
	local guard

	manager "$dir/manager"
	eventually grep -qs "READY=1" "$dir/manager/told"
	eventually running
	# One that was started on demand is taken for its service, and tells nobody by itself.
	touch "$dir/manager/stop"
	kill -TERM "$(pids_of guard)"
	eventually grep -q "STOPPING=1" "$dir/manager/told"
	eventually ended_both
	run ! grep FDSTORE "$dir/manager/told"
	gl run -- true
	guard=$(pids_of guard)
	manager "$dir/second"
	touch "$dir/second/stop"
	eventually grep -qs "MAINPID=$guard" "$dir/second/told"
	test "$(pids_of guard)" = "$guard"
}

@test "the service manager keeps it, too: SIGKILL of both, and a restart, lose nothing" {
	local before

	keeping
	FDSTORE=8 manager "$dir/manager"
	eventually grep -qs "FDSTORE=1 FDPOLL=0 FDNAME=guestlock-1" "$dir/manager/told"
	begin web --disk "$disk"
	for signal in KILL KILL TERM; do
		before=$(pids_of worker)
		# shellcheck disable=SC2046
		kill "-$signal" $(pids_of guard) $(pids_of worker)
		eventually is_over "$before"
		# Whoever asks before the manager has started it again starts one on demand, which knows nothing of that store.
		eventually running
		run -1 gl run --disk "$disk" -- true
		contains "$output" "guest web"
		has_kept guard
		opened 1
	done
	kill -KILL "$(pid_of web)"
	eventually gone web
	gl leave
	grep -v STATUS "$dir/manager/told" | tail -n 1 | grep "FDSTOREREMOVE=1 FDNAME=guestlock-7"
	test "$(tac "$dir/manager/told" | grep -m 1 "FDNAME=guestlock-0")" = "FDSTOREREMOVE=1 FDNAME=guestlock-0 "
	has_not_kept guard
	touch "$dir/manager/stop"
	kill -TERM "$(pids_of guard)"
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
