#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command is killed between any two system calls. No disk gets a second writer, the next command settles what was
# under way, and nothing is left behind.
# What the helpers set; each test is a subshell.
# shellcheck disable=SC2154,SC2030,SC2031,SC2034
load ../cli/helpers
load helpers

uuid=6e6f6e65-0000-4000-8000-0000000000f0

# ---- start ----

long='echo >"$GUESTLOCK_TEST_MARK/ran"; exec sleep 300'
command_of_a_guest=(run --name web --uuid "$uuid" --disk)

ran_or_ended()
{
	test -e "$dir/ran" || no_process
}

started_with_its_locks_or_not_at_all()
{
	eventually ran_or_ended
	if test -e "$dir/ran"; then
		refused "$disk"
		all_reaped
		has web state running
		refused "$disk"
	else
		obtained "$disk"
		all_reaped
		gone web
	fi
}

@test "start: the command is killed" {
	hosts
	trace "$GUESTLOCK" "${command_of_a_guest[@]}" "$disk" -- true
	points "$GUESTLOCK_CONFIG" 'sendto(' <"$dir/trace" >"$dir/points"
	each_kill hosts started_with_its_locks_or_not_at_all \
		"$GUESTLOCK" "${command_of_a_guest[@]}" "$disk" -- /bin/sh -c "$long" <"$dir/points"
}

@test "start: the guest's process is killed before it becomes the guest" {
	hosts
	trace_child "$GUESTLOCK" "${command_of_a_guest[@]}" "$disk" -- /bin/true
	points "" 'execve(' <"$dir/trace" >"$dir/points"
	follow=-f
	each_kill hosts started_with_its_locks_or_not_at_all \
		"$GUESTLOCK" "${command_of_a_guest[@]}" "$disk" -- /bin/sh -c "$long" <"$dir/points"
}

free_and_reaped()
{
	eventually no_process
	obtained "$disk"
	all_reaped
	gone web
}

@test "run: killed after its guest has ended" {
	hosts
	trace "$GUESTLOCK" "${command_of_a_guest[@]}" "$disk" -- true
	points 'sendto(' "" <"$dir/trace" >"$dir/points"
	short=yes
	each_kill hosts free_and_reaped "$GUESTLOCK" "${command_of_a_guest[@]}" "$disk" -- true <"$dir/points"
}

# ---- attach, detach ----

# A guest without a supervisor: what happens to it is up to the commands.
guest()
{
	hosts
	begin web --uuid "$uuid" --disk "$disk" "$@"
	pid=$(pid_of web)
	kill -KILL "$supervisor"
}

guest_with_two()
{
	guest --disk "$dir/second.img"
}

# The second disk belongs to the guest exactly if the record says so.
first_held_second_as_recorded()
{
	refused "$disk"
	if ((turn % 2)); then
		rival "$dir/second.img" 2>/dev/null || :
	fi
	all_reaped
	has web state running
	refused "$disk"
	if test "$(gl show web --json | jq -r '[.guests[0].resources[].name] | join(" ")' | grep -c second)" = 1; then
		refused "$dir/second.img"
	else
		obtained "$dir/second.img"
	fi
}

attached()
{
	first_held_second_as_recorded
	gl attach web --disk "$dir/second.img"
	refused "$dir/second.img"
	refused "$disk"
}

@test "attach is killed" {
	guest
	trace "$GUESTLOCK" attach web --disk "$dir/second.img"
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill guest attached "$GUESTLOCK" attach web --disk "$dir/second.img" <"$dir/points"
}

detached()
{
	first_held_second_as_recorded
	gl detach web --disk "$dir/second.img"
	obtained "$dir/second.img"
	refused "$disk"
}

@test "detach is killed" {
	guest_with_two
	trace "$GUESTLOCK" detach web --disk "$dir/second.img"
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill guest_with_two detached "$GUESTLOCK" detach web --disk "$dir/second.img" <"$dir/points"
}

# ---- pause, resume ----

# Every second time somebody else wants the disk before anything is settled. If he wrote it, the guest stays stopped.
runs_or_stands()
{
	local written=no

	if ! is_stopped "$pid"; then
		refused "$disk"
	elif ((turn % 2)) && rival "$disk" 2>/dev/null; then
		written=yes
	fi
	all_reaped
	if has web state running; then
		test "$written" = no
		goes_on "$pid"
		refused "$disk"
		return
	fi
	has web state paused
	is_stopped "$pid"
	if test "$written" = yes; then
		run ! gl resume web
		is_stopped "$pid"
		obtained "$disk"
	else
		gl resume web
		goes_on "$pid"
		refused "$disk"
	fi
}

@test "pause is killed" {
	guest
	trace "$GUESTLOCK" pause web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill guest runs_or_stands "$GUESTLOCK" pause web <"$dir/points"
}

paused_guest()
{
	guest
	gl pause web >/dev/null
}

@test "resume is killed" {
	paused_guest
	trace "$GUESTLOCK" resume web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill paused_guest runs_or_stands "$GUESTLOCK" resume web <"$dir/points"
}

# ---- migration ----

target_has()
{
	test "$(on_target list --json | jq -r --arg key "$1" '.guests[0][$key]')" = "$2"
}

prepared()
{
	guest
	gl migrate prepare web
}

arriving=(run --incoming --name web --uuid "$uuid" --disk)

