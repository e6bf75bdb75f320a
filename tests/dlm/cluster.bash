# SPDX-License-Identifier: LGPL-2.1-or-later
# Clusters of virtual machines for the tests: Debian's kernel with its lock manager, corosync, dlm_controld, and what was
# built here, in QEMU without hardware support. No disk, no network to the outside.
#
#   cluster_begin 3 token=3000          in setup_file for all tests of a file, or in setup for each: nodes 1, 2, 3 run
#   on 2 COMMAND...                     there, with its output and exit status; on_for SECONDS 2 SCRIPT for longer ones
#   launch_on 2 NAME SCRIPT             there in the background; job_output 2 NAME, job_status 2 NAME, job_end 2 NAME
#   once_in_node 2 WORD SCRIPT          there, unless that was done since it booted: what all tests of a file need
#   put 2 FILE PATH, get 2 PATH FILE    copies
#   node_kill 2, node_boot 2            power off, and on again
#   node_freeze 2, node_thaw 2          the whole machine stands still
#   network_cut 2, network_mend 2       of the cluster; "on 2" works on
#   daemon_kill 2 corosync KILL         or dlm_controld; daemon_start 2 corosync
#   eventually SECONDS COMMAND...       until it succeeds; cluster_ready COUNT NODE...: these see so many members
#   cluster_settle, cluster_explain     in setup, where the tests of a file share a cluster, and in teardown
#   cluster_end                         in teardown_file, or teardown; what a killed test leaves ends by itself
#
# Every wait has an end. The consoles of the nodes are $cluster/NODE.console; cluster_explain shows their ends.
# shellcheck shell=bash
# shellcheck disable=SC2154
bats_require_minimum_version 1.5.0

readonly command_seconds=30 # that a command has in a node
boot_seconds=90             # until a node answers, and until the cluster is complete

# ---- The cluster ----

# cluster_begin COUNT [SETTING=VALUE...]: with nodes 1 to COUNT. Settings: token (milliseconds), fencing, quorum_lockspace,
# quorum_fencing, wait_for_all, two_node (yes or no), memory (megabytes), first_id (node id of node 1), append (words for
# the kernel's command line).
cluster_begin()
{
	local count=$1 status=0 setting node

	cluster_is_possible || status=$?
	test "$status" != 2 || return 0
	test "$status" = 0 || return 1
	shift
	remove_forgotten
	"$cluster_tree/image" "$cluster_image" || return 1
	cluster=$(mktemp -d "${TMPDIR:-/tmp}/guestlock-dlm.XXXXXX")
	export cluster cluster_nodes=$count cluster_memory=256 cluster_append=''
	local first_id=1 token=2000 fencing=no quorum_lockspace=no quorum_fencing=no wait_for_all=no two_node=yes
	for setting in "$@"; do
		case $setting in
		memory=*) cluster_memory=${setting#*=} ;;
		append=*) cluster_append=${setting#*=} ;;
		first_id=* | token=* | fencing=* | quorum_lockspace=* | quorum_fencing=* | wait_for_all=* | two_node=*) local "${setting?}" ;;
		*)
			echo "cluster_begin: no setting $setting"
			return 1
			;;
		esac
	done
	make_initrd || return 1
	start_host || return 1
	for ((node = 1; node <= count; node++)); do
		node_start "$node"
	done
	# shellcheck disable=SC2046 # numbers
	cluster_ready "$count" $(seq "$count")
}

# What is missing is said: $cluster_missing, and the tests are skipped, or fail where all of them are wanted.
cluster_is_possible()
{
	local program missing=''

	: "${top_srcdir:?is the tree}" "${top_builddir:?is the build}"
	export cluster_tree=$top_srcdir/tests/dlm cluster_image=$top_builddir/tests/dlm/boot${GUESTLOCK_DLM_KERNEL:+-$GUESTLOCK_DLM_KERNEL}
	for program in qemu-system-x86_64 cpio xz depmod modprobe ip unshare nsenter jq strace apt-get; do
		command -v "$program" >/dev/null || test -x "/sbin/$program" || missing="$program is not installed"
	done
	test "$(id -u)" = 0 || missing="virtual machines with a network of their own need root"
	test -n "$missing" || return 0
	export cluster_missing=$missing
	test -z "${GUESTLOCK_TEST_ALL-}" || {
		echo "$missing"
		return 1
	}
	return 2
}

