# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of the plugin in a real libvirtd, with QEMU guests. Each file of tests has two hosts, alpha and beta:
# a libvirtd each, with its own mounts, host name, configuration and records, and one lock directory for both. Nothing
# of the system's libvirt is touched. virtd_host holds a host together and ends all of it with the file.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154
bats_require_minimum_version 1.5.0

readonly patience=30 # seconds that anything is waited for

# What every file of tests has; one that needs more defines its own.
setup_file()
{
	world_begin alpha beta
}

setup()
{
	test -z "${world_missing-}" || skip "$world_missing"
}

teardown()
{
	world_settle
}

teardown_file()
{
	world_end
}

# ---- The world: directories that all hosts have ----

# world_begin HOST...: these hosts, their libvirtd running.
world_begin()
{
	local host status=0

	world_is_possible || status=$?
	test "$status" != 2 || return 0
	test "$status" = 0 || return 1
	top=$(mktemp -d "${TMPDIR:-/tmp}/guestlock-libvirt.XXXXXX")
	top=$(realpath "$top")
	chmod 0755 "$top"
	export top LC_ALL=C.UTF-8
	export world_hosts="$*"
	unset GUESTLOCK_CONFIG
	use_command_itself
	mkdir -p "$top"/{shared,split,drivers,locks,xml}
	ln -s "$(qemu_driver)" "$top/drivers/"
	cache_mode=writeback
	if dd if=/dev/zero of="$top/direct" bs=4096 count=1 oflag=direct 2>/dev/null; then
		cache_mode=none
	fi
	export cache_mode
	for host in "$@"; do
		host_begin "$host" || return 1
	done
	for host in "$@"; do
		daemon_start "$host" || return 1
	done
}

# What is missing is said: $world_missing, and the tests are skipped, or fail where all of them are wanted.
world_is_possible()
{
	local program missing=''

	: "${GUESTLOCK:?is the command to test}" "${top_builddir:?is the build}"
	plugin_dir=${GUESTLOCK_PLUGIN_PATH:-$top_builddir/compat/libvirt/.libs}
	export plugin_dir
	test -e "$plugin_dir/guestlock.so" || missing="$plugin_dir has no guestlock.so"
	for program in libvirtd virsh qemu-system-x86_64 qemu-img nsenter jq; do
		command -v "$program" >/dev/null || missing="$program is not installed"
	done
	test -n "$(qemu_driver)" || missing="libvirt's driver for QEMU is not installed"
	test "$(id -u)" = 0 || missing="a libvirtd with mounts of its own needs root"
	test -n "$missing" || return 0
	export world_missing=$missing
	test "$(id -u)" != 0 || test -z "${GUESTLOCK_TEST_ALL-}" || {
		echo "$missing"
		return 1
	}
	return 2
}

# Not the script that libtool puts before it, which takes its time.
use_command_itself()
{
	local folder

	folder=$(dirname "$GUESTLOCK")
	if test -x "$folder/.libs/guestlock"; then
		export LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
		export GUESTLOCK=$folder/.libs/guestlock
	fi
}

qemu_driver()
{
	local file

	for file in /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so \
		/usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so; do
		test ! -e "$file" || echo "$file"
	done
}

