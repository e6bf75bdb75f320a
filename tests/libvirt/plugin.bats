#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The plugin, called as libvirt calls it in each thing that can happen to a guest, on two hosts. After each call: what
# is held, and whether another guest, on the other host, gets it.
# shellcheck disable=SC2154
load ../cli/helpers
load plugin

setup()
{
	cli_setup
	plugin_paths
	base=$dir/base.img
	truncate -s 64K "$base"
}

# two_hosts: alpha with guest a of two disks, and beta with b, that wants the first of them.
two_hosts()
{
	host alpha
	host beta
	ok alpha domain a "$disk" "$dir/second.img"
	ok beta domain b "$disk"
}

# taken, free_again: by or from beta's guest.
taken()
{
	no beta start b
	contains "$reply" "resource busy"
}

free_again()
{
	ok beta start b
	ok beta kill b
	on beta reap
}

both_held="disk.img:held:exclusive second.img:held:exclusive"
both_parked="disk.img:parked:none second.img:parked:none"

@test "the plugin exports one name" {
	test "$(nm -D --defined-only "$plugin" | awk '{ print $NF }')" = virLockDriverImpl
}

# ---- Loading ----

@test "init: another major version of the interface is refused, a later minor is not" {
	host_start alpha
	ok alpha symbols "$symbols"
	ok alpha plugin guestlock "$plugin"
	no alpha init - 2000000
	contains "$reply" "libvirt has version 2.0.0 of the lock manager interface"
	no alpha init - 999999
	ok alpha init - 1001000
	ok alpha deinit
	ok alpha unload
}

@test "init: a wrong configuration fails it and says where" {
	write_config "$dir/wrong-guestlock.conf" "$dir/run" "$dir/state" "no_such_key = 1"
	write_config "$dir/module-guestlock.conf" "$dir/run" "$dir/state" "backend = nosuch"
	unset GUESTLOCK_CONFIG
	host_start alpha
	ok alpha symbols "$symbols"
	ok alpha plugin guestlock "$plugin"
	no alpha init "$dir/wrong-guestlock.conf"
	contains "$reply" "wrong-guestlock.conf:4"
	contains "$reply" "domain=42 code=67"
	no alpha init "$dir/wrong-guestlock.conf"
	no alpha init "$dir/module-guestlock.conf"
	contains "$reply" "nosuch"
	ok alpha unload
}

@test "init: twice with the same file, deinit twice, unloaded, loaded again" {
	host_start alpha
	ok alpha symbols "$symbols"
	ok alpha plugin guestlock "$plugin"
	ok alpha init "$dir/qemu-guestlock.conf"
	ok alpha init "$dir/qemu-guestlock.conf"
	ok alpha deinit
	ok alpha domain a "$disk"
	ok alpha start a
	ok alpha deinit
	no alpha inquire a
	contains "$reply" "not initialised"
	ok alpha unload
	is alpha a running disk.img:held:exclusive
	ok alpha plugin guestlock "$plugin"
	ok alpha init "$dir/qemu-guestlock.conf"
	ok alpha inquire a
	ok alpha kill a
	ok alpha deinit
	ok alpha unload
	host_end alpha
}

@test "two configurations: the uri tells which, and without it the record does" {
	write_config "$dir/qemu-guestlock.conf" "$dir/qemu-run" "$dir/state"
	write_config "$dir/libxl-guestlock.conf" "$dir/xen-run" "$dir/state"
	unset GUESTLOCK_CONFIG
	host_start alpha
	ok alpha symbols "$symbols"
	ok alpha plugin guestlock "$plugin"
	ok alpha init "$dir/qemu-guestlock.conf"
	ok alpha init "$dir/libxl-guestlock.conf"
	ok alpha domain q uri=qemu:///system "$disk"
	ok alpha domain x uri=xen:///system "$dir/second.img"
	ok alpha start q
	ok alpha start x
	"$GUESTLOCK" --config "$dir/qemu-guestlock.conf" --quiet list --json | jq -e '[.guests[].name] == ["q"]'
	"$GUESTLOCK" --config "$dir/libxl-guestlock.conf" --quiet list --json | jq -e '[.guests[].name] == ["x"]'
	ok alpha suspend q
	contains "$reply" "state=gl1:"
	ok alpha suspend x
	contains "$reply" "state=gl1:"
	"$GUESTLOCK" --config "$dir/libxl-guestlock.conf" --quiet list --json | jq -e '[.guests[].state] == ["paused"]'
	ok alpha resume x
	ok alpha resume q
	ok alpha inquire x
	ok alpha deinit
	ok alpha deinit
	ok alpha unload
}

