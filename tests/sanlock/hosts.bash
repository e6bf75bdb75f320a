# SPDX-License-Identifier: LGPL-2.1-or-later
# Real sanlock daemons as hosts, on one machine: each host has a daemon with sockets of its own, mounts and a host name of
# its own, a run directory and a keeper of guestlock, and all see the same directory of leases. They run without a
# watchdog. Nothing of the system's sanlock is touched. virtd_host holds a host together and ends all of it with the file.
#
#   world_begin [speed=N] [io_timeout=N] [sector=512|4096] [file_system=yes]
#                               in setup_file: the directory $world, with $leases in it. speed: the daemons' clocks run N
#                               times as fast. file_system: $leases is an ext4 of its own, which can be frozen
#   host_begin NAME HOST_ID     a host with a daemon that answers
#   on_host NAME COMMAND...     there; `on_host NAME guestlock ...` with that host's configuration
#   launch NAME JOB COMMAND...  there in the background: job_output, job_pid, job_status, job_end
#   guest NAME GUEST WORD...    a guest that sleeps, with these words for guestlock run; guest_end
#   reconfigure NAME LINE...    its configuration, other than usual, for this test; see write_conf
#   sanlock_on NAME WORD...     the sanlock command there
#   holds NAME GUEST DISK...    the guest has these, says guestlock, and the leases of these, says sanlock
#   hosts_settle                in teardown: all guests end, and then no daemon has a lease
#   world_explain, world_end    in teardown of a test that failed; in teardown_file
# shellcheck shell=bash
# shellcheck disable=SC2154 # of bats
bats_require_minimum_version 1.5.0

readonly patience=30 # seconds that anything is waited for

# What every file of tests has; one that needs more defines its own.
setup()
{
	test -z "${world_missing-}" || skip "$world_missing"
	images a b c d
}

teardown()
{
	test -n "${world-}" || return 0
	test -n "${BATS_TEST_COMPLETED-}" || world_explain
	hosts_settle
	test ! -s "$BATS_TEST_TMPDIR/loop" || losetup --detach "$(<"$BATS_TEST_TMPDIR/loop")"
}

teardown_file()
{
	world_end
}

# ---- The world ----

world_begin()
{
	local status=0 word speed=1 io_timeout=1 sector=512 file_system=no

	world_is_possible || status=$?
	test "$status" != 2 || return 0
	test "$status" = 0 || return 1
	for word in "$@"; do
		local "${word?}"
	done
	world=$(mktemp -d "$(fast_directory)/guestlock-sanlock.XXXXXX")
	world=$(realpath "$world")
	leases=$world/leases
	export world leases world_speed=$speed world_io_timeout=$io_timeout world_sector=$sector
	# Hosts end with the file, also those that a test began.
	export world_parent=$$
	export LC_ALL=C.UTF-8
	unset GUESTLOCK_CONFIG SANLOCK_RUN_DIR
	mkdir -p "$leases" "$world/disks"
	# Keys do not depend on the backend.
	printf '%s\n' "[guestlock]" "backend = fcntl" "run_dir = $world/plain" "state_dir = $world/plain" >"$world/plain.conf"
	test "$file_system" = no || make_file_system || return 1
	use_programs_themselves
}

# What is missing is said: $world_missing, and the tests are skipped, or fail where all of them are wanted.
world_is_possible()
{
	local program missing=''

	: "${GUESTLOCK:?is the command to test}" "${top_builddir:?is the build}"
	for program in sanlock nsenter unshare jq; do
		command -v "$program" >/dev/null || missing="$program is not installed"
	done
	test -n "$(faketime_library)" || missing='libfaketime is not installed'
	test "$(id -u)" = 0 || missing='sanlock daemons with mounts of their own need root'
	test -n "$missing" || unshare -m -u true 2>/dev/null || missing='namespaces cannot be made here'
	test -n "$missing" || return 0
	export world_missing=$missing
	test -z "${GUESTLOCK_TEST_ALL-}" || test "$(id -u)" != 0 || {
		echo "$missing"
		return 1
	}
	return 2
}

faketime_library()
{
	local file

	for file in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib64/faketime/libfaketimeMT.so.1; do
		test ! -e "$file" || echo "$file"
	done
}

