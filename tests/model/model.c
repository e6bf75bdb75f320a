/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs the scenarios of the model; prints TAP. Words on the command line choose scenarios by a part of their
 * names; without any, those that take long are left out unless FULL=1 is set in the environment.
 */
#include "model.h"

#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ON(host) (1U << (host))
#define BIT(task) (1U << TASK_##task)
#define LIFE (BIT(BIND) | BIT(ACQUIRE) | BIT(SHUTDOWN) | BIT(SETTLE))
#define PAUSES (BIT(PAUSE) | BIT(RESUME))
#define PLUGS (BIT(ATTACH) | BIT(DETACH))
#define OUT (BIT(PREPARE) | BIT(COMPLETE_OUT) | BIT(CANCEL_OUT))
#define IN                                                                                                   \
	(BIT(BIND_MIGRATE) | BIT(ACQUIRE) | BIT(COMPLETE_IN) | BIT(CANCEL_IN) | BIT(SHUTDOWN) | BIT(SETTLE))

#define STARTS (BIT(BIND) | BIT(ACQUIRE) | BIT(GIVE_UP) | BIT(SETTLE))
#define ALL UINT32_MAX
#define ENDS (BIT(BIND) | BIT(BIND_MIGRATE) | BIT(SHUTDOWN))

static const struct scenario scenarios[] = {
	{
		.name = "start and end",
		.tasks = {[SOURCE] = LIFE, [OTHER] = LIFE},
		.atomic = {[OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
	},
	{
		.name = "pause and resume",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE | PAUSES},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
	},
	{
		.name = "attach and detach",
		.tasks = {[SOURCE] = LIFE | PLUGS, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
	},
	{
		.name = "attach and detach while paused",
		.tasks = {[SOURCE] = LIFE | PLUGS | PAUSES, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [OTHER] = ALL},
		.kills = ON(SOURCE),
	},
	{
		.name = "a reader and a writer, kills at the reader",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE | PAUSES},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
		.sides = true,
		.wants = {[SOURCE] = DISK_D, [OTHER] = DISK_D},
	},
	{
		.name = "a reader and a writer, kills at the writer",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE | PAUSES},
		.atomic = {[SOURCE] = ALL, [OTHER] = ENDS},
		.kills = ON(OTHER),
		.mishaps = ON(OTHER),
		.sides = true,
		.wants = {[SOURCE] = DISK_D, [OTHER] = DISK_D},
	},
	{
		.name = "a reader and a writer that start at once",
		.tasks = {[SOURCE] = LIFE, [OTHER] = LIFE},
		.sides = true,
		.wants = {[SOURCE] = DISK_D, [OTHER] = DISK_D},
	},
	{
		.name = "migration, kills at the source",
		.tasks = {[SOURCE] = LIFE | OUT, [TARGET] = IN},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [TARGET] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
	},
	{
		.name = "migration, kills at the target",
		.tasks = {[SOURCE] = LIFE | OUT, [TARGET] = IN},
		.atomic = {[SOURCE] = ALL, [TARGET] = ENDS},
		.kills = ON(TARGET),
		.mishaps = ON(TARGET),
	},
	{
		.name = "migration and another guest",
		.tasks = {[SOURCE] = LIFE | OUT, [TARGET] = IN, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ALL, [TARGET] = ALL, [OTHER] = ALL},
	},
	{
		.name = "migration of a paused guest",
		.tasks = {[SOURCE] = LIFE | OUT | PAUSES, [TARGET] = IN, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [TARGET] = ALL, [OTHER] = ALL},
	},
	{
		.name = "migration of a paused guest, kills at the source",
		.tasks = {[SOURCE] = LIFE | OUT | BIT(PAUSE), [TARGET] = IN},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE) | BIT(PAUSE), [TARGET] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
	},
	{
		.name = "migration of a paused guest with what was attached, kills at the source",
		.tasks = {[SOURCE] = LIFE | OUT | PLUGS | BIT(PAUSE), [TARGET] = IN},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE) | BIT(PAUSE) | PLUGS, [TARGET] = ALL},
		.kills = ON(SOURCE),
	},
	{
		.name = "migration, both ends at once",
		.tasks = {[SOURCE] = LIFE | OUT, [TARGET] = IN},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [TARGET] = ENDS},
	},
	{
		.name = "two starts of one uuid on one host",
		.tasks = {[SOURCE] = STARTS, [TARGET] = STARTS | BIT(FORCE), [OTHER] = LIFE},
		.atomic = {[OTHER] = ALL},
		.one_host = true,
		.wants = {[SOURCE] = DISK_E},
	},
	{
		.name = "two starts of one uuid on one host, kills at both",
		.tasks = {[SOURCE] = STARTS, [TARGET] = STARTS | BIT(FORCE)},
		.kills = ON(SOURCE) | ON(TARGET),
		.mishaps = ON(SOURCE) | ON(TARGET),
		.one_host = true,
		.wants = {[SOURCE] = DISK_E},
	},
	{
		.name = "processes that do not stop",
		.tasks = {[SOURCE] = LIFE | OUT | PAUSES, [TARGET] = IN, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [TARGET] = ALL, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.stubborn = true,
	},
	{
		.name = "the model finds a pause that does not stop",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.restless = true,
	},
	{
		.name = "a paused guest that is continued by others",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
		.astray = true,
	},
	{
		.name = "the model finds a continued guest that nobody looks at",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.astray = true,
		.unwatched = true,
	},
	{
		.name = "the model finds a continued guest whose disk somebody had, and that is not lost",
		.tasks = {[SOURCE] = LIFE | PAUSES, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.astray = true,
		.forgiving = true,
	},
	{
		.name = "the model finds sides that keep nobody out",
		.tasks = {[SOURCE] = LIFE, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS, [OTHER] = ALL},
		.sides = true,
		.open = true,
		.wants = {[SOURCE] = DISK_D, [OTHER] = DISK_D},
	},
	{
		.name = "the model finds an acquire that takes whatever record there is",
		.tasks = {[SOURCE] = STARTS, [TARGET] = STARTS | BIT(FORCE), [OTHER] = LIFE},
		.atomic = {[OTHER] = ALL},
		.one_host = true,
		.wants = {[SOURCE] = DISK_E},
		.blind = BIT(ACQUIRE),
	},
	{
		.name = "the model finds a give-up that releases whatever record there is",
		.tasks = {[SOURCE] = STARTS, [TARGET] = STARTS | BIT(FORCE), [OTHER] = LIFE},
		.atomic = {[OTHER] = ALL},
		.one_host = true,
		.wants = {[SOURCE] = DISK_E},
		.blind = BIT(GIVE_UP),
	},
	{
		.name = "two starts at once, kills at both",
		.tasks = {[SOURCE] = LIFE, [OTHER] = LIFE},
		.kills = ON(SOURCE) | ON(OTHER),
		.mishaps = ON(SOURCE) | ON(OTHER),
		.full = true,
	},
	{
		.name = "migration, both ends at once, kills at both",
		.tasks = {[SOURCE] = LIFE | OUT, [TARGET] = IN},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [TARGET] = ENDS},
		.kills = ON(SOURCE) | ON(TARGET),
		.full = true,
	},
	{
		.name = "migration and another guest, kills at the source",
		.tasks = {[SOURCE] = LIFE | OUT | PAUSES, [TARGET] = IN, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE), [TARGET] = ALL, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
		.full = true,
	},
	{
		.name = "migration of a paused guest and another guest, kills at the source",
		.tasks = {[SOURCE] = LIFE | OUT | BIT(PAUSE), [TARGET] = IN, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ENDS | BIT(ACQUIRE) | BIT(PAUSE), [TARGET] = ALL, [OTHER] = ALL},
		.kills = ON(SOURCE),
		.full = true,
	},
	{
		.name = "migration and another guest, kills at the target",
		.tasks = {[SOURCE] = LIFE | OUT, [TARGET] = IN, [OTHER] = LIFE},
		.atomic = {[SOURCE] = ALL, [TARGET] = ENDS, [OTHER] = ALL},
		.kills = ON(TARGET),
		.mishaps = ON(TARGET),
		.full = true,
	},
	{
		.name = "two starts of one uuid on one host and another guest, kills at both",
		.tasks = {[SOURCE] = STARTS, [TARGET] = STARTS | BIT(FORCE), [OTHER] = LIFE},
		.atomic = {[OTHER] = ALL},
		.kills = ON(SOURCE) | ON(TARGET),
		.full = true,
		.one_host = true,
		.wants = {[SOURCE] = DISK_E},
	},
	{
		.name = "two starts of one uuid on one host and another guest, kills at one",
		.tasks = {[SOURCE] = STARTS, [TARGET] = STARTS | BIT(FORCE), [OTHER] = LIFE},
		.atomic = {[OTHER] = ALL},
		.kills = ON(SOURCE),
		.mishaps = ON(SOURCE),
		.full = true,
		.one_host = true,
		.wants = {[SOURCE] = DISK_E},
	},
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool chosen(const struct scenario *scenario, int argc, char *argv[])
{
	const char *full = getenv("FULL");

	if (argc < 2) {
		return !scenario->full || (full && strcmp(full, "1") == 0);
	}
	for (int i = 1; i < argc; i++) {
		if (strstr(scenario->name, argv[i])) {
			return true;
		}
	}
	return false;
}

int main(int argc, char *argv[])
{
	unsigned count = 0, failed = 0;

	for (size_t i = 0; i < GL_COUNT(scenarios); i++) {
		double begin = now();
		const char *broken;
		unsigned states;
		bool good;

		if (!chosen(&scenarios[i], argc, argv)) {
			continue;
		}
		broken = explore(&scenarios[i], &states);
		good = (broken != NULL) == is_mutant(&scenarios[i]);
		failed += !good;
		printf("%sok %u - %s: %u states, %.1f s\n", good ? "" : "not ", ++count, scenarios[i].name,
		       states, now() - begin);
		fflush(stdout);
	}
	printf("1..%u\n", count);
	return count > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