# ---- Starting ----

@test "start: everything is held; another guest on another host is refused and told who holds it" {
	two_hosts
	ok alpha start a
	pid=$(pid_of_reply)
	is alpha a running $both_held
	no beta start b
	contains "$reply" "at=register domain=42 code=87"
	contains "$reply" "$disk"
	contains "$reply" "guest a ("
	contains "$reply" "on $(uname -n), pid $pid, since 20"
	is beta b gone
	ok alpha kill a
	free_again
}

@test "start: refused in the daemon, when it was taken between the two calls" {
	two_hosts
	ok beta register b
	ok alpha start a
	no beta resume b state=none
	contains "$reply" "at=acquire domain=42 code=87"
	contains "$reply" "guest a ("
	ok beta kill b
}

@test "start: the same guest twice on one host, and on two" {
	host alpha
	host beta
	ok alpha domain a "$disk"
	ok beta domain a "$disk"
	ok alpha start a
	no alpha start a
	contains "$reply" "a guest of this uuid lives here already"
	no beta start a
	contains "$reply" "resource busy"
}

@test "start: without any resource" {
	host alpha
	host beta
	ok alpha domain a
	ok beta domain a
	ok alpha start a
	is alpha a running ""
	no beta start a
	ok alpha suspend a
	ok beta start a
}

@test "start paused: bound, nothing held; the first resume takes everything" {
	two_hosts
	ok alpha register a
	is alpha a bound "disk.img:none:none second.img:none:none"
	free_again
	ok alpha resume a state=none
	is alpha a running $both_held
	taken
}

@test "start paused: a disk that is attached and one that is detached before the first resume" {
	two_hosts
	ok alpha register a
	ok alpha attach a "$dir/third.img"
	is alpha a bound "disk.img:none:none second.img:none:none third.img:held:exclusive"
	ok alpha detach a "$dir/second.img"
	ok alpha resume a state=none
	is alpha a running "disk.img:held:exclusive third.img:held:exclusive"
}

@test "destroy: no call comes, and the next start finds it free" {
	two_hosts
	ok alpha start a
	ok alpha kill a
	ok beta start b
	no alpha start a
	contains "$reply" "guest b ("
	ok beta kill b
	ok alpha start a
}

@test "destroy and start at once: the former life is settled" {
	host alpha
	ok alpha domain a "$disk"
	for _ in 1 2 3; do
		ok alpha start a
		ok alpha kill a
	done
	ok alpha start a
	is alpha a running disk.img:held:exclusive
}

@test "readonly and shared disks" {
	host alpha
	host beta
	ok alpha domain a "$disk,ro" "$dir/second.img,shared"
	ok beta domain b "$disk" "$dir/third.img"
	ok alpha start a
	is alpha a running second.img:held:shared
	ok beta start b
	ok beta domain c "$dir/second.img"
	no beta start c
	ok beta domain c "$dir/second.img,shared"
	ok beta start c
}

@test "leases: by lockspace, key, path and offset" {
	host alpha
	host beta
	ok alpha domain a "lease:one,lockspace=space,path=$base,offset=0"
	ok beta domain b "lease:one,lockspace=space,path=$base,offset=0"
	ok beta domain c "lease:two,lockspace=space,path=$base,offset=0"
	ok alpha start a
	no beta start b
	contains "$reply" "resource busy"
	ok beta start c
}