# In teardown: whatever a test left ends, and then nothing may be locked or recorded any more.
world_settle()
{
	local host

	test -n "${top-}" || return 0
	for host in $world_hosts; do
		test -e "$top/$host/log/daemon.ended" || end_guests "$host" || return 1
		end_others "$host"
	done
	for host in $world_hosts; do
		if test -e "$top/$host/log/daemon.ended" -o -e "$top/$host/changed"; then
			host_as_before "$host" || return 1
		fi
		has_nothing "$host" || return 1
	done
	rm -rf "$top"/shared/* "$top"/split/* "$top"/*/split/* "$top"/xml/*
}

# host_as_before HOST: its libvirtd runs with the usual configuration. Guests ended with the one they were started with.
host_as_before()
{
	local host=$1

	test ! -e "$top/$host/changed" || gl "$host" --quiet reap >/dev/null || :
	test -e "$top/$host/log/daemon.ended" || daemon_end "$host" TERM
	write_libvirt_conf "$host"
	write_guestlock_conf "$host"
	rm -f "$top/$host/changed"
	daemon_start "$host" && end_guests "$host"
}

end_guests()
{
	local host=$1 name

	for name in $(vsh "$host" list --all --name); do
		vsh "$host" destroy "$name" >/dev/null 2>&1 || :
		vsh "$host" undefine "$name" --managed-save --snapshots-metadata --checkpoints-metadata >/dev/null 2>&1 || :
	done
	test -z "$(vsh "$host" list --all --name)"
}

# end_others HOST: guests that tests started without libvirt, or wait to start, or that no libvirtd knows any more.
end_others()
{
	local pid file

	for file in "$top"/xml/*.pid; do
		test ! -e "$file" || test -e "${file%.pid}.ended" || kill -TERM "$(<"$file")" 2>/dev/null || :
	done
	for pid in $(gl "$1" --quiet list --json | jq -r '.guests[] | select(.life != "dead") | .pid // empty'); do
		kill -KILL "$pid" && eventually is_gone "$pid"
	done
}

# has_nothing HOST: after its dead guests are released there is no record, and no lock that no record explains.
has_nothing()
{
	local got

	got=$(gl "$1" --quiet reap --json | jq -c '{alive, damaged, orphans, failed} | select(any(. != 0))')
	if test -n "$got" || test "$(gl "$1" --quiet list --json | jq '.guests | length')" != 0; then
		echo "left on $1: $got $(gl "$1" list 2>&1)" >&2
		return 1
	fi
}

world_end()
{
	local host

	test -n "${top-}" || return 0
	for host in $world_hosts; do
		host_end "$host"
	done
	rm -rf "$top"
}

# ---- A host ----

# host_begin HOST: its directories and its namespaces; no libvirtd yet.
host_begin()
{
	local host=$1 here=$top/$1 pairs=() target

	mkdir -p "$here"/{etc,lib,log,cache,run,records,state,split,empty}
	write_libvirt_conf "$host"
	write_guestlock_conf "$host"
	write_users "$host"
	mkdir -p /var/{lib,log,cache}/libvirt /etc/libvirt
	pairs=("$here/etc" /etc/libvirt "$here/lib" /var/lib/libvirt "$here/log" /var/log/libvirt
		"$here/cache" /var/cache/libvirt "$here/run" /run
		"$here/passwd" /etc/passwd "$here/group" /etc/group "$here/split" "$top/split")
	test ! -d /etc/guestlock || pairs+=("$here/empty" /etc/guestlock)
	"$top_builddir/tests/libvirt/virtd_host" $$ "$host" "$here/control" "${pairs[@]}" >"$here/host.log" 2>&1 3>&- &
	echo $! >"$here/host.pid"
	eventually test -p "$here/control" -o ! -d "/proc/$(<"$here/host.pid")"
	test -p "$here/control" || {
		cat "$here/host.log"
		return 1
	}
}

host_end()
{
	local pid

	pid=$(cat "$top/$1/host.pid" 2>/dev/null) || return 0
	kill -TERM "$pid" 2>/dev/null || :
	eventually is_gone "$pid" || kill -KILL "$pid"
}

write_libvirt_conf()
{
	local host=$1 here=$top/$1 number

	number=$(host_number "$host")
	cat >"$here/etc/libvirtd.conf" <<-END
		auth_unix_ro = "none"
		auth_unix_rw = "none"
		unix_sock_ro_perms = "0777"
		unix_sock_rw_perms = "0777"
		listen_tls = 0
		listen_tcp = 0
		host_uuid = "$(uuid_of "host $host")"
		log_filters = "3:qemu.qemu_monitor"
		log_outputs = "2:file:$here/log/libvirtd.log"
	END
	cat >"$here/etc/qemu.conf" <<-END
		lock_manager = "guestlock"
		security_driver = "none"
		user = "root"
		group = "root"
		dynamic_ownership = 0
		remember_owner = 0
		cgroup_controllers = [ ]
		namespaces = [ ]
		stdio_handler = "file"
		seccomp_sandbox = 0
		migration_port_min = $((49152 + $$ % 500 * 20 + number * 10))
		migration_port_max = $((49161 + $$ % 500 * 20 + number * 10))
	END
}

# The driver looks for these names although it does not use them here; Debian's libvirt-daemon-system would make them.
write_users()
{
	local here=$top/$1

	{
		grep -v '^libvirt-qemu:' /etc/passwd
		echo "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin"
	} >"$here/passwd"
	{
		grep -Ev '^(libvirt-qemu|kvm):' /etc/group
		echo "libvirt-qemu:x:64055:"
		echo "kvm:x:64056:"
	} >"$here/group"
}

# host_number HOST: 0 for the first.
host_number()
{
	local host number=0

	for host in $world_hosts; do
		test "$host" != "$1" || break
		number=$((number + 1))
	done
	echo "$number"
}

# write_guestlock_conf HOST [LINE...]: the plugin's file, with more lines in [guestlock]; a line "backend = NAME" and
# "lock_dir = DIR" take the place of the usual ones.
write_guestlock_conf()
{
	local host=$1 line backend=fcntl lock_dir=$top/locks more=()

	shift
	for line in "$@"; do
		case $line in
		"backend = "*) backend=${line#* = } ;;
		"lock_dir = "*) lock_dir=${line#* = } ;;
		*) more+=("$line") ;;
		esac
	done
	printf '%s\n' "[guestlock]" "backend = $backend" "run_dir = $top/$host/records" \
		"state_dir = $top/$host/state" "${more[@]}" "[$backend]" "lock_dir = $lock_dir" \
		>"$top/$host/etc/qemu-guestlock.conf"
}

# on HOST COMMAND...: there.
on()
{
	local pid

	pid=$(<"$top/$1/host.pid")
	shift
	nsenter -t "$pid" -m -u -- "$@" 3>&-
}

# launch HOST OUTPUT COMMAND...: in the background there; it is the host's, and ends with it. What it prints goes to OUTPUT,
# its pid to OUTPUT.pid, and its exit status, when it has ended, to OUTPUT.ended.
launch()
{
	local host=$1 output=$2 script

	shift 2
	script=$(mktemp "$top/$host/launch.XXXXXX")
	rm -f "$output.ended"
	printf '%q ' "$@" >"$script"
	printf '>>%q 2>&1 &\necho $! >%q\nwait $!\necho $? >%q\n' "$output" "$output.pid" "$output.ended" >>"$script"
	echo "exec bash $script" >"$top/$host/control"
}

# gl HOST WORD...: the command there, with the plugin's configuration.
gl()
{
	local host=$1

	shift
	on "$host" "$GUESTLOCK" -c /etc/libvirt/qemu-guestlock.conf "$@"
}

# vsh HOST WORD...: virsh with that host's libvirtd.
vsh()
{
	local host=$1

	shift
	timeout 60 virsh -q -c "$(uri_of "$host")" "$@" 3>&-
}

uri_of()
{
	echo "qemu+unix:///system?socket=$top/$1/run/libvirt/libvirt-sock"
}

# ---- Its libvirtd ----

# daemon_start HOST [VARIABLE=VALUE...]: libvirtd runs and answers.
daemon_start()
{
	local host=$1

	shift
	daemon_launch "$host" "$@"
	eventually daemon_is_settled "$host"
	vsh "$host" connect || {
		tail -n 20 "$top/$host/log/daemon" "$top/$host/log/libvirtd.log"
		return 1
	}
}

# It answers, or it has ended.
daemon_is_settled()
{
	vsh "$1" connect 2>/dev/null || test -e "$top/$1/log/daemon.ended"
}

daemon_launch()
{
	local host=$1

	shift
	launch "$host" "$top/$host/log/daemon" env "LIBVIRT_LOCK_MANAGER_PLUGIN_DIR=$plugin_dir" \
		"LIBVIRT_DRIVER_DIR=$top/drivers" "GUESTLOCK_BACKEND_PATH=$GUESTLOCK_BACKEND_PATH" "$@" \
		libvirtd -f /etc/libvirt/libvirtd.conf -p /run/libvirtd.pid
}

daemon_pid()
{
	cat "$top/$1/run/libvirtd.pid"
}

# daemon_end HOST SIGNAL: KILL as in a crash, TERM as in a stop. Guests run on.
daemon_end()
{
	kill "-$2" "$(daemon_pid "$1")"
	eventually test -e "$top/$1/log/daemon.ended"
	test "$2" != KILL || forget_unborn "$1"
}

# forget_unborn HOST: guests whose process libvirtd had not noted when it was killed, which libvirt 9.0 can never end.
forget_unborn()
{
	local state

	for state in "$top/$1"/run/libvirt/qemu/*.xml; do
		test ! -e "$state" || ! grep -q "^<domstatus .* pid='0'" "$state" || rm "$state"
	done
}

daemon_restart()
{
	daemon_end "$1" "$2"
	daemon_start "$1"
}

# daemon_reconfigure HOST [LINE...]: it is started again with these lines in [guestlock]; the next test gets the usual.
daemon_reconfigure()
{
	daemon_end "$1" TERM
	write_guestlock_conf "$@"
	: >"$top/$1/changed"
	daemon_start "$1"
}

# without_plugin HOST: its libvirtd runs again, with no lock manager.
without_plugin()
{
	daemon_end "$1" TERM
	sed -i 's/^lock_manager = .*/lock_manager = "nop"/' "$top/$1/etc/qemu.conf"
	daemon_start "$1"
}

