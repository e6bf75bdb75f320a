#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What becomes of a guest when its backend fails, does not answer, or can do less: see fault.c for the plan.
# What the helpers set, and words that are meant to split; each test is a subshell.
# shellcheck disable=SC2154,SC2086,SC2030,SC2031,SC2046
load ../cli/helpers

uuid=6e6f6e65-0000-4000-8000-00000000000f

setup_file()
{
	local directory folder

	: "${GUESTLOCK_FAULT_PATH:?is the directory of fault.so}"
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
	unset GUESTLOCK_FAULT_PLAN GUESTLOCK_FAULT_WITH GUESTLOCK_FAULT_WITHOUT
}

# write_config FILE RUN_DIR STATE_DIR [LINE...]: as that of the helpers, for the failing backend.
write_config()
{
	local file=$1 run_dir=$2 state_dir=$3

	shift 3
	export GUESTLOCK_FAULT_PLAN=$dir/plan
	printf '%s\n' "[guestlock]" "backend = fault" "run_dir = $run_dir" "state_dir = $state_dir" \
		"acquire_timeout = 1" "$@" "[fault]" "lock_dir = $dir/locks" >"$file"
}

# Nothing goes wrong at the other host.
other_host()
{
	test -e "$dir/other.conf" || write_config "$dir/other.conf" "$dir/other-run" "$dir/state"
	env -u GUESTLOCK_FAULT_PLAN "$GUESTLOCK" --config "$dir/other.conf" "$@"
}

holder()
{
	other_host holders "$1" --json | jq -r '[.resources[].holders[].name] | join(",")'
}

# plan LINE...: what goes wrong from now on.
plan()
{
	# At once: a call that is under way reads it again and again.
	printf '%s\n' "$@" >"$dir/plan.new"
	mv "$dir/plan.new" "$dir/plan"
}

no_plan()
{
	: >"$dir/plan"
}

# Everything that was planned with a count did happen.
plan_used_up()
{
	test ! -s "$dir/plan"
}

other_gets()
{
	run -0 other_host run --disk "$1" -- true
}

other_refused()
{
	run -1 other_host run --disk "$1" -- true
}

in_state()
{
	test "$(awk '/^State:/ { print $2 }' "/proc/$1/status")" = "$2"
}

disks_of()
{
	gl show "$1" --json | jq -r '[.guests[0].resources[] | select(.type == "disk")] | length'
}

# refused STATUS COMMAND...: with a message.
refused()
{
	local status_wanted=$1

	shift
	run "-$status_wanted" --separate-stderr gl "$@"
	is_message "$stderr"
}

# What each failure of the backend is to the user.
failures="stopped=69 not-joined=69 unsafe=69 io=74 denied=77 cannot-create=73"
some_failures="stopped=69 io=74"

# ---- Start ----

@test "start: a backend that fails is told with the disk and the reason, and nothing is taken" {
	for failure in $failures; do
		plan "acquire fail ${failure%=*}"
		refused "${failure#*=}" run --name web --disk "$disk" -- touch "$dir/ran"
		contains "$stderr" "$disk"
		contains "$stderr" "says ${failure%=*}"
		gone web
	done
	test ! -e "$dir/ran"
	other_gets "$disk"
}

@test "start: a bind that fails" {
	for failure in $some_failures; do
		plan "bind fail ${failure%=*}"
		refused "${failure#*=}" run --name web --disk "$disk" -- touch "$dir/ran"
		contains "$stderr" "$disk"
		contains "$stderr" "says ${failure%=*}"
		gone web
	done
	test ! -e "$dir/ran"
	other_gets "$disk"
}

@test "start: a host that leaves at this moment joins again for it" {
	local call

	for call in bind acquire; do
		plan "$call fail not-joined 2"
		run -0 gl run --disk "$disk" -- touch "$dir/ran"
		plan_used_up
		rm "$dir/ran"
	done
	nothing_taken
}