# Where the daemons can write past all caches, in memory if that can be.
fast_directory()
{
	local directory

	for directory in /dev/shm "${TMPDIR:-/tmp}" /var/tmp; do
		if dd if=/dev/zero of="$directory/guestlock-sanlock.$$" bs=4096 count=1 oflag=direct 2>/dev/null; then
			rm -f "$directory/guestlock-sanlock.$$"
			echo "$directory"
			return
		fi
		rm -f "$directory/guestlock-sanlock.$$"
	done
	return 1
}

# Not the scripts that libtool puts before them, which take their time.
use_programs_themselves()
{
	local folder

	folder=$(dirname "$GUESTLOCK")
	if test -x "$folder/.libs/guestlock"; then
		export LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
		export GUESTLOCK=$folder/.libs/guestlock
	fi
	folder=$(dirname "$GUESTLOCK_KEEPER")
	test ! -x "$folder/.libs/guestlock-keeper" || export GUESTLOCK_KEEPER=$folder/.libs/guestlock-keeper
}

make_file_system()
{
	truncate -s 96M "$world/leases.image"
	mkfs.ext4 -q -F "$world/leases.image"
	mount -o loop "$world/leases.image" "$leases"
	rmdir "$leases/lost+found"
	: >"$world/mounted"
}

world_end()
{
	local host status=0

	test -n "${world-}" || return 0
	for host in $(hosts); do
		host_end "$host" || status=1
	done
	if test -e "$world/mounted"; then
		fsfreeze -u "$leases" 2>/dev/null || :
		eventually umount "$leases" || status=1
	fi
	rm -rf "$world"
	return "$status"
}

# The ends of what the daemons, the keepers and the jobs said.
world_explain()
{
	local file

	for file in "$world"/*/{daemon.log,guestlock.log} "$world"/*/jobs/*.output; do
		test ! -s "$file" || {
			echo "== ${file#"$world"/}"
			tail -n 12 "$file"
		}
	done
}

# ---- A host ----

hosts()
{
	local file

	for file in "$world"/*/host.pid; do
		test ! -e "$file" || basename "$(dirname "$file")"
	done
}

# host_begin NAME HOST_ID: its daemon answers. The keeper starts with the first command that needs it.
host_begin()
{
	local name=$1 here=$world/$1

	mkdir -p "$here"/{sanlock,empty,jobs}
	echo "$2" >"$here/host_id"
	write_conf "$name"
	set --
	test ! -d /etc/sanlock || set -- "$here/empty" /etc/sanlock
	"$top_builddir/tests/libvirt/virtd_host" "$world_parent" "$name" "$here/control" "$@" >"$here/host.log" 2>&1 3>&- &
	echo $! >"$here/host.pid"
	eventually test -p "$here/control" -o ! -d "/proc/$(<"$here/host.pid")"
	test -p "$here/control" || {
		cat "$here/host.log"
		return 1
	}
	daemon_start "$name"
}

