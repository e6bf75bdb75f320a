# SPDX-License-Identifier: LGPL-2.1-or-later
# Images with partitions, made without tools that not every machine has.
# shellcheck shell=bash

# image FILE: with two partitions.
image()
{
	truncate -s 8M "$1"
	{
		printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\020\0\0'
		printf '\0\0\0\0\203\0\0\0\0\030\0\0\0\020\0\0'
		head -c 32 /dev/zero
		printf '\125\252'
	} | dd of="$1" bs=1 seek=446 conv=notrunc status=none
}