both()
{
	prepared
	on_target "${arriving[@]}" "$disk" -- sleep 300 >"$dir/target" 2>&1 3>&- &
	eventually target_has state migrating-in
}

source_completed()
{
	both
	gl migrate complete web
}

target_completed()
{
	both
	on_target migrate complete web
}

# Whatever was killed: nobody else gets in, before it is settled and after.
nobody_else()
{
	refused "$disk"
	all_reaped
	refused "$disk"
}

prepared_again()
{
	nobody_else
	gl migrate prepare web
	refused "$disk"
	gl migrate cancel web
	has web state running
	refused "$disk"
}

@test "migrate prepare is killed" {
	guest
	trace "$GUESTLOCK" migrate prepare web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill guest prepared_again "$GUESTLOCK" migrate prepare web <"$dir/points"
}

only_at_the_target()
{
	nobody_else
	gl migrate complete web --out
	refused "$disk"
	kill -KILL "$pid"
	on_target migrate complete web --in
	target_has state running
	target_has pending ""
	refused "$disk"
}

@test "migrate complete is killed at the source, first" {
	both
	trace "$GUESTLOCK" migrate complete web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill both only_at_the_target "$GUESTLOCK" migrate complete web <"$dir/points"
}

@test "migrate complete is killed at the source, last" {
	target_completed
	trace "$GUESTLOCK" migrate complete web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill target_completed only_at_the_target "$GUESTLOCK" migrate complete web <"$dir/points"
}

target_command=()
at_target()
{
	target_command=("$GUESTLOCK" --config "$dir/other.conf" "$@")
}

@test "migrate complete is killed at the target, first" {
	both
	at_target migrate complete web
	trace "${target_command[@]}"
	all_end
	points "$dir/other.conf" "" <"$dir/trace" >"$dir/points"
	each_kill both only_at_the_target_in "${target_command[@]}" <"$dir/points"
}

# It may run there before the source has completed.
only_at_the_target_in()
{
	nobody_else
	on_target migrate complete web --in
	target_has state running
	only_at_the_target
}

@test "migrate complete is killed at the target, last" {
	source_completed
	at_target migrate complete web
	trace "${target_command[@]}"
	all_end
	points "$dir/other.conf" "" <"$dir/trace" >"$dir/points"
	each_kill source_completed only_at_the_target_in "${target_command[@]}" <"$dir/points"
}

back_at_the_source()
{
	nobody_else
	gl migrate cancel web --out
	has web state running
	goes_on "$pid"
	test "$(gl holders "$disk" --json | jq -r '[.resources[0].holders[].mode] | join(" ")')" = exclusive
	refused "$disk"
}

@test "migrate cancel is killed at the source" {
	prepared
	trace "$GUESTLOCK" migrate cancel web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill prepared back_at_the_source "$GUESTLOCK" migrate cancel web <"$dir/points"
}

target_gave_back()
{
	nobody_else
	on_target migrate cancel web --in
	back_at_the_source
}

@test "migrate cancel is killed at the target" {
	both
	at_target migrate cancel web
	trace "${target_command[@]}"
	all_end
	points "$dir/other.conf" "" <"$dir/trace" >"$dir/points"
	each_kill both target_gave_back "${target_command[@]}" <"$dir/points"
}

# What it started is ended too, if it runs; then the source goes on.
target_never_came()
{
	nobody_else
	eventually ran_or_source_alone
	if test -e "$dir/ran"; then
		on_target migrate cancel web --in
		on_target release web --force
	fi
	back_at_the_source
}

ran_or_source_alone()
{
	test -e "$dir/ran" || test "$(processes)" = "$pid"
}

@test "run --incoming is killed at the target" {
	prepared
	at_target "${arriving[@]}" "$disk" --
	trace "${target_command[@]}" true
	all_end
	points "$dir/other.conf" 'sendto(' <"$dir/trace" >"$dir/points"
	each_kill prepared target_never_came "${target_command[@]}" /bin/sh -c "$long" <"$dir/points"
}

# ---- the dead ----

dead_guest()
{
	guest_with_two
	kill -KILL "$pid"
	eventually has web life dead
}

everything_free()
{
	obtained "$disk" "$dir/second.img"
	all_reaped
	gone web
}

@test "release of a dead guest is killed" {
	dead_guest
	trace "$GUESTLOCK" release web
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill dead_guest everything_free "$GUESTLOCK" release web <"$dir/points"
}

@test "reap of a dead guest is killed" {
	dead_guest
	trace "$GUESTLOCK" reap
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill dead_guest everything_free "$GUESTLOCK" reap <"$dir/points"
}

# Killed before its last write of the record: the operation is pending.
half_attached()
{
	guest
	kill_at pwrite64 "$pending_write" "$GUESTLOCK" attach web --disk "$dir/second.img"
	has web pending attach
}

@test "reap of a guest with an unfinished operation is killed" {
	guest
	trace "$GUESTLOCK" attach web --disk "$dir/second.img"
	all_end
	pending_write=$(grep -c '^pwrite64(' "$dir/trace")
	half_attached
	trace "$GUESTLOCK" reap
	all_end
	points "$GUESTLOCK_CONFIG" "" <"$dir/trace" >"$dir/points"
	each_kill half_attached attached "$GUESTLOCK" reap <"$dir/points"
}
