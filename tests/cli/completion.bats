#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
# What bash completes.
load helpers

# complete_words WORD...: what the last word can become, one a line; the command may be anywhere.
complete_words()
{
	COMP_WORDS=("$GUESTLOCK" "$@")
	COMP_CWORD=$#
	_guestlock
	printf '%s\n' "${COMPREPLY[@]}"
}

load_completion()
{
	# shellcheck disable=SC1091 # it is at the top of the tree, or installed
	. "${top_srcdir:-$BATS_TEST_DIRNAME/../..}/conf/bash-completion/guestlock"
}

@test "completion: every command, and no other word" {
	load_completion
	run -0 complete_words ""
	test "$output" = "$(gl help | sed -nE 's/^  ([a-z]+) .*/\1/p')"
	run -0 complete_words re
	test "$(tr '\n' ' ' <<<"$output")" = "resume release reap "
}

@test "completion: the options of a command, and those of all" {
	load_completion
	run -0 complete_words run --
	for option in --name --uuid --disk --lease --wait --json --config; do
		grep -qx -e "$option" <<<"$output"
	done
	run -0 complete_words list --d
	test -z "$output"
}

@test "completion: guests by name and uuid" {
	load_completion
	begin ant --disk "$disk"
	begin zebra
	run -0 complete_words show ""
	grep -qx ant <<<"$output"
	grep -qx zebra <<<"$output"
	grep -qx "$(property ant uuid)" <<<"$output"
	run -0 complete_words show z
	test "$output" = zebra
	run -0 complete_words migrate prepare an
	test "$output" = ant
	run -0 complete_words -c "$dir/other.conf" show ""
	test -z "$output"
}

@test "completion: files for disks, steps of a migration" {
	load_completion
	run -0 complete_words attach ant --disk "$dir/sec"
	test "$output" = "$dir/second.img"
	run -0 complete_words migrate ""
	test "$(tr '\n' ' ' <<<"$output")" = "prepare complete cancel "
}

@test "completion: the values of options are not the guest's command" {
	load_completion
	run -0 complete_words run --id 7 --param a = b -E 3 --conflict-exit-code 4 --di
	test "$output" = --disk
	run -0 complete_words run --disk = "$dir/sec"
	test "$output" = "$dir/second.img"
	run -0 complete_words run --qmp = "$dir/sec"
	test "$output" = "$dir/second.img"
	run -0 complete_words run --param ""
	test -z "$output"
	run -0 complete_words run --param a = ""
	test -z "$output"
	begin ant --disk "$disk"
	export GUESTLOCK_CONFIG=/dev/null
	run -0 complete_words --config = "$dir/guestlock.conf" show an
	test "$output" = ant
	run -0 complete_words --config "$dir/guestlock.conf" migrate --to x prepare an
	test "$output" = ant
}

@test "completion: the guest's command" {
	load_completion
	run -0 complete_words run --disk "$disk" -- tru
	grep -qx true <<<"$output"
	run -0 complete_words run tru
	grep -qx true <<<"$output"
}