# host_kill NAME: as when it loses its power. host_begin starts it again.
host_kill()
{
	local pid

	# The daemon first: it must not see a guest end.
	for pid in $(job_pid "$1" daemon) $(keeper_pids "$1" guard) $(keeper_pids "$1" worker); do
		kill -STOP "$pid"
	done
	host_end "$1"
	rm -f "$world/$1"/{host.pid,control,daemon.stopped} "$world/$1"/jobs/*
	rm -rf "$world/$1/run"
}

host_end()
{
	local pid

	test ! -e "$world/$1/daemon.stopped" || daemon_continue "$1"
	keeper_kill "$1"
	pid=$(<"$world/$1/host.pid")
	kill -TERM "$pid" 2>/dev/null || :
	eventually is_gone "$pid" || kill -KILL "$pid"
	wait "$pid" 2>/dev/null || :
}

# write_conf NAME [LINE...]: its configuration. A LINE "key = value" of [sanlock] takes the place of the usual one, and
# "-key" leaves it out; with a section's name before it ("guestlock.key = value") it goes there.
write_conf()
{
	local name=$1 here=$world/$1 line key
	local -A guestlock=([backend]=sanlock [run_dir]=$here/run [state_dir]=$here/state [log]=$here/guestlock.log
		[log_level]=debug)
	local -A sanlock=([host_id]=$(<"$here/host_id") [lease_dir]=$leases [io_timeout]=$world_io_timeout
		[sector_size]=$world_sector [allow_no_watchdog]=yes [allow_local_leases]=yes)

	shift
	for line in "$@"; do
		key=${line%% = *}
		case $line in
		-*) unset "sanlock[${line#-}]" ;;
		guestlock.*) guestlock[${key#guestlock.}]=${line#* = } ;;
		*) sanlock[$key]=${line#* = } ;;
		esac
	done
	{
		echo "[guestlock]"
		for key in "${!guestlock[@]}"; do
			echo "$key = ${guestlock[$key]}"
		done
		echo "[sanlock]"
		for key in "${!sanlock[@]}"; do
			echo "$key = ${sanlock[$key]}"
		done
	} >"$here/guestlock.conf"
}

# reconfigure NAME LINE...: for this test.
reconfigure()
{
	keeper_end "$1"
	write_conf "$@"
	: >"$world/$1/changed"
}

configured_as_usual()
{
	test ! -e "$world/$1/changed" || {
		keeper_end "$1"
		write_conf "$1"
		rm -f "$world/$1/changed"
	}
}

# on_host NAME COMMAND...: "guestlock" is the one to test.
on_host()
{
	local name=$1 here=$world/$1 command=$2

	shift 2
	test "$command" != guestlock || command=$GUESTLOCK
	nsenter -t "$(<"$here/host.pid")" -m -u -- env SANLOCK_RUN_DIR="$here/sanlock" SANLOCK_PRIVILEGED=0 \
		GUESTLOCK_CONFIG="$here/guestlock.conf" "$command" "$@" 3>&-
}

gl()
{
	local name=$1

	shift
	on_host "$name" timeout -k 1 60 "$GUESTLOCK" "$@"
}

# ---- Jobs: they are the host's, and end with it ----

# launch NAME JOB COMMAND...
launch()
{
	local name=$1 job=$2 here=$world/$1 files=$world/$1/jobs/$2

	shift 2
	rm -f "$files".*
	{
		printf 'export SANLOCK_RUN_DIR=%q SANLOCK_PRIVILEGED=0 GUESTLOCK_CONFIG=%q\n' "$here/sanlock" "$here/guestlock.conf"
		test "$1" != guestlock || set -- "$GUESTLOCK" "${@:2}"
		printf '%q ' "$@"
		# shellcheck disable=SC2016 # for that shell
		printf '>%q 2>&1 </dev/null &\necho $! >%q.new\nmv %q.new %q\nwait $!\necho $? >%q\n' "$files.output" "$files.pid" \
			"$files.pid" "$files.pid" "$files.status"
	} >"$files.script"
	echo "exec bash $files.script" >"$here/control"
	eventually test -e "$files.pid"
}

job_output()
{
	cat "$world/$1/jobs/$2.output"
}

job_pid()
{
	cat "$world/$1/jobs/$2.pid"
}

# job_status NAME JOB: when it has ended, which is waited for.
job_status()
{
	eventually test -s "$world/$1/jobs/$2.status"
	cat "$world/$1/jobs/$2.status"
}

# job_end NAME JOB [SIGNAL]
job_end()
{
	kill "-${3-TERM}" "$(job_pid "$1" "$2")" 2>/dev/null || :
	eventually test -s "$world/$1/jobs/$2.status"
}

# ---- Its daemon ----

# daemon_start NAME: and it answers. Words in $world_daemon come after the usual ones.
daemon_start()
{
	local name=$1 here=$world/$1 preload=() world_daemon=${world_daemon-}

	if test "$world_speed" != 1; then
		preload=(LD_PRELOAD="$(faketime_library)" FAKETIME="+0 x$world_speed" DONT_FAKE_MONOTONIC=0 FAKETIME_NO_CACHE=1)
	fi
	rm -f "$here"/sanlock/*
	launch "$name" daemon env --ignore-signal=XFSZ "${preload[@]}" sanlock daemon -D -w 0 -l 0 -h 0 -L -1 -S -1 -U root -G root -e "$name" $world_daemon
	eventually daemon_answers "$name" || {
		tail -n 20 "$here/jobs/daemon.output"
		return 1
	}
}

daemon_answers()
{
	sanlock_on "$1" client version >/dev/null 2>&1
}

# daemon_end NAME SIGNAL
daemon_end()
{
	job_end "$1" daemon "$2"
}

daemon_runs()
{
	test ! -e "$world/$1/jobs/daemon.status"
}

# As when a host hangs. daemon_continue: it goes on.
daemon_stop()
{
	: >"$world/$1/daemon.stopped"
	kill -STOP "$(job_pid "$1" daemon)"
}

daemon_continue()
{
	kill -CONT "$(job_pid "$1" daemon)"
	rm -f "$world/$1/daemon.stopped"
}

# storage_lost NAME: what its daemon writes to files fails, its log too; storage_back: no longer.
storage_lost()
{
	prlimit --pid "$(job_pid "$1" daemon)" --fsize=0:unlimited
}

storage_back()
{
	prlimit --pid "$(job_pid "$1" daemon)" --fsize=unlimited:unlimited
}

sanlock_on()
{
	local name=$1

	shift
	on_host "$name" timeout -k 1 "$patience" sanlock "$@"
}

# ---- What the daemons say ----

# has_leases NAME LEASE...: the daemon there has these for its processes, and no others. A LEASE is PATH[:OFFSET][,SH].
has_leases()
{
	local name=$1

	shift
	equal_leases "sanlock on $name" "$(leases_of "$name")" "$@"
}

# equal_leases WHO GOT WANTED...
equal_leases()
{
	local who=$1 got=$2 want

	shift 2
	want=$(printf '%s\n' "$@" | sed '/^$/d' | sort)
	test "$got" = "$want" || {
		printf '%s has\n%s\nand not\n%s\n' "$who" "$got" "$want" >&2
		return 1
	}
}

# leases_of NAME [PID]: a line each. sanlock says "r LOCKSPACE:RESOURCE:PATH:OFFSET:VERSION p PID", with SH for a version.
leases_of()
{
	sanlock_on "$1" client status >"$world/$1/status" || return 1
	sed -nE "s/^r [^:]*:[^:]*:(.*):([0-9]+):([0-9]+|SH)( [A-Z].*)? p ${2--?[0-9]+}\$/\1:\2,\3/p" "$world/$1/status" |
		sed -E 's/,[0-9]+$//; s/:0(,SH)?$/\1/' | sort
}

# lease_owner NAME LOCKSPACE:RESOURCE:PATH[:OFFSET]: the host_id that the leader says has it, 0 when nobody has.
lease_owner()
{
	local leader

	leader=$(sanlock_on "$1" direct read_leader -r "$2:0") || return 1
	if test "$(awk '$1 == "timestamp" { print $2 }' <<<"$leader")" = 0; then
		echo 0
	else
		awk '$1 == "owner_id" { print $2 }' <<<"$leader"
	fi
}

# ---- guestlock's keeper ----

# keeper_pids NAME worker|guard
keeper_pids()
{
	grep -lsz "[g]uestlock.run_dir=$world/$1/run" /proc/[0-9]*/cmdline | sed 's/cmdline$/comm/' |
		xargs -r grep -lsx "keeper-$2" | cut -d / -f 3
}