@test "a relative disk path and an unknown kind of resource are refused in words" {
	host alpha
	ok alpha domain a "disk.img"
	no alpha start a
	contains "$reply" "disk.img"
	contains "$reply" "absolute"
}

@test "nine disks, and a hundred" {
	local list=() i

	for ((i = 0; i < 50; i++)); do
		truncate -s 64K "$dir/many-$i.img"
		list+=("$dir/many-$i.img")
	done
	host alpha
	ok alpha domain nine "${list[@]:0:9}"
	ok alpha start nine
	test "$(held alpha nine | wc -w)" = 9
	ok alpha kill nine
	ok alpha domain fifty "${list[@]}"
	ok alpha start fifty
	test "$(held alpha fifty | wc -w)" = 50
	ok alpha suspend fifty
	ok alpha resume fifty
}

# ---- Pausing ----

@test "suspend: released twice with the same state; resume takes everything again" {
	two_hosts
	ok alpha start a
	ok alpha suspend a
	[[ "$(state_of_reply)" =~ ^[A-Za-z0-9._:,-]+$ ]]
	is alpha a paused $both_parked
	test -z "$(who "$disk")"
	ok alpha resume a
	is alpha a running $both_held
	taken
}

@test "resume: refused after another guest had it, and while it has it; the state stays good until then" {
	two_hosts
	ok alpha start a
	ok alpha suspend a
	ok beta start b
	no alpha resume a
	contains "$reply" "code=87"
	contains "$reply" "guest b ("
	is alpha a paused $both_parked
	ok beta kill b
	no alpha resume a
	contains "$reply" "code=9"
	contains "$reply" "another guest held disk $disk exclusively"
	is alpha a paused $both_parked
}

@test "resume: without a state, the record's counts" {
	two_hosts
	ok alpha start a
	ok alpha suspend a
	ok alpha resume a state=none
	is alpha a running $both_held
	ok alpha suspend a
	free_again
	no alpha resume a state=none
	contains "$reply" "another guest held"
}

@test "resume: a garbled state, a stale one and one of another guest are refused" {
	two_hosts
	ok alpha domain c "$dir/third.img"
	ok alpha start a
	ok alpha suspend a
	first=$(state_of_reply)
	no alpha resume a "state=${first:0:40}x${first:41}"
	contains "$reply" "code=8"
	no alpha resume a state=sanlock:17
	ok alpha start c
	ok alpha suspend c
	no alpha resume a "state=$(state_of_reply)"
	contains "$reply" "was saved for guest"
	is alpha a paused $both_parked
	ok alpha resume a "state=$first"
	ok alpha suspend a
	no alpha resume a "state=$first"
	is alpha a paused $both_parked
	ok alpha resume a
}

@test "acquire of what is held, and release of what is not, are successes" {
	two_hosts
	ok alpha start a
	ok alpha acquire a all
	ok alpha acquire a "$disk"
	ok alpha acquire a
	ok alpha release a
	ok alpha release a "$base"
	is alpha a running $both_held
	ok alpha pause a
	ok alpha pause a
	ok alpha kill a
	ok alpha pause a
	[[ "$reply" != *state=* ]]
	ok alpha release a all
	ok alpha inquire a
	[[ "$reply" != *state=* ]]
}

@test "inquire: gives the state and changes nothing" {
	two_hosts
	ok alpha start a
	ok alpha inquire a
	state=$(state_of_reply)
	is alpha a running $both_held
	ok alpha suspend a
	test "$(state_of_reply)" = "$state"
	ok alpha inquire a
	test "$(state_of_reply)" = "$state"
}

@test "dump, panic, I/O error: released once, or twice, then acquired" {
	two_hosts
	ok alpha start a
	ok alpha pause a
	ok alpha resume a
	ok alpha suspend a
	ok alpha resume a
	is alpha a running $both_held
}

@test "save and restore: the same guest in another process" {
	two_hosts
	ok alpha start a
	ok alpha suspend a
	ok alpha kill a
	ok alpha register a
	ok alpha resume a state=none
	is alpha a running $both_held
}

