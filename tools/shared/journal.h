/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GL_TOOLS_JOURNAL_H
#define GL_TOOLS_JOURNAL_H

#include <stdbool.h>

/* Is standard error the stream that systemd connected to the journal? */
bool stderr_is_journal(void);

#endif