keeper_end()
{
	local pid

	for pid in $(keeper_pids "$1" guard) $(keeper_pids "$1" worker); do
		kill -TERM "$pid" 2>/dev/null || :
	done
	eventually keeper_is_gone "$1" || for pid in $(keeper_pids "$1" guard) $(keeper_pids "$1" worker); do
		kill -KILL "$pid" 2>/dev/null || :
	done
}

keeper_kill()
{
	local pid

	# Stopped first, so that neither sees the other end.
	for pid in $(keeper_pids "$1" guard) $(keeper_pids "$1" worker); do
		kill -STOP "$pid"
	done
	for pid in $(keeper_pids "$1" guard) $(keeper_pids "$1" worker); do
		kill -KILL "$pid"
	done
}

keeper_is_gone()
{
	test -z "$(keeper_pids "$1" guard)$(keeper_pids "$1" worker)"
}

# ---- Guests ----

# images NAME...: disks that all hosts see.
images()
{
	(cd "$world/disks" && truncate -s 1M "$@")
}

# guest NAME GUEST WORD...: it runs.
guest()
{
	local name=$1 guest=$2

	shift 2
	launch "$name" "$guest" guestlock run --name "$guest" "$@" -- sh -c 'echo running; exec sleep 600'
	eventually guest_is_settled "$name" "$guest"
	grep -qx running "$world/$name/jobs/$guest.output" || {
		job_output "$name" "$guest"
		return 1
	}
}

# It runs, or could not be started.
guest_is_settled()
{
	grep -qx running "$world/$1/jobs/$2.output" 2>/dev/null || test -s "$world/$1/jobs/$2.status"
}