# ---- The daemon's end ----

@test "daemon killed: running, paused and dead guests are found again by the next one" {
	host alpha
	host beta
	ok alpha domain a "$disk"
	ok alpha domain b "$dir/second.img"
	ok alpha domain c "$dir/third.img"
	ok beta domain d "$disk"
	ok beta domain e "$dir/third.img"
	ok alpha start a
	a=$(pid_of_reply)
	ok alpha start b
	b=$(pid_of_reply)
	ok alpha suspend b
	state=$(state_of_reply)
	ok alpha start c
	c=$(pid_of_reply)
	kill -KILL "${host_pid[alpha]}"
	host_end alpha || :
	kill -KILL "$c"
	host alpha
	is alpha a running disk.img:held:exclusive
	is alpha b paused second.img:parked:none
	is alpha c gone
	no beta start d
	ok beta start e
	ok alpha domain a "pid=$a" "$disk"
	ok alpha domain b "pid=$b" "$dir/second.img"
	ok alpha resume b "state=$state"
	ok alpha suspend a
	ok beta start d
}

# ---- Plugging ----

@test "attach and detach of disks and leases: that one and no other" {
	two_hosts
	ok beta domain c "$dir/third.img"
	ok alpha start a
	ok alpha attach a "$dir/third.img"
	is alpha a running $both_held third.img:held:exclusive
	no beta start c
	ok alpha detach a "$dir/third.img"
	is alpha a running $both_held
	ok beta start c
	no alpha attach a "$dir/third.img"
	contains "$reply" "guest c ("
	is alpha a running $both_held
	ok alpha attach a "lease:key,lockspace=l"
	is alpha a running disk.img:held:exclusive key:held:exclusive second.img:held:exclusive
	ok alpha detach a "lease:key,lockspace=l"
	is alpha a running $both_held
}

@test "attach while paused: held at once; resume takes the rest" {
	two_hosts
	ok alpha start a
	ok alpha suspend a
	ok alpha attach a "$dir/third.img"
	is alpha a paused $both_parked third.img:held:exclusive
	free_again
	no alpha resume a
	ok alpha kill a
	ok alpha domain a "$disk" "$dir/second.img"
	ok alpha start a
	ok alpha suspend a
	ok alpha attach a "$dir/third.img"
	ok alpha resume a
	is alpha a running $both_held third.img:held:exclusive
}

@test "detach while paused: resume does not take it" {
	two_hosts
	ok alpha start a
	ok alpha suspend a
	ok alpha detach a "$disk"
	is alpha a paused second.img:parked:none
	free_again
	ok alpha resume a
	is alpha a running second.img:held:exclusive
}

@test "CD change: the new one in, the old one out, and an empty drive" {
	host alpha
	ok alpha domain a "$disk" "$dir/second.img,ro"
	ok alpha start a
	ok alpha acquire a "$dir/third.img,ro"
	ok alpha release a "$dir/second.img,ro"
	is alpha a running disk.img:held:exclusive
	ok alpha acquire a
	ok alpha release a
	is alpha a running disk.img:held:exclusive
	ok alpha suspend a
	ok alpha acquire a
	is alpha a paused disk.img:parked:none
}

# ---- Snapshots and block jobs ----

@test "external snapshot: the new one is acquired, the old one released" {
	two_hosts
	ok alpha start a
	ok alpha acquire a "$dir/third.img"
	ok alpha release a "$disk"
	is alpha a running "second.img:held:exclusive third.img:held:exclusive"
	free_again
}

@test "active block commit, pivot: the base is held, the top is not" {
	two_hosts
	ok alpha start a
	ok alpha acquire a "$base"
	is alpha a running "base.img:held:exclusive $both_held"
	ok alpha release a "$disk"
	is alpha a running "base.img:held:exclusive second.img:held:exclusive"
	free_again
}