@test "a backend that does not know the guest's process: it is dead, or has lost what ties its locks to it" {
	begin web --disk "$disk"
	plan "acquire fail dead"
	refused 69 attach web --disk "$dir/second.img"
	contains "$stderr" "says dead"
	has web state running
	no_plan
	# It ends while the backend is asked.
	plan "acquire fail again"
	gl attach web --disk "$dir/second.img" >"$dir/said" 2>&1 3>&- &
	sleep 0.3
	kill -KILL "$(pid_of web)"
	plan "acquire fail dead"
	status=0
	wait $! || status=$?
	[[ $status == 66 ]] || {
		echo "$status: $(cat "$dir/said")"
		false
	}
	no_plan
	gone web
	nothing_taken
}

@test "start: a backend that cannot be joined" {
	for failure in $some_failures; do
		plan "join fail ${failure%=*}"
		run ! --separate-stderr gl run --name web --disk "$disk" -- touch "$dir/ran"
		is_message "$stderr"
		contains "$stderr" "says ${failure%=*}"
		((status == ${failure#*=})) || {
			echo "$failure: $status"
			return 1
		}
	done
	test ! -e "$dir/ran"
	no_plan
	run -0 gl list
	test -z "$output"
	other_gets "$disk"
}

@test "start: what was granted without an answer is found, and the guest runs" {
	plan "acquire lose 1"
	begin web --disk "$disk"
	plan_used_up
	has web pending ""
	test "$(holder "$disk")" = web
	other_refused "$disk"
}

@test "start: what was not granted and had no answer is no start" {
	plan "acquire drop 1"
	refused 75 run --name web --disk "$disk" -- touch "$dir/ran"
	plan_used_up
	test ! -e "$dir/ran"
	gone web
	other_gets "$disk"
}

@test "start: a slow answer is waited for, a late one is found" {
	for delay in 300 60000; do
		plan "acquire delay $delay 1"
		before=$(date +%s%N)
		run -7 gl run --disk "$disk" -- sh -c 'exit 7'
		plan_used_up
		took=$((($(date +%s%N) - before) / 1000000))
		((took >= 300 && took < 20000))
	done
	nothing_taken
}

@test "start: nothing answers any more; what is left is settled once it does" {
	plan "acquire lose" "inquire fail unknown" "release fail io"
	refused 75 run --name web --disk "$disk" -- touch "$dir/ran"
	test ! -e "$dir/ran"
	has web life dead
	no_plan
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.released, .failed, .orphans]' <<<"$output")" = "[1,0,0]"
	gone web
	nothing_taken
	other_gets "$disk"
}

@test "start: AGAIN until the deadline is 75, until before it is nothing" {
	plan "acquire fail again 3"
	run -0 gl run --disk "$disk" -- true
	plan_used_up
	plan "acquire fail again"
	refused 75 run --name web --disk "$disk" -- touch "$dir/ran"
	contains "$stderr" "$disk"
	gone web
	other_gets "$disk"
}

# ---- Attach and detach ----

@test "attach: a failure leaves what was held, and nothing more" {
	begin web --disk "$disk"
	for failure in $some_failures; do
		plan "acquire fail ${failure%=*}"
		refused "${failure#*=}" attach web --disk "$dir/second.img"
		contains "$stderr" "$dir/second.img"
		contains "$stderr" "says ${failure%=*}"
		has web pending ""
	done
	test "$(disks_of web)" = 1
	other_gets "$dir/second.img"
	other_refused "$disk"
	no_plan
	run -0 gl attach web --disk "$dir/second.img"
	other_refused "$dir/second.img"
}

@test "attach: lost answers and lost requests" {
	begin web --disk "$disk"
	plan "acquire drop 1"
	refused 75 attach web --disk "$dir/second.img"
	plan_used_up
	test "$(disks_of web)" = 1
	other_gets "$dir/second.img"
	plan "acquire lose 1"
	run -0 gl attach web --disk "$dir/second.img"
	plan_used_up
	has web pending ""
	test "$(holder "$dir/second.img")" = web
	other_refused "$dir/second.img"
	has web state running
}

@test "attach: nothing answers; the next command settles it" {
	begin web --disk "$disk"
	plan "acquire lose 1" "inquire fail unknown"
	refused 75 attach web --disk "$dir/second.img"
	has web pending attach
	other_refused "$dir/second.img"
	other_refused "$disk"
	refused 75 attach web --disk "$dir/third.img"
	has web pending attach
	other_gets "$dir/third.img"
	no_plan
	run -0 gl attach web --disk "$dir/third.img"
	has web pending ""
	test "$(holder "$dir/third.img")" = web
	other_gets "$dir/second.img"
	other_refused "$disk"
}

@test "attach: nothing answers; reap settles it" {
	begin web --disk "$disk"
	plan "acquire lose 1" "inquire fail stopped"
	refused 75 attach web --disk "$dir/second.img"
	run ! --separate-stderr gl reap
	is_message "$stderr"
	has web pending attach
	no_plan
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.settled, .alive, .failed]' <<<"$output")" = "[1,1,0]"
	has web pending ""
	other_gets "$dir/second.img"
	other_refused "$disk"
	test "$(disks_of web)" = 1
}

