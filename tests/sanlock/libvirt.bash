# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of the plugin in real libvirtds whose hosts have a sanlock daemon each: what is said to be locked is asked
# of sanlock. Two hosts as in the other tests of the plugin; beside what their helpers have:
#
#   settings=(LINE...)          before the load, in the file itself: lines for [guestlock], on both hosts
#   has_leases HOST [WORD...]   sanlock there says that these are leased to processes, and nothing else. A WORD is the path
#                               of a disk, the name of a guest, for its own lease, or LOCKSPACE:RESOURCE:PATH:OFFSET;
#                               with ",SH" behind it, if it is shared
#   own_lockspace               in setup_file: one of an administrator, with leases "first" and "second"
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154
load ../libvirt/helpers

# ---- Hosts with sanlock: /run is their own, and so is the daemon's socket ----

eval "$(declare -f host_begin | sed '1s/host_begin/libvirt_host_begin/')"

host_begin()
{
	libvirt_host_begin "$1" && sanlock_begin "$1" || return 1
	# It joins, while other things start.
	joined "$1" 2>/dev/null || :
}

sanlock_begin()
{
	mkdir -p "$top/$1/run/sanlock" "$top/shared.leases"
	launch "$1" "$top/$1/log/sanlock" env --ignore-signal=XFSZ SANLOCK_PRIVILEGED=0 sanlock daemon -D -w 0 -l 0 \
		-h 0 -L -1 -S -1 -U root -G root -e "$1"
	eventually on "$1" sanlock client version >/dev/null
}

# More lines are for [guestlock], as with the other backend.
write_guestlock_conf()
{
	local host=$1

	shift
	printf '%s\n' "[guestlock]" "backend = sanlock" "run_dir = $top/$host/records" "state_dir = $top/$host/state" \
		"${settings[@]}" "$@" "[sanlock]" "host_id = $(host_id "$host")" "lease_dir = $top/shared.leases" "io_timeout = 1" \
		"allow_no_watchdog = yes" "allow_local_leases = yes" >"$top/$host/etc/qemu-guestlock.conf"
}

host_id()
{
	echo "$(($(host_number "$1") + 1))"
}

setup_file()
{
	sanlock_world
}

sanlock_world()
{
	command -v sanlock >/dev/null || {
		export world_missing="sanlock is not installed"
		test -z "${GUESTLOCK_TEST_ALL-}"
		return
	}
	world_begin alpha beta
	test -z "${world_missing-}" || return 0
	mkdir "$top/keys"
	eventually joined alpha
	eventually joined beta
}

joined()
{
	gl "$1" --quiet check >/dev/null
}

# ---- What sanlock says ----

has_leases()
{
	local host=$1 got want

	shift
	got=$(leases "$host") || return 1
	want=$(wanted_leases "$host" "$@") || return 1
	test "$got" = "$want" || {
		printf 'sanlock says that %s has\n%s\nand not\n%s\n' "$host" "$got" "$want" >&2
		return 1
	}
}

# leases HOST: a line each, with the key alone for those in guestlock's own lockspace. sanlock says
# "r LOCKSPACE:RESOURCE:PATH:OFFSET:VERSION p PID", and "SH" for the version of what is shared.
leases()
{
	local status

	status=$(on "$1" timeout -k 1 "$patience" sanlock client status) || return 1
	sed -nE '/^r /!d; s/^r //; s/:[0-9]+ p [0-9]+$//; s/:SH p [0-9]+$/,SH/; s/^guestlock:([^:]+):[^,]*/\1/; p' <<<"$status" |
		sort
}

# wanted_leases HOST WORD...: the same of what there should be. PATH,SH: a disk that is only read; PATH,SW: one that
# is written with others.
wanted_leases()
{
	local host=$1 word

	shift
	for word in "$@"; do
		case $word in
		*:*) echo "$word" ;;
		*,S[HW])
			echo "$(key_of "$host" "${word%,S?}"),SH"
			[[ "${settings[*]-}" != *readonly_disks*shared* ]] || echo "$(side_of "$host" "$word"),SH"
			;;
		*) key_of "$host" "$word" ;;
		esac
	done | sort
}

# key_of HOST WORD: of a disk or of a guest. It never changes, and is asked for once.
key_of()
{
	local file=$top/keys/${2//[^[:alnum:]]/_}

	test -s "$file" || case $2 in
	/*) gl "$1" --quiet check "$2" --json | jq -r '.resources[0].key' >"$file" ;;
	*) gl "$1" --quiet show "$2" --json | jq -r '.guests[0].resources[] | select(.type == "guest") | .key' >"$file" ;;
	esac
	echo "$(<"$file")"
}

# side_of HOST PATH,SH|SW: the key of those who only read that disk, or of those who write it with others.
side_of()
{
	local identity side=readers

	test "${2##*,}" = SH || side=writers
	identity=$(gl "$1" --quiet check "${2%,*}" --json | jq -r '.resources[0].identity')
	printf '%s\0%s' "$side" "$identity" | sha256sum | head -c 64 | tr a-f A-F | basenc --base16 -d | basenc --base64url | tr -d '='
	echo
}

# ---- Leases of an administrator ----

readonly own_offset=1048576 # of the first of them

own_lockspace()
{
	truncate -s 3M "$top/own"
	on alpha sanlock direct init -s "own:0:$top/own:0" -o 1
	on alpha sanlock direct init -r "$(own_lease first)" -o 1
	on alpha sanlock direct init -r "$(own_lease second)" -o 1
	on alpha timeout 30 sanlock client add_lockspace -s "own:1:$top/own:0" -o 1 &
	on beta timeout 30 sanlock client add_lockspace -s "own:2:$top/own:0" -o 1
	wait $!
}

# lease_xml NAME: as an element of a domain, in place of the one in ../libvirt/helpers. own_lease NAME: as sanlock says it.
lease_xml()
{
	echo "<lease><lockspace>own</lockspace><key>$1</key><target path='$top/own' offset='$(own_offset_of "$1")'/></lease>"
}

own_lease()
{
	echo "own:$1:$top/own:$(own_offset_of "$1")"
}

own_offset_of()
{
	case $1 in
	first) echo "$own_offset" ;;
	second) echo "$((2 * own_offset))" ;;
	esac
}