@test "active block commit, aborted: nobody says so; the base is free after the next pause and resume" {
	two_hosts
	ok beta domain c "$base"
	ok alpha start a
	ok alpha acquire a "$base"
	no beta start c
	ok alpha suspend a
	ok alpha resume a
	is alpha a running $both_held
	ok beta start c
}

@test "intermediate block commit: the base is not held once it is read only again" {
	two_hosts
	ok beta domain c "$base"
	ok alpha start a
	ok alpha acquire a "$base"
	no beta start c
	ok alpha acquire a "$base,ro"
	is alpha a running $both_held
	ok alpha release a "$dir/third.img,ro"
	is alpha a running $both_held
	ok beta start c
}

@test "intermediate block commit, where readonly disks are shared: the base is held shared" {
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "readonly_disks = shared"
	write_config "$dir/beta.conf" "$dir/beta-run" "$dir/state" "readonly_disks = shared"
	two_hosts
	ok beta domain c "$base,ro"
	ok beta domain d "$base"
	ok alpha start a
	ok alpha acquire a "$base"
	no beta start c
	ok alpha acquire a "$base,ro"
	is alpha a running "base.img:held:shared $both_held"
	ok beta start c
	no beta start d
}

@test "an image that the guest still writes keeps its lock, whatever is released" {
	two_hosts
	(exec 7<>"$disk" && exec sleep 300 3>&-) &
	ok alpha domain a "pid=$!" "$disk" "$dir/second.img"
	ok alpha acquire a all
	is alpha a running $both_held
	ok alpha release a "$disk"
	ok alpha release a "$dir/second.img"
	is alpha a running disk.img:held:exclusive
	contains "$(cat "$dir/alpha.log")" "guest $(on alpha list --json | jq -r '.guests[0].uuid') has $disk open for writing still"
	ok alpha acquire a "$disk,ro"
	is alpha a running disk.img:held:exclusive
	taken
}

@test "the same disk twice in one call: the stronger mode counts" {
	two_hosts
	ok alpha start a
	ok alpha acquire a "$base,ro" "$base"
	is alpha a running "base.img:held:exclusive $both_held"
	ok alpha acquire a "$base" "$base,ro"
	is alpha a running "base.img:held:exclusive $both_held"
}

@test "block pull, copy and backup: released twice, acquired and released" {
	two_hosts
	ok alpha start a
	ok alpha release a "$base,ro"
	ok alpha acquire a "$dir/third.img"
	ok alpha release a "$dir/third.img"
	ok alpha release a "$dir/third.img"
	is alpha a running $both_held
}

# ---- Migration ----

# migrating: alpha's guest a, with one disk, and the same on beta, where another guest wants the disk.
migrating()
{
	host alpha
	host beta
	ok alpha domain a "$disk"
	ok beta domain a "$disk"
	ok beta domain b "$disk"
	ok alpha start a
}

@test "live migration: inquired and released there, registered and acquired here with the state" {
	migrating
	ok alpha inquire a
	state=$(state_of_reply)
	ok beta register a
	is beta a bound disk.img:none:none
	no beta resume a "state=$state"
	contains "$reply" "resource busy"
	is beta a bound disk.img:none:none
	ok alpha pause a
	ok beta resume a "state=$state"
	is beta a running disk.img:held:exclusive
	no alpha resume a
	ok alpha kill a
	is beta a running disk.img:held:exclusive
	no beta start b
}

@test "live migration: refused on arrival when another guest had the disk in between" {
	migrating
	ok alpha inquire a
	state=$(state_of_reply)
	ok beta register a incoming=yes
	ok alpha pause a
	ok alpha domain c "$disk"
	ok alpha start c
	ok alpha kill c
	no beta resume a "state=$state"
	contains "$reply" "another guest held disk $disk exclusively"
	ok beta kill a
	no alpha resume a
}

@test "live migration: a state of another lock manager is refused on arrival" {
	migrating
	ok beta register a incoming=yes
	ok alpha pause a
	no beta resume a state=42:1:0
	ok beta kill a
	ok alpha resume a
	is alpha a running disk.img:held:exclusive
}

