dnl SPDX-License-Identifier: LGPL-2.1-or-later
PKG_CHECK_MODULES([SANLOCK], [libsanlock_client >= 3.8], [],
	[gl_missing="libsanlock_client was not found (Debian: libsanlock-dev)"])