with_plugin()
{
	daemon_end "$1" TERM
	write_libvirt_conf "$1"
	daemon_start "$1"
}

# ---- Guests ----

uuid_of()
{
	local sum

	sum=$(echo "$1" | md5sum)
	echo "${sum:0:8}-${sum:8:4}-4${sum:13:3}-8${sum:17:3}-${sum:20:12}"
}

# image PATH...: empty images. In $top/shared all hosts have the same, in $top/split each has its own.
image()
{
	local path host

	for path in "$@"; do
		truncate -s 1M "$path"
		if [[ "$path" == "$top/split/"* ]]; then
			for host in $world_hosts; do
				truncate -s 1M "$top/$host/split/${path##*/}"
			done
		fi
	done
}

# disk_xml TARGET SPEC, a SPEC being PATH[,WORD...] with the words shared, readonly, qcow2, cdrom, virtio, stop; PATH
# may be empty for a cdrom.
disk_xml()
{
	local target=$1 spec=$2 path=${2%%,*} device=disk format=raw bus=scsi

	[[ ",$spec," != *,cdrom,* ]] || { device=cdrom; }
	[[ ",$spec," != *,qcow2,* ]] || format=qcow2
	[[ ",$spec," != *,virtio,* ]] || bus=virtio target=v${target#s}
	echo "<disk type='file' device='$device'>"
	if [[ ",$spec," == *,stop,* ]]; then
		echo "<driver name='qemu' type='$format' error_policy='stop'/>"
	else
		echo "<driver name='qemu' type='$format' cache='$cache_mode'/>"
	fi
	test -z "$path" || echo "<source file='$path'/>"
	[[ ",$spec," != *,shared,* ]] || echo "<shareable/>"
	[[ ",$spec," != *,readonly,* ]] || echo "<readonly/>"
	echo "<target dev='$target' bus='$bus'/></disk>"
}

# lease_xml KEY[:OFFSET]
lease_xml()
{
	local key=${1%%:*} offset=0

	[[ "$1" != *:* ]] || offset=${1##*:}
	echo "<lease><lockspace>tests</lockspace><key>$key</key><target path='$top/shared/leases' offset='$offset'/></lease>"
}

# guest_xml NAME WORD...: a WORD is lease=KEY[:OFFSET], on_crash=, on_lockfailure=, emulator=, panic=yes, or the SPEC of
# a disk.
guest_xml()
{
	local name=$1 word on_crash=destroy on_lockfailure='' emulator=/usr/bin/qemu-system-x86_64 devices='' letters=abcdefghijklmnopqrstuvwxyz

	shift
	for word in "$@"; do
		case $word in
		lease=*) devices+=$(lease_xml "${word#*=}") ;;
		panic=*) devices+="<panic model='isa'/>" ;;
		on_crash=* | emulator=*) local "$word" ;;
		on_lockfailure=*) on_lockfailure="<on_lockfailure>${word#*=}</on_lockfailure>" ;;
		*)
			devices+=$(disk_xml "sd${letters:0:1}" "$word")
			letters=${letters:1}
			;;
		esac
	done
	cat <<-END
		<domain type='qemu'>
		<name>$name</name><uuid>$(uuid_of "$name")</uuid>
		<memory unit='MiB'>24</memory><vcpu>1</vcpu>
		<os><type arch='x86_64' machine='pc'>hvm</type></os>
		<features><acpi/></features>
		<on_crash>$on_crash</on_crash>$on_lockfailure
		<devices>
		<emulator>$emulator</emulator>
		<controller type='usb' model='none'/>
		<controller type='scsi' index='0' model='virtio-scsi'/>
		<memballoon model='none'/>
		$devices
		</devices>
		</domain>
	END
}