@test "a start gets the state of a life that ended while it was paused: there is no memory that could be stale" {
	migrating
	ok alpha pause a
	state=$(state_of_reply)
	ok alpha kill a
	ok alpha domain c "$disk"
	ok alpha start c
	ok alpha kill c
	ok alpha register a
	ok alpha resume a "state=$state"
	is alpha a running disk.img:held:exclusive
}

@test "live migration, cancelled: the source holds as before" {
	migrating
	ok alpha inquire a
	ok beta register a
	ok beta kill a
	on beta reap
	is alpha a running disk.img:held:exclusive
	is beta a gone
	no beta start b
	ok alpha suspend a
	ok alpha resume a
}

@test "live migration, the target fails after the release: the source takes it again" {
	migrating
	ok alpha inquire a
	ok beta register a
	ok alpha pause a
	ok beta kill a
	ok alpha resume a
	is alpha a running disk.img:held:exclusive
	no beta start b
}

@test "migration of a paused guest: its last state counts, at the target's resume" {
	migrating
	ok alpha suspend a
	state=$(state_of_reply)
	ok beta register a
	ok alpha kill a
	ok beta resume a "state=$state"
	is beta a running disk.img:held:exclusive
	no beta start b
}

# ---- What is not as usual ----

@test "without libvirt's functions: the text goes to standard error and nothing else changes" {
	two_hosts
	host_start gamma
	ok gamma plugin guestlock "$plugin"
	ok gamma init -
	ok gamma domain c "$disk"
	ok alpha start a
	no gamma start c
	[[ "$reply" != *code=* ]]
	contains "$(cat "$dir/gamma.log")" "guestlock: cannot lock disk $disk: it is held (exclusive) by guest a ("
	ok alpha suspend a
	ok gamma start c
	no alpha resume a
}

@test "with the functions of libvirt itself: the text and the codes are what its callers see" {
	library=$(ldconfig -p | awk '$1 == "libvirt.so.0" { print $NF; exit }')
	test -n "$library" || skip "libvirt is not installed"
	two_hosts
	export LIBVIRT_DEBUG=2 LIBVIRT_LOG_OUTPUTS=2:stderr
	host_start gamma
	ok gamma symbols "$library"
	ok gamma plugin guestlock "$plugin"
	no gamma init - 2000000
	contains "$reply" "domain=42 code=67 message=unsupported configuration: cannot load guestlock: libvirt has version 2.0.0"
	ok gamma init -
	ok gamma domain c "$disk"
	ok alpha start a
	no gamma start c
	contains "$reply" "at=register domain=42 code=87 message=resource busy: cannot lock disk $disk: it is held"
	ok alpha suspend a
	ok gamma start c
	ok gamma suspend c
	no gamma resume c state=nonsense
	contains "$reply" "code=8 message=invalid argument: "
	ok gamma resume c
	ok gamma kill c
	ok gamma deinit
	ok gamma init -
	ok gamma deinit
	ok gamma unload
	grep -qE ' error : .*resource busy: cannot lock disk' "$dir/gamma.log"
	grep -qE ' info : guestlock:0 : released the locks of the dead guest' "$dir/gamma.log"
}

@test "a guest older than the plugin is adopted at its first call" {
	two_hosts
	sleep 300 3>&- &
	pid=$!
	ok alpha domain a "pid=$pid" "$disk"
	ok alpha pause a
	ok alpha inquire a
	ok alpha acquire a all
	is alpha a running disk.img:held:exclusive
	test "$(on alpha list --json | jq -r '.guests[0].life')" = adopted
	taken
	ok alpha suspend a
	ok alpha resume a
	kill -KILL "$pid"
	wait "$pid" || :
	ok beta start b
}

@test "a guest older than the plugin: refused while its disk is held, or when it comes with a state" {
	two_hosts
	sleep 300 3>&- &
	ok beta start b
	ok alpha domain a "pid=$!" "$disk"
	no alpha acquire a all
	contains "$reply" "guest b ("
	is alpha a gone
	ok beta kill b
	no alpha acquire a "state=gl1:whatever" all
	contains "$reply" "shut the guest down and start it again"
	is alpha a gone
}

