#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# The chain of images below a disk changes while the guest runs. Only the uppermost image of a chain is the guest's own.
# What the helpers set.
# shellcheck disable=SC2154
load helpers

# chain NAME...: $top/split/NAME.qcow2, each above the one before, on every host.
chain()
{
	local host name below

	for host in $world_hosts; do
		below=()
		for name in "$@"; do
			on "$host" qemu-img create -q -f qcow2 "${below[@]}" "$top/split/$name.qcow2" 1M
			below=(-b "$top/split/$name.qcow2" -F qcow2)
		done
	done
}

# snapshot HOST GUEST NAME: the guest goes on in a new image.
snapshot()
{
	vsh "$1" snapshot-create-as "$2" --name "$3" --disk-only --no-metadata --diskspec \
		"sda,file=$top/split/$3.qcow2" >/dev/null
}

# There is such an image there, so that nothing but its lock can stand in the way.
there_is()
{
	on "$1" test -e "$2" || on "$1" qemu-img create -q -f qcow2 "$2" 1M
}

# may_not HOST IMAGE: a guest of that host is refused it, for guest one on alpha has it.
may_not()
{
	there_is "$@"
	define "$1" other "$2,qcow2"
	run vsh "$1" start other
	refused_by alpha one "$2"
	vsh "$1" undefine other
}

# may HOST IMAGE
may()
{
	there_is "$@"
	begin "$1" other "$2,qcow2" && vsh "$1" destroy other && vsh "$1" undefine other
}

@test "external snapshot: the guest holds the new image, and the old one no more" {
	chain base
	begin alpha one "$top/split/base.qcow2,qcow2"
	snapshot alpha one first
	holds alpha one split/first.qcow2=held/exclusive
	may_not beta "$top/split/first.qcow2"
	snapshot alpha one second
	holds alpha one split/second.qcow2=held/exclusive
	vsh alpha suspend one
	vsh alpha resume one
	holds alpha one split/second.qcow2=held/exclusive
}

@test "external snapshot into an image that another guest has is refused" {
	chain base
	chain other
	begin alpha one "$top/split/base.qcow2,qcow2"
	begin beta two "$top/split/other.qcow2,qcow2"
	run vsh alpha snapshot-create-as one --name x --disk-only --no-metadata --reuse-external --diskspec \
		"sda,file=$top/split/other.qcow2"
	refused_by beta two "$top/split/other.qcow2"
	holds alpha one split/base.qcow2=held/exclusive
}

@test "external snapshot of two disks, of which the second is refused: nothing changes" {
	chain base
	chain second
	chain other
	begin alpha one "$top/split/base.qcow2,qcow2" "$top/split/second.qcow2,qcow2"
	begin beta two "$top/split/other.qcow2,qcow2"
	run vsh alpha snapshot-create-as one --name x --disk-only --no-metadata --reuse-external --diskspec \
		"sda,file=$top/split/base.upper" --diskspec "sdb,file=$top/split/other.qcow2"
	((status != 0))
	on alpha qemu-img create -q -f qcow2 "$top/split/base.upper" 1M
	run vsh alpha snapshot-create-as one --name x --disk-only --no-metadata --reuse-external --diskspec \
		"sda,file=$top/split/base.upper" --diskspec "sdb,file=$top/split/other.qcow2"
	refused_by beta two "$top/split/other.qcow2"
	holds alpha one split/base.qcow2=held/exclusive split/second.qcow2=held/exclusive
}

@test "active commit with pivot: the base takes the place of the upper image" {
	chain base top
	begin alpha one "$top/split/top.qcow2,qcow2"
	holds alpha one split/top.qcow2=held/exclusive
	vsh alpha blockcommit one sda --active --wait --pivot
	eventually holds alpha one split/base.qcow2=held/exclusive
	may_not beta "$top/split/base.qcow2"
	may beta "$top/split/top.qcow2"
}

@test "active commit, base held by another guest: refused, and nothing changes" {
	chain base top
	begin beta two "$top/split/base.qcow2,qcow2"
	begin alpha one "$top/split/top.qcow2,qcow2"
	run vsh alpha blockcommit one sda --active --wait --pivot
	refused_by beta two "$top/split/base.qcow2"
	holds alpha one split/top.qcow2=held/exclusive
}