# In setup: skips the test where there can be no cluster.
cluster_needed()
{
	test -z "${cluster_missing-}" || skip "$cluster_missing"
}

cluster_end()
{
	local pid

	test -n "${cluster-}" || return 0
	if pid=$(cat "$cluster/host.pid" 2>/dev/null); then
		kill -TERM "$pid" 2>/dev/null || :
		eventually 10 is_gone "$pid" || kill -KILL "$pid"
	fi
	rm -rf "$cluster"
}

# In setup, where the tests of a file share a cluster: it is as in the beginning. Jobs of the test before end, and nodes
# that were changed boot again, all at once.
cluster_settle()
{
	local node broken=()

	cluster_needed
	for ((node = 1; node <= cluster_nodes; node++)); do
		if test -e "$cluster/$node.changed" ||
			! on_for "$command_seconds" "$node" "/node settle $cluster_nodes" 2>/dev/null; then
			broken+=("$node")
		fi
	done
	test "${#broken[@]}" -gt 0 || return 0
	for node in "${broken[@]}"; do
		test -e "$cluster/$node.ended" || node_kill "$node"
	done
	for node in "${broken[@]}"; do
		node_start "$node"
	done
	# shellcheck disable=SC2046 # numbers
	cluster_ready "$cluster_nodes" $(seq "$cluster_nodes")
}

# cluster_explain [FILE...]: in teardown, if the test failed: cluster_report.
cluster_explain()
{
	test -z "${cluster-}" || test -n "${BATS_TEST_COMPLETED-}" || test -n "${BATS_TEST_SKIPPED-}" || cluster_report "$@"
}

# Files of clusters whose test was killed; their machines ended by themselves.
remove_forgotten()
{
	local pid

	for pid in "${TMPDIR:-/tmp}"/guestlock-dlm.??????/host.pid; do
		test ! -s "$pid" || test -d "/proc/$(<"$pid")" || rm -rf "${pid%/host.pid}"
	done
}

# cluster_ready COUNT NODE...: each of these nodes can get locks, and sees so many members.
cluster_ready()
{
	local count=$1 node

	shift
	for node in "$@"; do
		if ! eventually "$boot_seconds" node_answers "$node" ||
			! on_for "$boot_seconds" "$node" "/node ready $count"; then
			echo "node $node is not ready" >&2
			cluster_report >&2
			return 1
		fi
	done
}

# cluster_report [FILE...]: the ends of all consoles, and of these files in the nodes that answer.
cluster_report()
{
	local node

	for ((node = 1; node <= cluster_nodes; node++)); do
		echo "--- console of node $node:"
		tail -n 25 "$cluster/$node.console"
		test "$#" = 0 || on_for 10 "$node" "tail -n 25 ${*@Q}" || :
	done
}