@test "a guest that is no process of this host is refused in words, and the daemon is not bound" {
	host alpha
	ok alpha domain a pid=0 "$disk"
	no alpha acquire a all
	contains "$reply" "no process"
	test "$(on alpha list --json | jq '.guests | length')" = 0
}

@test "a guest whose program closed the tether is refused at its start, and told why" {
	two_hosts
	ok alpha register a tether=closed
	no alpha resume a state=none
	contains "$reply" "its tether, the descriptor by which its life is known, is closed"
	contains "$reply" "restart it"
	is alpha a bound "disk.img:none:none second.img:none:none"
	ok alpha kill a
	ok alpha register a
	ok alpha resume a state=none
	is alpha a running $both_held
}

@test "a guest that ended before it got its locks, and one that ended with them: dead, in words" {
	two_hosts
	ok alpha register a
	kill_and_see "$(pid_of_reply)"
	no alpha resume a state=none
	contains "$reply" "the guest is dead"
	is alpha a gone
	ok alpha kill a
	ok alpha start a
	kill_and_see "$(pid_of_reply)"
	no alpha acquire a all
	contains "$reply" "the guest is dead"
	free_again
}

@test "another process has the guest's uuid by now: nothing of that one is touched" {
	two_hosts
	ok alpha start a
	sleep 300 3>&- &
	ok alpha domain a "pid=$!" "$disk" "$dir/second.img" "$dir/third.img"
	for call in "acquire a all" "resume a state=none" "attach a $dir/third.img" "inquire a"; do
		no alpha $call
		contains "$reply" "was started anew meanwhile"
		is alpha a running $both_held
	done
	# The process that is meant has nothing that could be released.
	ok alpha pause a
	ok alpha detach a "$disk"
	is alpha a running $both_held
}

@test "names of any bytes: in messages as they are, and never in a state" {
	host alpha
	host beta
	ok alpha domain "%s%n<&>'\";" "$disk"
	ok beta domain b "$disk"
	ok alpha start "%s%n<&>'\";"
	no beta start b
	contains "$reply" "guest %s%n<&>'\"; ("
	ok alpha suspend "%s%n<&>'\";"
	[[ "$(state_of_reply)" =~ ^gl1:[A-Za-z0-9._:,-]+$ ]]
	[[ "$reply" == *"state=$(state_of_reply) pid="* ]]
}

@test "on_lockfailure: what the backend cannot do is refused at the start" {
	host alpha
	ok alpha domain a "$disk"
	for action in 1 2 3; do
		no alpha start a action=$action
		contains "$reply" "on_lockfailure"
		contains "$reply" "never loses a lock"
	done
	no alpha start a action=9
	ok alpha start a action=4
	ok alpha kill a
	ok alpha start a action=0
}

@test "a changed backend with guests running: they keep their locks, and starts are told what to do" {
	host alpha
	ok alpha domain a "$disk"
	ok alpha domain b "$dir/second.img"
	ok alpha start a
	ok alpha deinit
	ok alpha unload
	host_end alpha
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state" "backend = fault"
	export GUESTLOCK_FAULT_INNER=${GUESTLOCK_BACKEND_PATH%%:*}/fcntl.so
	export GUESTLOCK_BACKEND_PATH=$GUESTLOCK_FAULT_PATH:$GUESTLOCK_BACKEND_PATH
	host alpha
	ok alpha domain a "$disk"
	ok alpha domain b "$dir/second.img"
	no alpha start b
	contains "$reply" "backend"
	no alpha pause a
	contains "$reply" "put the old configuration back"
	ok alpha deinit
	ok alpha unload
	host_end alpha
	write_config "$GUESTLOCK_CONFIG" "$dir/run" "$dir/state"
	host alpha
	is alpha a running disk.img:held:exclusive
}