@test "detach: a failure keeps the disk; lost requests are made again" {
	begin web --disk "$disk" --disk "$dir/second.img"
	for failure in $some_failures; do
		plan "release fail ${failure%=*}"
		refused "${failure#*=}" detach web --disk "$dir/second.img"
		contains "$stderr" "$dir/second.img"
		other_refused "$dir/second.img"
	done
	plan "release drop 1"
	run -0 gl detach web --disk "$dir/second.img"
	plan_used_up
	other_gets "$dir/second.img"
	plan "release lose 1"
	run -0 gl detach web --disk "$disk"
	plan_used_up
	has web pending ""
	test "$(disks_of web)" = 0
	other_gets "$disk"
}

@test "detach: nothing answers; it is finished later" {
	begin web --disk "$disk" --disk "$dir/second.img"
	plan "release drop 1" "inquire fail unknown"
	refused 75 detach web --disk "$dir/second.img"
	has web pending detach
	other_refused "$dir/second.img"
	no_plan
	run -0 gl reap
	has web pending ""
	other_gets "$dir/second.img"
	other_refused "$disk"
}

# ---- Pause and resume ----

@test "pause: a failure lets the guest run on under its locks" {
	begin web --disk "$disk"
	for failure in $some_failures; do
		plan "release fail ${failure%=*}"
		refused "${failure#*=}" pause web
		contains "$stderr" "$disk"
		has web state running
		eventually in_state "$(pid_of web)" S
		other_refused "$disk"
	done
	no_plan
	run -0 gl pause web
	has web state paused
}

@test "pause: lost answers and lost requests" {
	for fault in drop lose "delay 300" "delay 3000"; do
		begin web --disk "$disk"
		plan "release $fault 1"
		state=$(gl pause web)
		plan_used_up
		has web state paused
		has web pending ""
		test -z "$(holder "$disk")"
		run -0 gl resume web --state "$state"
		kill -KILL "$(pid_of web)"
		ended "$supervisor" 137
	done
}

@test "pause: nothing answers; the guest stays stopped until it is settled" {
	begin web --disk "$disk"
	plan "release drop 1" "inquire fail unknown"
	refused 75 pause web
	has web pending pause
	in_state "$(pid_of web)" T
	other_refused "$disk"
	no_plan
	state=$(gl pause web)
	has web state paused
	has web pending ""
	test -z "$(holder "$disk")"
	in_state "$(pid_of web)" T
	run -0 gl resume web --state "$state"
	test "$(holder "$disk")" = web
}

