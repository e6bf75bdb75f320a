# SPDX-License-Identifier: LGPL-2.1-or-later
# The command in the nodes of a cluster (cluster.bash), and guests as jobs, each called as its guest.
# shellcheck shell=bash
# shellcheck disable=SC2154

# gl NODE WORD...: the command there.
gl()
{
	local node=$1

	shift
	on "$node" guestlock "$@"
}

# images NAME...: /disks/NAME, the same to all nodes.
images()
{
	local node

	for ((node = 1; node <= cluster_nodes; node++)); do
		once_in_node "$node" "images.$*" "mkdir -p /disks && cd /disks && truncate -s 1M ${*@Q}"
	done
}

# guest NODE NAME WORD...: runs there, with these words for guestlock run. It says "running" once it does.
guest()
{
	local node=$1 name=$2

	shift 2
	launch_on "$node" "$name" "exec guestlock run --name ${name@Q} ${*@Q} -- sh -c 'echo running; exec sleep 7200'"
	eventually "$command_seconds" guest_is_settled "$node" "$name"
	on "$node" grep -qx running "/run/jobs/$name.output" || {
		job_output "$node" "$name"
		return 1
	}
}

# It runs, or could not be started.
guest_is_settled()
{
	on_for "$command_seconds" "$1" "grep -qx running /run/jobs/$2.output || test -s /run/jobs/$2.status"
}

# guest_end NODE NAME: as when it shuts down, and until its locks are released.
guest_end()
{
	job_end "$1" "$2"
	test "$(job_status "$1" "$2")" = 143
}

# refused NODE STATUS WORD...: the command there ends with this status; what it says is in $output.
refused()
{
	local node=$1 wanted=$2

	shift 2
	run gl "$node" "$@"
	test "$status" = "$wanted" || {
		echo "exit status $status, not $wanted: $output"
		return 1
	}
}

# state NODE NAME: of the guest, as guestlock there sees it; "gone" when it does not know it.
state()
{
	gl "$1" --quiet list --json |
		jq -r --arg name "$2" '[.guests[] | select(.name == $name)] | if . == [] then "gone" else .[0].state end'
}
