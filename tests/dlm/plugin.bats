#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# libvirt's plugin on two nodes of a cluster, called as libvirt calls it: "replay" (tests/libvirt) runs on each of them.
# What the helpers set, and words that are for the shell of a node.
# shellcheck disable=SC2154,SC2016
load cluster
load guests

setup_file()
{
	cluster_begin 2 memory=192 token=10000
}

setup()
{
	test -e "$top_builddir/compat/libvirt/guestlock.la" || skip "this build has no plugin for libvirt"
	cluster_settle
	guests_prepare
	host 1
	host 2
}

teardown()
{
	cluster_explain
	for node in "${!to_host[@]}"; do
		host_end "$node"
	done
	guests_end
}

teardown_file()
{
	cluster_end
}

declare -A to_host=() from_host=() host_call=()

# host NODE: a daemon there with the plugin loaded, that takes calls.
host()
{
	local node=$1 pipes=$BATS_TEST_TMPDIR/$1.$RANDOM in out

	put "$node" "$top_builddir/tests/libvirt/.libs/symbols.so" /tests/symbols.so
	mkfifo "$pipes".{in,out}
	in_network "$top_builddir/tests/dlm/remote" call "$((7000 + node))" 300 "exec /tests/replay" \
		<"$pipes.in" >"$pipes.out" 3>&- &
	host_call[$node]=$!
	exec {in}>"$pipes.in" {out}<"$pipes.out"
	to_host[$node]=$in
	from_host[$node]=$out
	ok "$node" symbols /tests/symbols.so
	ok "$node" plugin guestlock /usr/local/lib/libvirt/lock-driver/guestlock.so
	ok "$node" init -
	ok "$node" domain "vm$node" /srv/a.img
}

# Its guests go on.
host_end()
{
	local node=$1 in=${to_host[$1]} out=${from_host[$1]}

	(echo quit >&"$in") 2>/dev/null || : # it may have been killed
	exec {in}>&- {out}<&-
	wait "${host_call[$node]}" || :
	unset "to_host[$node]" "from_host[$node]" "host_call[$node]"
}

# ask NODE WORD...: makes a call there; the answer is in $reply.
ask()
{
	local node=$1

	shift
	echo "$*" >&"${to_host[$node]}"
	read -r -t 60 -u "${from_host[$node]}" reply || reply="no answer"
	echo "node $node: $reply"
}

# ok NODE WORD...: it succeeds. no NODE WORD...: it fails.
ok()
{
	ask "$@"
	[[ $reply == *": ok"* ]]
}

no()
{
	ask "$@"
	[[ $reply == *": failed"* ]]
}

# refused NODE GUEST: the start there of the domain with this disk is refused in libvirt's words, and names who has it, and where.
refused()
{
	no "$1" start "vm$1"
	[[ $reply == *"code=87 message=resource busy: cannot lock disk /srv/a.img: it is held (exclusive) by guest $2 ("*") on node"* ]]
	[[ $reply != *"on node$1,"* ]]
}

@test "a domain's disk is refused to the other node, which names guest and node, until the domain has ended" {
	ok 1 start vm1
	refused 2 vm1
	ok 1 inquire vm1
	ok 1 kill vm1
	eventually 30 no_locks 1
	ok 2 start vm2
	refused 1 vm2
	test "$(holder 1 /srv/a.img)" = "vm2 exclusive"
}

@test "a suspended domain resumes while nobody has used its disk, and not when it was written" {
	ok 1 start vm1
	ok 1 suspend vm1
	[[ $reply == *"state=gl1:dlm:"* ]]
	ok 1 resume vm1
	refused 2 vm1
	ok 1 suspend vm1
	ok 2 start vm2
	no 1 resume vm1
	[[ $reply == *"guest vm2 ("*") on node2"* ]]
	ok 2 kill vm2
	eventually 30 no_locks 2
	no 1 resume vm1
	[[ $reply == *"/srv/a.img"* ]]
	ok 2 start vm2
}

@test "a plugged disk is the domain's until it is unplugged, and one in use is not plugged" {
	ok 1 start vm1
	ok 1 attach vm1 /srv/b.img
	no 2 attach vm2 /srv/b.img
	ok 2 domain other /srv/c.img
	ok 2 start other
	no 2 attach other /srv/b.img
	[[ $reply == *"by guest vm1 ("*") on node1"* ]]
	no 1 attach vm1 /srv/c.img
	[[ $reply == *"by guest other ("*") on node2"* ]]
	ok 1 detach vm1 /srv/b.img
	ok 2 attach other /srv/b.img
	refused 2 vm1
	no 1 attach vm1 /srv/b.img
}

@test "a shared disk goes to domains of both nodes, and a read-only one too" {
	ok 1 domain left /srv/c.img,shared /srv/d.img,ro
	ok 2 domain right /srv/c.img,shared /srv/d.img,ro
	ok 2 domain alone /srv/c.img
	ok 1 start left
	ok 2 start right
	no 2 start alone
	[[ $reply == *"it is held (shared) by guest "* ]]
	ok 1 kill left
	ok 2 kill right
	eventually 30 no_locks 1
	ok 2 start alone
}

@test "the daemon is killed: its domain has its disk, and the next daemon goes on with it" {
	local pid

	ok 1 start vm1
	pid=$(pid_of 1 vm1)
	on_for 30 1 'kill -KILL $(pidof replay)'
	host_end 1
	refused 2 vm1
	host 1
	ok 1 domain vm1 "pid=$pid" /srv/a.img
	ok 1 inquire vm1
	refused 2 vm1
	ok 1 suspend vm1
	ok 1 resume vm1
	on_for 30 1 'kill -KILL $(pidof replay) $(pidof guestlock-keeper)'
	host_end 1
	# No keeper runs there that could tell its name.
	no 2 start vm2
	[[ $reply == *"code=87 message=resource busy: "*"on node1;"* ]]
	on 1 kill -KILL "$pid"
	# Nobody is left to see it.
	on 1 guestlock reap
	ok 2 start vm2
}
