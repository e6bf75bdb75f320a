dnl SPDX-License-Identifier: LGPL-2.1-or-later
dnl Not pkg-config: some distributions ship a libdlm.pc that names a wrong version and folder.
AC_CHECK_HEADERS([libdlm.h linux/dlm_device.h], [], [gl_missing="libdlm.h was not found (Debian: libdlm-dev)"],
	[#include <sys/types.h>])
AS_IF([test -z "$gl_missing"], [
	AC_CHECK_LIB([dlm], [dlm_create_lockspace], [DLM_LIBS=-ldlm],
		[gl_missing="libdlm cannot be linked (Debian: libdlm-dev)"])
	PKG_CHECK_MODULES([CPG], [libcpg libcmap], [],
		[gl_missing="libcpg or libcmap was not found (Debian: libcpg-dev libcmap-dev)"])
])
AC_SUBST([DLM_LIBS])