# define HOST NAME WORD...
define()
{
	local host=$1

	shift
	guest_xml "$@" >"$top/xml/$host-$1.xml"
	vsh "$host" define "$top/xml/$host-$1.xml"
}

# begin HOST NAME WORD...: it is defined and runs.
begin()
{
	define "$@" && vsh "$1" start "$2"
}

# state HOST NAME: as libvirt sees it, "running", "paused", "shut off", "none".
state()
{
	vsh "$1" domstate "$2" 2>/dev/null || echo none
}

is_state()
{
	test "$(state "$1" "$2")" = "$3"
}

qemu_pid()
{
	cat "$top/$1/run/libvirt/qemu/$2.pid"
}

# property HOST NAME KEY: as guestlock there sees it; "gone" when it does not know it.
property()
{
	gl "$1" --quiet list --json |
		jq -r --arg name "$2" --arg key "$3" \
			'[.guests[] | select(.name == $name or .uuid == $name)] | if . == [] then "gone" else .[0][$key] end'
}

has()
{
	local got

	got=$(property "$1" "$2" "$3")
	test "$got" = "$4" || {
		echo "guestlock says of $2 on $1: $3 is $got, not $4" >&2
		return 1
	}
}

# has_ended HOST NAME: guestlock there does not know it, or knows that it is dead: then its locks are nobody's.
has_ended()
{
	[[ "$(property "$1" "$2" life)" =~ ^(gone|dead)$ ]]
}