@test "active commit that is aborted: libvirt never says that the base is done with; the guest keeps it until its end" {
	chain base top
	begin alpha one "$top/split/top.qcow2,qcow2"
	vsh alpha blockcommit one sda --active --wait
	holds alpha one split/base.qcow2=held/exclusive split/top.qcow2=held/exclusive
	vsh alpha blockjob one sda --abort
	eventually holds alpha one split/base.qcow2=held/exclusive split/top.qcow2=held/exclusive
	may_not beta "$top/split/base.qcow2"
	# Somebody who knows better can give it back.
	gl alpha --quiet detach one --disk "$top/split/base.qcow2" --force
	holds alpha one split/top.qcow2=held/exclusive
	may beta "$top/split/base.qcow2"
	vsh alpha blockcommit one sda --active --wait --pivot
	eventually holds alpha one split/base.qcow2=held/exclusive
}

@test "intermediate commit: the base is the guest's only while it is written to" {
	chain base middle top
	begin alpha one "$top/split/top.qcow2,qcow2"
	snapshot alpha one upper
	vsh alpha blockcommit one sda --base "$top/split/base.qcow2" --top "$top/split/top.qcow2" --wait
	eventually holds alpha one split/upper.qcow2=held/exclusive
	may beta "$top/split/base.qcow2"
	may_not beta "$top/split/upper.qcow2"
	vsh alpha suspend one
	vsh alpha resume one
	holds alpha one split/upper.qcow2=held/exclusive
}

@test "block pull: the guest's image stays the guest's" {
	chain base middle top
	begin alpha one "$top/split/top.qcow2,qcow2"
	vsh alpha blockpull one sda --base "$top/split/base.qcow2" --wait
	holds alpha one split/top.qcow2=held/exclusive
	vsh alpha blockpull one sda --wait
	holds alpha one split/top.qcow2=held/exclusive
	may_not beta "$top/split/top.qcow2"
	may beta "$top/split/middle.qcow2"
}

@test "block copy with pivot, and aborted: the guest holds both while it runs, and one of them after it" {
	chain base
	begin alpha one "$top/split/base.qcow2,qcow2"
	vsh alpha blockcopy one sda "$top/split/copy.qcow2" --transient-job --wait --format qcow2
	holds alpha one split/base.qcow2=held/exclusive split/copy.qcow2=held/exclusive
	may_not beta "$top/split/copy.qcow2"
	vsh alpha blockjob one sda --abort
	eventually holds alpha one split/base.qcow2=held/exclusive

	vsh alpha blockcopy one sda "$top/split/second.qcow2" --transient-job --wait --pivot --format qcow2
	eventually holds alpha one split/second.qcow2=held/exclusive
	may_not beta "$top/split/second.qcow2"
	may beta "$top/split/base.qcow2"
}

@test "block copy to what another guest has is refused" {
	chain base
	chain other
	begin beta two "$top/split/other.qcow2,qcow2"
	begin alpha one "$top/split/base.qcow2,qcow2"
	run vsh alpha blockcopy one sda "$top/split/other.qcow2" --transient-job --wait --reuse-external --format qcow2
	refused_by beta two "$top/split/other.qcow2"
	holds alpha one split/base.qcow2=held/exclusive
}

# backup MODE TARGET: a description of one, for virsh.
backup()
{
	case $1 in
	push) echo "<domainbackup mode='push'><disks><disk name='sda' type='file'><target file='$2'/><driver type='qcow2'/></disk></disks></domainbackup>" ;;
	pull) echo "<domainbackup mode='pull'><server transport='unix' socket='$top/alpha/nbd'/><disks><disk name='sda' type='file'><scratch file='$2'/></disk></disks></domainbackup>" ;;
	esac
}

@test "backup: what it writes to is held until it has ended" {
	chain base
	begin alpha one "$top/split/base.qcow2,qcow2"
	backup push "$top/split/backup.qcow2" >"$top/xml/backup"
	vsh alpha backup-begin one "$top/xml/backup"
	eventually holds alpha one split/base.qcow2=held/exclusive
	test -s "$top/alpha/split/backup.qcow2"

	backup pull "$top/split/scratch.qcow2" >"$top/xml/backup"
	vsh alpha backup-begin one "$top/xml/backup"
	holds alpha one split/base.qcow2=held/exclusive split/scratch.qcow2=held/exclusive
	may_not beta "$top/split/scratch.qcow2"
	vsh alpha domjobabort one
	eventually holds alpha one split/base.qcow2=held/exclusive
}

@test "libvirtd is killed in the middle of a block copy: both images are the guest's until it ends" {
	chain base
	begin alpha one "$top/split/base.qcow2,qcow2"
	vsh alpha blockcopy one sda "$top/split/copy.qcow2" --transient-job --wait --format qcow2
	daemon_restart alpha KILL
	holds alpha one split/base.qcow2=held/exclusive split/copy.qcow2=held/exclusive
	may_not beta "$top/split/copy.qcow2"
	vsh alpha blockjob one sda --pivot
	eventually holds alpha one split/copy.qcow2=held/exclusive
}
