# SPDX-License-Identifier: LGPL-2.1-or-later
# Real corosyncs on one machine: each node has a network namespace, a /run and a /dev/shm of its own, all of them are
# joined by a bridge in another namespace, and nothing of the machine's own network is touched. The kernel's DLM is not
# needed.
# shellcheck shell=bash
# shellcheck disable=SC2154 # of the environment
bats_require_minimum_version 1.5.0

readonly patience=60 # seconds that anything is waited for
readonly token=1000  # milliseconds after which a corosync that is silent counts as dead

# rings_are_possible: else prints what is missing.
rings_are_possible()
{
	local program missing=''

	for program in corosync corosync-quorumtool unshare nsenter ip; do
		command -v "$program" >/dev/null || missing="$program is not installed"
	done
	test "$(id -u)" = 0 || missing='namespaces want root'
	test -n "$missing" || unshare -n -m true 2>/dev/null || missing='namespaces cannot be made here'
	test -z "$missing" || {
		echo "$missing"
		return 1
	}
}

# Where corosync is not installed: the one that the virtual machines get. Installing it would start it.
find_corosync()
{
	local packages=$top_builddir/tests/dlm/boot/packages libraries

	if command -v corosync >/dev/null || test "$(id -u)" != 0; then
		return
	fi
	if "$top_srcdir/tests/dlm/image" "$top_builddir/tests/dlm/boot"; then
		libraries=$packages/usr/lib/x86_64-linux-gnu
		export PATH=$PATH:$packages/usr/sbin LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
	fi
}

# In setup_file.
ring_check()
{
	local missing

	find_corosync
	missing=$(rings_are_possible) || {
		export ring_missing=$missing
		test -z "${GUESTLOCK_TEST_ALL-}" || {
			echo "$missing"
			return 1
		}
	}
}

# ring_begin COUNT: nodes 1 to COUNT, called n1, n2, ...; their corosyncs run and have a quorum.
ring_begin()
{
	local count=$1 node

	test -z "${ring_missing-}" || skip "$ring_missing"
	ring=$(mktemp -d "${TMPDIR:-/tmp}/guestlock-ring.XXXXXX")
	export ring ring_count=$count LC_ALL=C
	unshare -n sh -c "echo >'$ring/ready' && exec sleep 600" 3>&- &
	hub=$!
	wait_until test -e "$ring/ready"
	in_hub ip link add name br0 type bridge
	in_hub ip link set br0 up
	for ((node = 1; node <= count; node++)); do
		node_begin "$node"
	done
	for ((node = 1; node <= count; node++)); do
		corosync_start "$node"
	done
	wait_until ring_is_whole
}

in_hub()
{
	nsenter -t "$hub" -n "$@"
}

# node_begin NODE: a process keeps its namespaces.
node_begin()
{
	local node=$1 dir=$ring/$1

	mkdir -p "$dir/run" "$dir/state"
	# A corosync that is killed leaves its buffers in /dev/shm.
	unshare -n -m sh -c "mount --bind '$dir/run' /run && mount -t tmpfs none /dev/shm && ip link set lo up &&
		echo >'$dir/ready' && exec sleep 600" 3>&- &
	echo $! >"$dir/pid"
	wait_until test -e "$dir/ready"
	in_hub ip link add "v$node" type veth peer name eth0 netns "$(cat "$dir/pid")"
	in_hub ip link set "v$node" master br0 up
	in_node "$node" ip address add "10.9.8.$node/24" dev eth0
	in_node "$node" ip link set eth0 up
	write_conf "$node"
}

# in_node NODE COMMAND...
in_node()
{
	local node=$1

	shift
	nsenter -t "$(cat "$ring/$node/pid")" -n -m "$@"
}

# exec_in_node NODE COMMAND... &: $! is the command itself.
exec_in_node()
{
	local node=$1

	shift
	exec nsenter -t "$(cat "$ring/$node/pid")" -n -m "$@"
}

write_conf()
{
	local node=$1 other

	{
		printf 'totem {\n  version: 2\n  cluster_name: ring\n  transport: udpu\n  crypto_cipher: none\n'
		printf '  crypto_hash: none\n  token: %d\n  join: 100\n}\nnodelist {\n' "$token"
		for ((other = 1; other <= ring_count; other++)); do
			printf '  node {\n    ring0_addr: 10.9.8.%d\n    name: n%d\n    nodeid: %d\n  }\n' \
				"$other" "$other" "$other"
		done
		printf '}\nquorum {\n  provider: corosync_votequorum\n'
		test "$ring_count" != 2 || printf '  two_node: 1\n  wait_for_all: 0\n'
		printf '}\nsystem {\n  sched_rr: no\n  move_to_root_cgroup: no\n  state_dir: %s/state\n}\n' "$ring/$node"
		printf 'logging {\n  to_syslog: no\n  to_stderr: no\n  to_logfile: yes\n  logfile: %s/log\n}\n' "$ring/$node"
	} >"$ring/$node/conf"
}

corosync_start()
{
	local node=$1

	exec_in_node "$node" corosync -f -c "$ring/$node/conf" </dev/null >>"$ring/$node/output" 2>&1 3>&- &
	echo $! >"$ring/$node/corosync"
}

# corosync_signal NODE SIGNAL: it ends, or stops, as told.
corosync_signal()
{
	kill -s "$2" "$(cat "$ring/$1/corosync")"
}

ring_is_whole()
{
	local node

	for ((node = 1; node <= ring_count; node++)); do
		sees_members "$node" "$ring_count" || return 1
	done
}

# sees_members NODE COUNT
sees_members()
{
	local told

	told=$(in_node "$1" timeout 5 corosync-quorumtool -s 2>/dev/null) || test -n "$told" || return 1
	[[ $told == *Quorate:*Yes* ]] && (($(grep -cE '^ +[0-9]+ +1 ' <<<"$told") == $2))
}

# wait_until COMMAND...
wait_until()
{
	local end=$((SECONDS + patience))

	until "$@"; do
		((SECONDS < end)) || {
			echo "waited for in vain: $*"
			return 1
		}
		sleep 0.05
	done
}

# Everything ends that began here.
ring_end()
{
	local node file

	test -n "${ring-}" || return 0
	for file in "$ring"/*/member.*.pid "$ring"/*/corosync; do
		test ! -s "$file" || end_process "$(cat "$file")"
	done
	for ((node = 1; node <= ring_count; node++)); do
		test ! -s "$ring/$node/pid" || end_process "$(cat "$ring/$node/pid")"
	done
	end_process "$hub"
	rm -rf "$ring"
	unset ring
}

end_process()
{
	local shm

	kill -s CONT "$1" 2>/dev/null || return 0
	kill -s KILL "$1" 2>/dev/null || :
	wait "$1" 2>/dev/null || :
	# What libqb leaves of a process that was killed.
	for shm in /dev/shm/qb-"$1"-*; do
		test ! -e "$shm" || rm -rf "$shm"
	done
}