# All nodes boot the same: their number is on the kernel's command line.
make_initrd()
{
	local root=$cluster/root

	mkdir -p "$root"/etc/{corosync,dlm,guestlock}
	corosync_conf >"$root/etc/corosync/corosync.conf"
	dlm_conf >"$root/etc/dlm/dlm.conf"
	node_names >"$root/etc/hosts"
	guestlock_conf >"$root/etc/guestlock/guestlock.conf"
	(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$cluster/settings.cpio"
	cat "$cluster_image/system.cpio" "$cluster_image/project.cpio" "$cluster/settings.cpio" >"$cluster/initrd"
}

corosync_conf()
{
	local node

	cat <<-END
		totem {
			version: 2
			cluster_name: guestlock
			transport: udpu
			crypto_cipher: none
			crypto_hash: none
			token: $token
			join: 100
		}
		logging {
			to_stderr: yes
			to_syslog: no
			timestamp: on
		}
		quorum {
			provider: corosync_votequorum
			wait_for_all: $(number_of "$wait_for_all")
			$(test "$cluster_nodes" != 2 || echo "two_node: $(number_of "$two_node")")
		}
		nodelist {
	END
	for ((node = 1; node <= cluster_nodes; node++)); do
		printf '\tnode {\n\t\tring0_addr: 10.77.0.%d\n\t\tname: node%d\n\t\tnodeid: %d\n\t}\n' "$node" "$node" \
			"$((first_id + node - 1))"
	done
	echo "}"
}

dlm_conf()
{
	cat <<-END
		enable_fencing=$(number_of "$fencing")
		enable_startup_fencing=0
		enable_quorum_fencing=$(number_of "$quorum_fencing")
		enable_quorum_lockspace=$(number_of "$quorum_lockspace")
		enable_plock=0
		post_join_delay=0
		protocol=tcp
	END
}

guestlock_conf()
{
	printf '[guestlock]\nbackend = dlm\n'
	test "$fencing" = yes || printf '[dlm]\nallow_no_fencing = yes\n'
}

node_names()
{
	local node

	echo "127.0.0.1 localhost"
	for ((node = 1; node <= cluster_nodes; node++)); do
		echo "10.77.0.$node node$node"
	done
}

number_of()
{
	test "$1" = no && echo 0 || echo 1
}

# ---- The process that holds it together ----

# It has a network of its own, in which the machines meet, so that any number of clusters runs at once; it ends what
# was started in it when this shell is gone.
start_host()
{
	"$top_builddir/tests/libvirt/virtd_host" $$ cluster "$cluster/control" >"$cluster/host.log" 2>&1 3>&- &
	echo $! >"$cluster/host.pid"
	eventually 10 test -p "$cluster/control" -o ! -d "/proc/$(<"$cluster/host.pid")"
	test -p "$cluster/control" || {
		cat "$cluster/host.log"
		return 1
	}
	cat >"$cluster/network" <<-END
		echo \$\$ >"$cluster/network.pid.new"
		ip link set lo up
		ip route add 224.0.0.0/4 dev lo
		mv "$cluster/network.pid.new" "$cluster/network.pid"
		exec sleep infinity
	END
	start_in_host "exec unshare -n sh $cluster/network"
	eventually 10 test -e "$cluster/network.pid"
}

start_in_host()
{
	echo "$1 >>$cluster/host.log 2>&1" >"$cluster/control"
}

# in_network COMMAND...
in_network()
{
	nsenter "--net=/proc/$(<"$cluster/network.pid")/ns/net" -- "$@"
}

# ---- A node ----

node_start()
{
	local node=$1 script=$cluster/$1.start

	rm -f "$cluster/$node".{pid,ended,changed} "$cluster/$node".done.*
	test -p "$cluster/$node.monitor.in" || mkfifo "$cluster/$node".monitor.{in,out}
	{
		printf 'nsenter --net=/proc/%s/ns/net -- ' "$(<"$cluster/network.pid")"
		printf '%q ' qemu-system-x86_64 -name "node$node" -machine q35 -accel tcg,tb-size=128 -cpu qemu64,+rdrand -smp 1 \
			-m "$cluster_memory" -nodefaults -no-user-config -display none -no-reboot \
			-kernel "$cluster_image/vmlinux" -initrd "$cluster/initrd" \
			-append "console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off $cluster_append NODE=$node" \
			-chardev "file,id=console,path=$cluster/$node.console,append=on" -serial chardev:console \
			-chardev "pipe,id=monitor,path=$cluster/$node.monitor" -mon chardev=monitor,mode=readline \
			-netdev socket,id=cluster,mcast=230.0.0.1:7000,localaddr=127.0.0.1 \
			-device "virtio-net-pci,addr=2,netdev=cluster,status=off,romfile=,mac=52:54:00:77:00:$(printf %02x "$node")" \
			-netdev "user,id=control,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:$((7000 + node))-:1000" \
			-device virtio-net-pci,addr=3,netdev=control,romfile=
		printf '</dev/null &\necho $! >%q\nwait $!\necho $? >%q\n' "$cluster/$node.pid" "$cluster/$node.ended"
	} >"$script"
	start_in_host "exec bash $script"
}

node_pid()
{
	cat "$cluster/$1.pid"
}

node_answers()
{
	on_for 5 "$1" : 2>/dev/null
}

# As if it lost its power.
node_kill()
{
	: >"$cluster/$1.changed"
	kill -KILL "$(node_pid "$1")"
	eventually 10 test -e "$cluster/$1.ended"
}

# node_boot NODE [COUNT]: again, until the cluster has so many members, by default all.
node_boot()
{
	node_start "$1"
	cluster_ready "${2:-$cluster_nodes}" "$1"
}

node_freeze()
{
	: >"$cluster/$1.changed"
	kill -STOP "$(node_pid "$1")"
}

node_thaw()
{
	kill -CONT "$(node_pid "$1")"
	rm -f "$cluster/$1.changed"
}

# The packets of the cluster are dropped; the node does not see that its cable is out.
network_cut()
{
	: >"$cluster/$1.changed"
	echo "set_link cluster off" >"$cluster/$1.monitor.in"
}

network_mend()
{
	echo "set_link cluster on" >"$cluster/$1.monitor.in"
}

# daemon_kill NODE corosync|dlm_controld SIGNAL
daemon_kill()
{
	: >"$cluster/$1.changed"
	on_for "$command_seconds" "$1" "kill -$3 \$(pidof $2)"
}

# daemon_start NODE corosync|dlm_controld
daemon_start()
{
	on "$1" /node "${2#dlm_}"
}

# ---- Commands in a node ----

# on NODE COMMAND...: its words are passed on as they are. 124: took too long; 125: the node does not answer.
on()
{
	local node=$1

	shift
	on_for "$command_seconds" "$node" "${*@Q}"
}

# on_for SECONDS NODE SCRIPT: of bash.
on_for()
{
	in_network "$top_builddir/tests/dlm/remote" call "$((7000 + $2))" "$1" "$3" </dev/null 3>&-
}

# once_in_node NODE WORD SCRIPT
once_in_node()
{
	local done=$cluster/$1.done.${2//[^a-z]/_}

	test ! -e "$done" || return 0
	on_for "$command_seconds" "$1" "$3"
	: >"$done"
}

# put NODE FILE PATH: a file from here to there; get: the other way.
put()
{
	in_network "$top_builddir/tests/dlm/remote" call "$((7000 + $1))" "$command_seconds" "cat >${3@Q}" <"$2" 3>&-
}

get()
{
	on "$1" cat "$2" >"$3"
}

# launch_on NODE NAME SCRIPT: runs on by itself.
launch_on()
{
	local files=/run/jobs/$2

	on_for "$command_seconds" "$1" "
		rm -f $files.status
		{
			setsid bash -c ${3@Q} &
			echo \$! >$files.pid
			wait \$!
			echo \$? >$files.status
		} </dev/null >$files.output 2>&1 &"
}

# What it has printed so far.
job_output()
{
	on "$1" cat "/run/jobs/$2.output"
}

# Its exit status, once it has ended, before SECONDS (20) are over.
job_status()
{
	on_for "${3:-$command_seconds}" "$1" "until test -s /run/jobs/$2.status; do sleep 0.1; done; cat /run/jobs/$2.status"
}

# job_end NODE NAME [SIGNAL]: its process gets the signal, TERM by default.
job_end()
{
	on_for "$command_seconds" "$1" "kill -${3:-TERM} \$(cat /run/jobs/$2.pid)"
}

# runs_none NODE NAME: no process of that name is there.
runs_none()
{
	test "$(on_for "$command_seconds" "$1" "pidof ${2@Q} || echo none")" = none
}

# ---- Waiting ----

# eventually SECONDS COMMAND...
eventually()
{
	local deadline=$((SECONDS + $1))

	shift
	until "$@"; do
		test "$SECONDS" -lt "$deadline" || return 1
		sleep 0.1
	done
}

is_gone()
{
	test ! -d "/proc/$1" || grep -q '^State:.*zombie' "/proc/$1/status"
}