@test "resume: a backend that is down refuses, the guest stays paused, and resumes later" {
	begin web --disk "$disk"
	state=$(gl pause web)
	for op in join acquire; do
		for failure in $some_failures; do
			plan "$op fail ${failure%=*}"
			run ! --separate-stderr gl resume web --state "$state"
			is_message "$stderr"
			contains "$stderr" "says ${failure%=*}"
			((status == ${failure#*=}))
			has web state paused
			has web pending ""
			in_state "$(pid_of web)" T
			test -z "$(holder "$disk")"
		done
	done
	no_plan
	run -0 gl resume web --state "$state"
	eventually in_state "$(pid_of web)" S
	other_refused "$disk"
}

@test "resume: lost answers and lost requests" {
	begin web --disk "$disk"
	for fault in drop lose "delay 300" "delay 3000"; do
		state=$(gl pause web)
		plan "acquire $fault 1"
		if test "$fault" = drop; then
			refused 75 resume web --state "$state"
			has web state paused
			in_state "$(pid_of web)" T
			test -z "$(holder "$disk")"
		fi
		run -0 gl resume web --state "$state"
		plan_used_up
		has web state running
		has web pending ""
		eventually in_state "$(pid_of web)" S
		other_refused "$disk"
	done
}

@test "resume: nothing answers; it is settled later, and nobody wrote" {
	begin web --disk "$disk"
	state=$(gl pause web)
	plan "acquire lose 1" "inquire fail unknown"
	refused 75 resume web --state "$state"
	has web pending resume
	in_state "$(pid_of web)" T
	other_refused "$disk"
	no_plan
	run -0 gl reap
	has web state paused
	has web pending ""
	in_state "$(pid_of web)" T
	test -z "$(holder "$disk")"
	run -0 gl resume web --state "$state"
	has web state running
}

@test "resume: granted without an answer after another guest ran is stale all the same" {
	begin web --disk "$disk"
	state=$(gl pause web)
	other_gets "$disk"
	plan "acquire lose 1"
	run ! gl resume web --state "$state"
	has web state paused
	in_state "$(pid_of web)" T
	no_plan
	run -65 gl resume web --state "$state"
	other_gets "$disk"
}

# ---- Migration ----

# exclusive: nobody but the guest of this host has the disk, and it has it alone.
exclusive()
{
	test "$(other_host holders "$disk" --json | jq -r '[.resources[].holders[].mode] | join(",")')" = exclusive
}

target()
{
	other_host run --incoming --uuid "$uuid" --name web --disk "$disk" -- sleep 300 >"$dir/target" 2>&1 3>&- &
	eventually target_has state migrating-in
}

target_has()
{
	test "$(other_host list --json | jq -r --arg key "$1" '.guests[0][$key]')" = "$2"
}

@test "migrate prepare: a failure keeps everything exclusive" {
	begin web --uuid "$uuid" --disk "$disk"
	for failure in $some_failures; do
		plan "convert fail ${failure%=*}"
		refused "${failure#*=}" migrate prepare web
		contains "$stderr" "$disk"
		has web state running
		has web pending ""
		exclusive
	done
	plan "convert drop 1"
	refused 75 migrate prepare web
	has web state running
	exclusive
	plan "convert lose 1"
	run -0 gl migrate prepare web
	plan_used_up
	has web state migrating-out
	has web pending ""
	no_plan
	target
}

@test "migrate prepare: nothing answers; settled later" {
	begin web --uuid "$uuid" --disk "$disk"
	plan "convert lose 1" "inquire fail unknown"
	refused 75 migrate prepare web
	has web pending prepare-migrate
	other_refused "$disk"
	no_plan
	run -0 gl reap
	has web state running
	has web pending ""
	exclusive
}

# parked: the guest is paused, holds nothing, and nothing is under way.
parked()
{
	has web state paused
	has web pending ""
	test -z "$(holder "$disk")"
}

@test "migrate prepare of a paused guest: a failure leaves it paused, with what it was paused with" {
	begin web --uuid "$uuid" --disk "$disk"
	state=$(gl pause web)
	for failure in $some_failures; do
		plan "acquire fail ${failure%=*}"
		refused "${failure#*=}" migrate prepare web
		parked
	done
	plan "acquire drop 1"
	refused 75 migrate prepare web
	parked
	plan "acquire lose 1" "inquire fail unknown"
	refused 75 migrate prepare web
	has web pending prepare-migrate
	other_refused "$disk"
	no_plan
	run -0 gl reap
	parked
	plan "acquire lose 1"
	run -0 gl migrate prepare web
	plan_used_up
	has web state migrating-out
	target
	other_host migrate cancel web
	plan "release fail io"
	refused 74 migrate cancel web
	exclusive
	no_plan
	run -0 gl migrate cancel web --out
	parked
	run -0 gl resume web --state "$state"
}

@test "migrate prepare of a paused guest: what was attached cannot be handed over, and all of it is given back" {
	begin web --uuid "$uuid" --disk "$disk"
	gl pause web
	gl attach web --disk "$dir/second.img"
	plan "convert fail io 1"
	refused 74 migrate prepare web
	plan_used_up
	parked
	test -z "$(holder "$dir/second.img")"
	gl attach web --disk "$dir/second.img"
	plan "convert fail io"
	refused 74 migrate prepare web
	other_refused "$disk"
	other_refused "$dir/second.img"
	no_plan
	run -0 gl migrate prepare web
	run -0 gl migrate cancel web
	parked
	run -0 gl resume web
}

@test "migrate complete: failures at the target, which tries again" {
	begin web --uuid "$uuid" --disk "$disk"
	gl migrate prepare web
	target
	gl migrate complete web
	# The target under the plan, which is not the other host's otherwise.
	incoming=(env GUESTLOCK_FAULT_PLAN="$dir/plan" "$GUESTLOCK" --config "$dir/other.conf" migrate complete web)
	for failure in $some_failures; do
		plan "convert fail ${failure%=*}"
		run "-${failure#*=}" --separate-stderr "${incoming[@]}"
		is_message "$stderr"
		target_has state migrating-in
	done
	plan "convert lose 1"
	run -0 "${incoming[@]}"
	target_has state running
	exclusive
}

@test "migrate complete: nothing answers at the target; settled later" {
	begin web --uuid "$uuid" --disk "$disk"
	gl migrate prepare web
	target
	gl migrate complete web
	incoming=(env GUESTLOCK_FAULT_PLAN="$dir/plan" "$GUESTLOCK" --config "$dir/other.conf" migrate complete web)
	plan "convert drop 1" "inquire fail unknown"
	run -75 --separate-stderr "${incoming[@]}"
	is_message "$stderr"
	target_has pending complete-in
	no_plan
	run -1 gl -c "$GUESTLOCK_CONFIG" run --disk "$disk" -- true
	run -0 "${incoming[@]}"
	target_has state running
	target_has pending ""
	exclusive
}

@test "migrate complete and cancel: failures at the source" {
	begin web --uuid "$uuid" --disk "$disk"
	gl migrate prepare web
	plan "convert fail io"
	refused 74 migrate cancel web
	has web state migrating-out
	plan "convert drop 1"
	run -0 gl migrate cancel web
	plan_used_up
	has web state running
	exclusive
	gl migrate prepare web
	target
	plan "release fail stopped"
	refused 69 migrate complete web
	has web state migrating-out
	plan "release lose 1"
	run -0 gl migrate complete web
	plan_used_up
	run -0 other_host migrate complete web
	exclusive
	target_has state running
}

# ---- The end of a guest ----

@test "a release that fails at a guest's death stays recorded, and the next reap makes it" {
	begin web --disk "$disk"
	plan "release fail io"
	kill -KILL "$(pid_of web)"
	ended "$supervisor" 137
	is_message "$(cat "$dir/web.err")"
	has web life dead
	run ! --separate-stderr gl reap --json
	test "$(jq -c '[.released, .failed]' <<<"$output")" = "[0,1]"
	is_message "$stderr"
	has web life dead
	no_plan
	run -0 --separate-stderr gl reap --json
	test "$(jq -c '[.released, .failed]' <<<"$output")" = "[1,0]"
	gone web
	other_gets "$disk"
}

@test "a release that is lost at a guest's death" {
	for fault in drop lose; do
		begin web --disk "$disk"
		plan "release $fault 1"
		kill -KILL "$(pid_of web)"
		ended "$supervisor" 137
		plan_used_up
		gone web
		nothing_taken
	done
}

@test "reap: a backend that cannot say what it holds" {
	begin web --disk "$disk"
	plan "enumerate fail stopped"
	refused 69 reap
	contains "$stderr" "says stopped"
	has web state running
	plan "join fail io"
	refused 74 reap
	no_plan
	run -0 gl reap
	other_refused "$disk"
}

@test "looking does not need the backend, and who holds is not guessed" {
	begin web --disk "$disk"
	plan "inquire fail unknown" "join fail stopped"
	run -0 gl list
	contains "$output" web
	run -0 gl show web
	contains "$output" "$disk"
	run ! --separate-stderr gl holders "$disk"
	is_message "$stderr"
}

@test "reap --follow: a dead guest whose lock could not be given back is tried again soon" {
	begin web --disk "$disk"
	pid=$(pid_of web)
	kill -KILL "$supervisor"
	wait "$supervisor" || :
	plan "release fail io 2"
	"$GUESTLOCK" reap --follow >"$dir/follow" 2>&1 3>&- &
	follower=$!
	sleep 0.3
	kill -KILL "$pid"
	eventually plan_used_up
	eventually gone web
	other_gets "$disk"
	kill -TERM "$follower"
	ended "$follower" 0
}

# ---- Backends that can do less ----

@test "without handover: every step of a migration is refused, with what to do" {
	export GUESTLOCK_FAULT_WITHOUT=handover
	begin web --uuid "$uuid" --disk "$disk"
	for step in prepare "complete --in" "complete --out" "cancel --in" "cancel --out" complete cancel; do
		refused 69 migrate $step web
		contains "$stderr" pause
		contains "$stderr" resume
	done
	run -69 --separate-stderr other_host run --incoming --uuid "$uuid" --disk "$disk" -- touch "$dir/ran"
	contains "$stderr" pause
	test ! -e "$dir/ran"
	has web state running
	exclusive
}

@test "without hotplug: attach and detach are refused" {
	export GUESTLOCK_FAULT_WITHOUT=hotplug
	begin web --disk "$disk"
	refused 69 attach web --disk "$dir/second.img"
	refused 69 detach web --disk "$disk"
	other_gets "$dir/second.img"
	other_refused "$disk"
	state=$(gl pause web)
	run -0 gl resume web --state "$state"
}

@test "without the cluster: list and graph of it are refused, holders need it not" {
	export GUESTLOCK_FAULT_WITHOUT=cluster
	begin web --disk "$disk"
	refused 69 list --cluster
	contains "$stderr" "ask on each host"
	refused 69 graph --cluster
	run -0 --separate-stderr gl holders "$disk" --json
	test -z "$stderr"
	test "$(jq -c '[.resources[0].holders[0].name, .silent]' <<<"$output")" = '["web",[]]'
}

@test "a host that does not answer is named, and the others are shown" {
	export GUESTLOCK_FAULT_SILENT='far "away"'
	begin web --disk "$disk"
	for command in "list --cluster" "graph --cluster" "holders $disk"; do
		run -0 --separate-stderr gl $command
		contains "$output" web
		is_message "$stderr"
		contains "$stderr" 'far "away"'
		contains "$stderr" "no answer in time"
	done
	for command in "list --cluster" "holders $disk"; do
		run -0 --separate-stderr gl $command --json
		test "$(jq -c .silent <<<"$output")" = '[{"host":"far \"away\"","reason":"no answer in time"}]'
	done
	run -0 --separate-stderr gl graph --cluster
	contains "$output" 'label="far \"away\"";'
}

@test "who holds what on other hosts cannot be told: the reason, and holders only says so" {
	begin web --disk "$disk"
	plan "survey fail stopped"
	refused 69 list --cluster
	run -0 --separate-stderr gl holders "$disk"
	contains "$output" web
	contains "$stderr" "not known whether all hosts"
}

@test "without epochs: a resume is unproven, unless that is not checked" {
	export GUESTLOCK_FAULT_WITHOUT=epoch
	begin web --disk "$disk"
	state=$(gl pause web)
	refused 65 resume web --state "$state"
	contains "$stderr" resume_check
	refused 65 resume web
	has web state paused
	test -z "$(holder "$disk")"
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "resume_check = off"
	run -0 gl resume web --state "$state"
	has web state running
	other_refused "$disk"
}

@test "without adoption: a process that runs already is refused" {
	export GUESTLOCK_FAULT_WITHOUT=adopt
	sleep 300 3>&- &
	refused 69 adopt $! --disk "$disk"
	other_gets "$disk"
}

@test "without shared locks: shared is exclusive" {
	export GUESTLOCK_FAULT_WITHOUT=shared
	begin web --disk "$disk,shared"
	exclusive
	run -1 other_host run --disk "$disk,shared" -- true
}

@test "one lock per guest: the uuid counts, not the disks" {
	export GUESTLOCK_FAULT_WITH=guest-only
	run -0 gl run --disk "$dir/missing" -- true
	begin web --uuid "$uuid" --disk "$disk"
	begin other --disk "$disk"
	refused 1 run --uuid "$uuid" --disk "$dir/second.img" -- true
	run -1 other_host run --uuid "$uuid" --disk "$dir/second.img" -- true
	test "$(disks_of web)" = 0
	state=$(gl pause web)
	run -0 gl resume web --state "$state"
	gl pause web
	run -0 other_host run --uuid "$uuid" -- true
	refused 65 resume web --state "$state"
}

@test "a disk that only this host calls so is not locked for all hosts, unless that is allowed" {
	local node="" path
	for path in /sys/block/*; do
		test -b "/dev/${path##*/}" || continue
		! gl check "/dev/${path##*/}" --json | jq -e '.resources[0].identity // "" | startswith("device:")' >/dev/null ||
			node=/dev/${path##*/}
	done
	test -n "$node" || skip "every disk has an identity here"
	begin other
	run -0 gl run --disk "$node" -- true
	run -0 gl check "$node" "$disk"
	[[ $output != *"other host"* ]]
	export GUESTLOCK_FAULT_WITH=hosts
	run -0 gl check "$node" "$disk"
	contains "$output" "allow_local_names"
	contains "$output" "other hosts know a file by its path"
	refused 69 run --disk "$node" -- touch "$dir/ran"
	contains "$stderr" "allow_local_names"
	refused 69 attach other --disk "$node"
	run -0 gl run --disk "$disk" -- true
	test ! -e "$dir/ran"
	sed -i '/^\[guestlock\]/a allow_local_names = yes' "$GUESTLOCK_CONFIG"
	run -0 gl run --disk "$node" -- true
}

@test "with other hosts a partition has its whole disk shared, as long as a guest has one" {
	export GUESTLOCK_FAULT_WITH=hosts
	image "$dir/img"
	loop_of "$dir/img"
	begin web --disk "${loop}p1"
	begin other --disk "${loop}p2"
	held() { gl holders "$dir/img" --json | jq -r '[.resources[0].holders[] | "\(.name) \(.mode)"] | sort | join(",")'; }
	test "$(held)" = "other shared,web shared"
	test "$(gl holders "${loop}p1" --json | jq -r '.resources[0].holders[0].mode')" = exclusive
	gl detach other --disk "${loop}p2"
	test "$(held)" = "web shared"
	gl attach web --disk "${loop}p2"
	gl detach web --disk "${loop}p1"
	test "$(held)" = "web shared"
	gl pause web
	test -z "$(held)"
	gl resume web
	test "$(held)" = "web shared"
	gl detach web --disk "${loop}p2"
	test -z "$(held)"
	# Named as a disk, it is taken as that.
	gl attach web --disk "${loop}p1"
	refused 65 attach web --disk "$dir/img"
	gl detach web --disk "${loop}p1"
	gl attach web --disk "$dir/img"
	gl attach web --disk "${loop}p1"
	test "$(held)" = "web exclusive"
}

@test "what a backend can do is shown" {
	export GUESTLOCK_FAULT_WITHOUT=handover,epoch GUESTLOCK_FAULT_WITH=guest-only
	run -0 gl backends --json
	test "$(jq -r '[.backends[] | select(.name == "fault") | .capabilities[]] | sort | join(" ")' \
		<<<"$output")" = "adopt cluster guest-only hotplug shared unprovision"
	plan "probe fail unsafe"
	run ! --separate-stderr gl check
	contains "$output$stderr" "says unsafe"
}

# ---- What else must be survived ----

@test "a hard link and a bind mount of a disk are refused while its guest lives, and no longer" {
	ln "$disk" "$dir/hard.img"
	aliases=("$dir/hard.img")
	touch "$dir/small"
	if mount --bind "$disk" "$dir/small" 2>/dev/null; then
		aliases+=("$dir/small")
	fi
	begin web --disk "$disk"
	begin other
	for alias in "${aliases[@]}"; do
		refused 1 run --disk "$alias" -- touch "$dir/ran"
		contains "$stderr" "$disk"
		refused 1 attach other --disk "$alias"
		test -z "$(holder "$alias")"
	done
	test ! -e "$dir/ran"
	kill -KILL "$(pid_of web)"
	eventually gone web
	for alias in "${aliases[@]}"; do
		run -0 gl run --disk "$alias" -- true
	done
}

@test "9, 20 and 100 disks: all of them are held, and all are free at the end" {
	for count in 9 20 100; do
		options=()
		for ((i = 0; i < count; i++)); do
			truncate -s 4K "$dir/many-$i"
			options+=(--disk "$dir/many-$i")
		done
		begin many "${options[@]}"
		test "$(disks_of many)" = "$count"
		for i in 0 7 8 $((count - 1)); do
			other_refused "$dir/many-$i"
		done
		state=$(gl pause many)
		run -0 gl resume many --state "$state"
		kill -KILL "$(pid_of many)"
		ended "$supervisor" 137
		gone many
		run -0 other_host run "${options[@]}" -- true
	done
}

@test "whichever of several disks is busy: the others are free afterwards" {
	options=()
	for i in 1 2 3 4 5; do
		truncate -s 4K "$dir/disk-$i"
		options+=(--disk "$dir/disk-$i")
	done
	for busy in 1 3 5; do
		begin owner --disk "$dir/disk-$busy"
		refused 1 run "${options[@]}" -- touch "$dir/ran"
		contains "$stderr" "$dir/disk-$busy"
		contains "$stderr" owner
		for k in 1 2 3 4 5; do
			test "$(holder "$dir/disk-$k")" = "$(test "$k" != "$busy" || echo owner)"
		done
		kill -KILL "$(pid_of owner)"
		ended "$supervisor" 137
	done
	test ! -e "$dir/ran"
	run -0 gl run "${options[@]}" -- true
}

@test "records deleted with guests running: reported, and their locks kept" {
	begin web --disk "$disk"
	begin other --disk "$dir/second.img"
	rm "$dir"/run/guests/*-*
	run -0 --separate-stderr gl reap --json
	test "$(jq '.orphans >= 2' <<<"$output")" = true
	is_message "$stderr"
	for path in "$disk" "$dir/second.img"; do
		other_refused "$path"
		refused 1 run --disk "$path" -- true
	done
}
