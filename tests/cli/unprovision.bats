#!/usr/bin/env bats
# SPDX-License-Identifier: LGPL-2.1-or-later
load helpers

entries()
{
	find "$dir/state" -type f -path '*/keys/*' | wc -l
}

@test "unprovision removes what nobody uses, and nothing that is in use" {
	gl run --quiet --disk "$disk" -- true
	begin first --disk "$dir/second.img"
	test "$(entries)" -eq 4
	run -0 gl unprovision --unused
	test "$(entries)" -eq 4
	sleep 1
	run -0 gl unprovision --unused --age 0
	test "$(entries)" -eq 2
	run -1 gl run --disk "$dir/second.img" -- true
	[[ $output == *first* ]]
	run -0 gl run --disk "$disk" -- true
}

@test "unprovision keeps what a paused guest needs" {
	begin first --disk "$disk"
	gl pause first >/dev/null
	sleep 1
	run -0 gl unprovision --unused --age 0
	run -0 gl resume first
}

@test "unprovision says what it wants" {
	run -64 gl unprovision
	[[ $output == *--unused* ]]
	run -64 gl unprovision --unused --age soon
	[[ $output == *soon* ]]
	run -64 gl unprovision --unused rest
}