# guest_end NAME GUEST: as when it shuts down, and until its locks are released.
guest_end()
{
	job_end "$1" "$2"
	test "$(job_status "$1" "$2")" = 143
}

# property NAME GUEST KEY: as guestlock there sees it; "gone" when it does not know the guest.
property()
{
	gl "$1" --quiet list --json |
		jq -r --arg name "$2" --arg key "$3" \
			'[.guests[] | select(.name == $name or .uuid == $name)] | if . == [] then "gone" else .[0][$key] end'
}

state()
{
	property "$1" "$2" state
}

is_state()
{
	test "$(state "$1" "$2")" = "$3"
}

# refused NAME STATUS WORD...: the command there ends with this status; what it says is in $output.
refused()
{
	local name=$1 wanted=$2

	shift 2
	run gl "$name" "$@"
	test "$status" = "$wanted" || {
		echo "exit status $status, not $wanted: $output"
		return 1
	}
}

says()
{
	local text

	for text in "$@"; do
		[[ "$output" == *"$text"* ]] || {
			printf '"%s" is not in:\n%s\n' "$text" "$output"
			return 1
		}
	done
}

# key_of PATH: what is locked for a disk.
key_of()
{
	"$GUESTLOCK" -c "$world/plain.conf" check "$1" --json | jq -r '.resources[0].key'
}

# lease_of PATH: the file with its lease.
lease_of()
{
	echo "$leases/$(key_of "$1").lease"
}

# holds NAME GUEST [DISK[,SH]]...: guestlock there says that this is what the guest has, and sanlock says that the guest's
# process has the leases of these, and that of the guest itself, and no other.
holds()
{
	local name=$1 guest=$2 shown disk wanted=() disks=()

	shift 2
	shown=$(gl "$name" --quiet show "$guest" --json) || return 1
	wanted+=("$leases/$(jq -r '.guests[0].resources[] | select(.type == "guest") | .key' <<<"$shown").lease")
	for disk in "$@"; do
		disks+=("${disk%,SH}")
		wanted+=("$(lease_of "${disk%,SH}")$(test "$disk" = "${disk%,SH}" || echo ,SH)")
	done
	equal_leases "guestlock says that $guest" \
		"$(jq -r '.guests[0].resources[] | select(.type == "disk" and .state == "held") | .name' <<<"$shown" | sort)" \
		"${disks[@]}" || return 1
	equal_leases "sanlock says that $guest" "$(leases_of "$name" "$(jq .guests[0].pid <<<"$shown")")" "${wanted[@]}"
}

# In teardown: whatever a test left ends, daemons that were killed or stopped run again, and nothing is locked.
hosts_settle()
{
	local host

	for host in $(hosts); do
		test ! -e "$world/$host/daemon.stopped" || daemon_continue "$host"
		end_guests "$host"
		configured_as_usual "$host"
		daemon_runs "$host" || daemon_start "$host"
		gl "$host" --quiet reap >/dev/null || :
	done
	for host in $(hosts); do
		eventually has_leases "$host" || return 1
		test "$(gl "$host" --quiet list --json | jq '.guests | length')" = 0 || {
			gl "$host" list
			return 1
		}
	done
}

end_guests()
{
	local host=$1 file job pid

	# Those that are stopped do not end otherwise.
	for pid in $(gl "$host" --quiet list --json | jq -r '.guests[] | select(.life != "dead") | .pid // empty'); do
		kill -KILL "$pid" 2>/dev/null || :
	done
	for file in "$world/$host"/jobs/*.pid; do
		job=$(basename "$file" .pid)
		test "$job" = daemon || test ! -e "$file" || test -s "${file%.pid}.status" || kill -TERM "$(<"$file")" 2>/dev/null || :
	done
	for file in "$world/$host"/jobs/*.pid; do
		job=$(basename "$file" .pid)
		test "$job" = daemon || test ! -e "$file" || eventually test -s "${file%.pid}.status" ||
			kill -KILL "$(<"$file")" 2>/dev/null || :
	done
}

# ---- Small ones ----

# eventually COMMAND...: it succeeds within $patience seconds; what it says is only of interest the last time.
eventually()
{
	local end=$((SECONDS + patience))

	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= end)); then
			echo "not within $patience s: $*" >&2
			"$@"
			return
		fi
		sleep 0.02
	done
}

is_gone()
{
	! test -e "/proc/$1"
}
