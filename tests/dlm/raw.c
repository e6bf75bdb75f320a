// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The kernel's lock manager as it is, without anything of guestlock:
 *
 *     raw NAME MODE [SECONDS [LOCKSPACE]]
 *
 * locks NAME in the lockspace, "raw" by default, in MODE (CR, CW, PR, PW, EX) without queueing, says "granted" or
 * "refused", and keeps it for so long, or until SIGTERM. Exit status 0 when it was granted, 1 when it was
 * refused, 2 for an error.
 */
#include <sys/types.h>

#include <errno.h>
#include <libdlm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	REFUSED = 1,
	BROKEN = 2,
};

static int mode_of(const char *word)
{
	static const char *const words[] = {
		[LKM_CRMODE] = "CR", [LKM_CWMODE] = "CW", [LKM_PRMODE] = "PR",
		[LKM_PWMODE] = "PW", [LKM_EXMODE] = "EX",
	};
	size_t mode;

	for (mode = 0; mode < sizeof(words) / sizeof(words[0]); mode++) {
		if (words[mode] && strcmp(words[mode], word) == 0) {
			return (int)mode;
		}
	}
	return -1;
}

static int fail(const char *what)
{
	fprintf(stderr, "raw: cannot %s: %s\n", what, strerror(errno));
	return BROKEN;
}

static void hold(long seconds)
{
	struct timespec time = {.tv_sec = seconds};
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigtimedwait(&ending, NULL, &time);
}

int main(int argc, char **argv)
{
	int mode = argc > 2 ? mode_of(argv[2]) : -1;
	struct dlm_lksb lksb = {.sb_status = 0};
	dlm_lshandle_t space;
	sigset_t ending;

	if (mode < 0) {
		fprintf(stderr, "usage: raw NAME MODE [SECONDS [LOCKSPACE]]\n");
		return BROKEN;
	}
	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	space = dlm_create_lockspace(argc > 4 ? argv[4] : "raw", 0600);
	if (!space || dlm_ls_pthread_init(space) != 0) {
		return fail("join the lockspace");
	}
	if (dlm_ls_lock_wait(space, (uint32_t)mode, &lksb, LKF_NOQUEUE, argv[1], (unsigned)strlen(argv[1]), 0,
			     NULL, NULL, NULL) != 0) {
		return fail("ask for the lock");
	}
	if (lksb.sb_status == EAGAIN) {
		puts("refused");
		return REFUSED;
	}
	if (lksb.sb_status != 0) {
		errno = lksb.sb_status;
		return fail("lock");
	}
	puts("granted");
	fflush(stdout);
	hold(argc > 3 ? strtol(argv[3], NULL, 10) : 0);
	return EXIT_SUCCESS;
}