# resources: of the JSON of show, a line each: NAME=STATE/MODE. Names begin below $top; the guest's own lock is left out.
resources()
{
	jq -r --arg top "$top/" '.guests[].resources[] | select(.type != "guest") |
		"\(.name | ltrimstr($top))=\(.state)/\(.mode)"' | sort
}

# holds HOST NAME [RESOURCE=STATE/MODE...]: these and no others.
holds()
{
	local host=$1 name=$2 got want

	shift 2
	got=$(gl "$host" --quiet show "$name" --json | resources)
	want=$(printf '%s\n' "$@" | sort)
	test "$got" = "$want" || {
		printf 'guestlock says that %s on %s has\n%s\nand not\n%s\n' "$name" "$host" "$got" "$want" >&2
		return 1
	}
}

# ---- Programs of guests: what a guest's first sector does ----

# program IMAGE NAME
program()
{
	local bytes

	case $2 in
	poweroff) bytes='\xba\x04\x06\xb8\x00\x20\xef\xf4\xeb\xfd' ;;     # outw(0x604, 0x2000); hlt
	panic) bytes='\xba\x05\x05\xb0\x01\xee\xf4\xeb\xfd' ;;             # outb(0x505, 1); hlt
	reset) bytes='\xb0\xfe\xe6\x64\xf4\xeb\xfd' ;;                     # outb(0x64, 0xfe); hlt
	# for (;;) write sector 1 of cylinder 1: int 0x13 of the BIOS
	write) bytes='\xb8\x01\x03\xb9\x01\x01\xba\x80\x00\x31\xdb\xcd\x13\xeb\xf1' ;;
	# With a data segment of 4 GiB: for (;;) for (esi = 1 MiB; esi < 9 MiB; esi += 4096) inc [esi]
	dirty)
		bytes='\xfa\x2e\x66\x0f\x01\x16\x46\x7c\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\xbb\x08\x00\x8e\xdb\x24\xfe\x0f\x22\xc0'
		bytes+='\x66\xbe\x00\x00\x10\x00\x67\x66\xff\x06\x66\x81\xc6\x00\x10\x00\x00\x66\x81\xfe\x00\x00\x90\x00\x72\xec\xeb\xe4'
		bytes+='\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x92\xcf\x00\x0f\x00\x36\x7c\x00\x00' # the segments
		;;
	*) return 1 ;;
	esac
	printf '%b' "$bytes" | dd of="$1" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
}

# ---- What virsh said ----

# refused_by HOST NAME RESOURCE, after "run virsh ...": it says that this guest there has the resource.
refused_by()
{
	local pid

	pid=$(qemu_pid "$1" "$2")
	((status != 0)) || {
		echo "not refused: $output" >&2
		return 1
	}
	contains "$output" "$3" && contains "$output" "guest $2 ($(uuid_of "$2")) on $1, pid $pid, since 20" &&
		[[ "$output" =~ since\ 20[0-9-]+\ [0-9:]{8}\ UTC ]]
}

# refused TEXT...
refused()
{
	local text

	((status != 0)) || {
		echo "not refused: $output" >&2
		return 1
	}
	for text in "$@"; do
		contains "$output" "$text" || return 1
	done
}

contains()
{
	if [[ "$1" != *"$2"* ]]; then
		printf '"%s" is not in:\n%s\n' "$2" "$1" >&2
		return 1
	fi
}

# ---- Small ones ----

# eventually COMMAND...: it succeeds within $patience seconds; what it says is only of interest the last time.
eventually()
{
	local end=$((SECONDS + patience))

	until "$@" 2>/dev/null; do
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
