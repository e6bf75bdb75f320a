# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the scripts of this folder share. They run at the top of the tree.

# shellcheck disable=SC2034 # for those who source this
build_packages=(gcc make autoconf automake libtool pkg-config libinih-dev nettle-dev libsmartcols-dev libjson-c-dev scdoc)

fail()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# missing_packages PACKAGE...: those that are not installed.
missing_packages()
{
	local package

	for package in "$@"; do
		[[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || echo "$package"
	done
}

# install_packages PACKAGE...: asks the network only for what is not there.
install_packages()
{
	local missing sudo=()

	command -v dpkg-query >/dev/null || {
		echo "this is no Debian: make sure that you have the like of: $*"
		return
	}
	mapfile -t missing < <(missing_packages "$@")
	test "${#missing[@]}" -gt 0 || return 0
	echo "installing ${missing[*]}"
	if test "$(id -u)" != 0; then
		command -v sudo >/dev/null || fail "packages are missing (${missing[*]}): run as root, or install them first"
		sudo=(sudo)
	fi
	"${sudo[@]}" apt-get update -qq || fail "apt-get update failed: is there a network? missing: ${missing[*]}"
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		"${missing[@]}" >/dev/null || fail "could not install ${missing[*]}"
}

# prepare_source: configure must be there and newer than what it is made of.
prepare_source()
{
	test ! -f config.status || fail "this tree is configured in place, so nothing else can be built from it: run 'make distclean' first"
	if test -f configure && test -f Makefile.in && test -f build-aux/ltmain.sh &&
		test -z "$(find configure.ac Makefile.am m4 backends tests -newer configure \
			\( -name configure.ac -o -name 'Makefile.am' -o -name '*.m4' -o -name '*.am' \) -print -quit)"; then
		return
	fi
	./autogen.sh >/dev/null 2>build-autogen.log || {
		cat build-autogen.log >&2
		fail "autogen.sh failed"
	}
	rm -f build-autogen.log
}
