dnl SPDX-License-Identifier: LGPL-2.1-or-later

dnl GL_HOST_DIRECTORIES
dnl All managers of one host have to meet in the same state directory, whichever prefix each was installed
dnl with: unless told otherwise, or installed privately, they use the host's own /etc, /var and /run.
AC_DEFUN([GL_HOST_DIRECTORIES], [
AS_CASE([$prefix], [NONE|/usr|/usr/local], [
	AS_IF([test "x$sysconfdir" = 'x${prefix}/etc'], [sysconfdir=/etc])
	AS_IF([test "x$runstatedir" = 'x${localstatedir}/run'], [
		AS_CASE([$localstatedir], ['${prefix}/var'|/var], [runstatedir=/run])])
	AS_IF([test "x$localstatedir" = 'x${prefix}/var'], [localstatedir=/var])
])
])

dnl GL_DIRECTORY_OPTION(NAME, VARIABLE, DEFAULT, HELP): --with-NAME=DIR, which make knows as VARIABLE. It may
dnl begin with another directory of make.
AC_DEFUN([GL_DIRECTORY_OPTION], [
	m4_pushdef([gl_with], [with_]m4_translit([$1], [-], [_]))
	AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=DIR], [$4])], [], [gl_with='$3'])
	AS_CASE([$gl_with], [[/*|'$'*]], [], [AC_MSG_ERROR([--with-$1=$gl_with: wants an absolute path])])
	AC_SUBST([$2], [$gl_with])
	m4_popdef([gl_with])
])

dnl GL_APPEND_FLAG(VARIABLE, FLAG, [EXTRA FLAGS FOR THE TEST])
dnl Appends what compiling and linking accept without a warning.
AC_DEFUN([GL_APPEND_FLAG], [
AS_VAR_PUSHDEF([gl_cache], [gl_cv_flag_$2])
AC_CACHE_CHECK([whether $CC accepts $2], [gl_cache], [
	gl_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $3 $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AS_VAR_SET([gl_cache], [yes])], [AS_VAR_SET([gl_cache], [no])])
	CFLAGS=$gl_save_CFLAGS])
AS_VAR_IF([gl_cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
AS_VAR_POPDEF([gl_cache])
])

dnl GL_COMPILER_FLAGS
dnl GL_CFLAGS, GL_CPPFLAGS, GL_LDFLAGS: dialect, warnings, hardening, sanitizers.
AC_DEFUN([GL_COMPILER_FLAGS], [
AC_ARG_ENABLE([werror],
	[AS_HELP_STRING([--enable-werror], [warnings are errors])], [], [enable_werror=no])
AC_ARG_ENABLE([sanitizers],
	[AS_HELP_STRING([--enable-sanitizers=LIST], [build with address,undefined or thread])],
	[], [enable_sanitizers=no])
AS_CASE([$enable_sanitizers],
	[yes], [enable_sanitizers=address,undefined],
	[no|address|undefined|thread|address,undefined|undefined,address|thread,undefined], [],
	[AC_MSG_ERROR([--enable-sanitizers=$enable_sanitizers: wants address,undefined or thread])])

GL_CPPFLAGS="-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64"
GL_CFLAGS=
GL_LDFLAGS=
m4_foreach_w([gl_flag], [-std=gnu11 -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
	-Wmissing-prototypes -Wcast-qual -Wvla -Wformat=2 -fno-common
	-fstack-protector-strong -fstack-clash-protection -fcf-protection],
	[GL_APPEND_FLAG([GL_CFLAGS], gl_flag)])
m4_foreach_w([gl_flag], [[-Wl,-z,relro] [-Wl,-z,now]], [GL_APPEND_FLAG([GL_LDFLAGS], [gl_flag])])

AS_IF([test "$enable_sanitizers" = no], [
	GL_APPEND_FLAG([GL_CFLAGS], [-Wnull-dereference])
	GL_APPEND_FLAG([GL_LDFLAGS], [[-Wl,-z,defs]])
	AC_CACHE_CHECK([whether the compiler optimises], [gl_cv_optimises], [
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([
#ifndef __OPTIMIZE__
#error "it does not"
#endif
])], [gl_cv_optimises=yes], [gl_cv_optimises=no])])
	AS_IF([test "$gl_cv_optimises" = yes],
		[GL_CPPFLAGS="$GL_CPPFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"])
], [
	gl_sanitize="-fsanitize=$enable_sanitizers"
	AC_MSG_CHECKING([whether $CC accepts $gl_sanitize])
	gl_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $gl_sanitize"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])], [
		AC_MSG_RESULT([no])
		AC_MSG_ERROR([$CC cannot build with $gl_sanitize: install its sanitizer libraries])])
	CFLAGS=$gl_save_CFLAGS
	GL_CFLAGS="$GL_CFLAGS $gl_sanitize -fno-omit-frame-pointer -fno-sanitize-recover=all"
	GL_LDFLAGS="$GL_LDFLAGS $gl_sanitize"
])
AS_IF([test "$enable_werror" = yes], [GL_CFLAGS="$GL_CFLAGS -Werror"])
AM_CONDITIONAL([SANITIZERS], [test "$enable_sanitizers" != no])
AC_SUBST([GL_CPPFLAGS])
AC_SUBST([GL_CFLAGS])
AC_SUBST([GL_LDFLAGS])
])

dnl GL_ONE_BACKEND(NAME)
dnl Asks, looks for what it needs, and makes NAME part of GL_BACKENDS_BUILT or says why it cannot be.
AC_DEFUN([GL_ONE_BACKEND], [
AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=auto|yes|no], [build the $1 backend [auto]])],
	[], [AS_VAR_SET([with_$1], [auto])])
AS_VAR_COPY([gl_wanted], [with_$1])
AS_CASE([$gl_wanted], [auto|yes|no], [], [AC_MSG_ERROR([--with-$1=$gl_wanted: wants auto, yes or no])])
gl_missing=
AS_IF([test "$gl_wanted" != no], [
	m4_indir([m4_sinclude], [backends/$1/configure.m4])
	AS_IF([test -z "$gl_missing"], [GL_BACKENDS_BUILT="$GL_BACKENDS_BUILT $1"],
		[test "$gl_wanted" = yes], [AC_MSG_ERROR([cannot build the $1 backend: $gl_missing])],
		[AC_MSG_NOTICE([the $1 backend is not built: $gl_missing])])
])
])

dnl GL_ALL_BACKENDS
dnl Out of gl_backends: the folders to build and the default.
AC_DEFUN([GL_ALL_BACKENDS], [
GL_BACKENDS_BUILT=
m4_foreach_w([gl_name], m4_defn([gl_backends]), [GL_ONE_BACKEND(gl_name)])
GL_BACKENDS_BUILT=${GL_BACKENDS_BUILT# }
AS_IF([test -z "$GL_BACKENDS_BUILT"], [AC_MSG_ERROR([no backend is left to build])])

AC_ARG_WITH([default-backend],
	[AS_HELP_STRING([--with-default-backend=NAME], [what locks unless the configuration says otherwise [the first one built]])],
	[], [with_default_backend=${GL_BACKENDS_BUILT%% *}])
AS_CASE([" $GL_BACKENDS_BUILT "], [*" $with_default_backend "*], [],
	[AC_MSG_ERROR([--with-default-backend=$with_default_backend: only $GL_BACKENDS_BUILT will be built])])
GL_DEFAULT_BACKEND=$with_default_backend
AC_DEFINE_UNQUOTED([GL_DEFAULT_BACKEND], ["$GL_DEFAULT_BACKEND"], [The backend used unless configured otherwise])

GL_BACKEND_FOLDERS=
for gl_name in $GL_BACKENDS_BUILT; do
	GL_BACKEND_FOLDERS="$GL_BACKEND_FOLDERS backends/$gl_name"
done
AC_SUBST([GL_BACKENDS_BUILT])
AC_SUBST([GL_DEFAULT_BACKEND])
AC_SUBST([GL_BACKEND_FOLDERS])
AC_SUBST([GL_ALL_BACKEND_FOLDERS], ["m4_foreach_w([gl_name], m4_defn([gl_backends]), [ backends/gl_name])"])
m4_foreach_w([gl_name], m4_defn([gl_backends]), [AC_CONFIG_FILES([backends/]gl_name[/Makefile])])
])
