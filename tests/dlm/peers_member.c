/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A keeper as its peers see it, without locks: peers_member LOCKSPACE NAME COUNT [KEY]. It has COUNT holders
 * called NAME-0, NAME-1, ... on KEY, or each on a key of its own. Each line of its input is a command, and
 * each output line begins with the word of what it is about:
 *
 *     ask KEY|all MS       found NODE KEY NAME, peer NODE STATE, then result NAME MS MESSAGE
 *     count KEY|all MS     as ask, with "counted NUMBER" instead of what was found
 *     many N KEY MS        N threads ask at once: many GOOD, how many of them were answered in full
 *     quit
 */
#include "peers/peers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_THREADS_MAX 64

struct member {
	struct gl_dlm_peers *peers;
	const char *name, *key;
	unsigned count;
};

struct asker {
	struct member *member;
	const char *key;
	int64_t deadline_ms;
	bool good;
};

/* 43 characters that stand for a number. */
static void make_key(unsigned number, char out[GUESTLOCK_KEY_SIZE])
{
	snprintf(out, GUESTLOCK_KEY_SIZE, "key_%039u", number);
}

static void answer(void *data, const char *key, struct gl_dlm_answer *to)
{
	const struct member *member = data;

	for (unsigned i = 0; i < member->count; i++) {
		struct guestlock_holder holder = {
			.uuid = "3d6a31a6-1f6b-4ad5-9cc1-000000000000",
			.instance = 0x1122334455667788U + i,
			.mode = GUESTLOCK_MODE_SHARED,
			.host = "somewhere",
			.pid = 4711,
			.since = 1700000000,
		};
		char own[GUESTLOCK_KEY_SIZE];

		make_key(i, own);
		snprintf(holder.name, sizeof(holder.name), "%s-%u", member->name, i);
		if (!key || strcmp(key, member->key ? member->key : own) == 0) {
			gl_dlm_peers_tell(to, member->key ? member->key : own, &holder,
					  key ? NULL : "file:/a/b");
		}
	}
}

/* What the key is called is told where everything was asked for. */
static bool is_whole(const struct gl_dlm_found *found, bool all)
{
	const struct guestlock_holder *holder = &found->holder;

	return (all ? found->identity && strcmp(found->identity, "file:/a/b") == 0 : !found->identity) &&
	       strcmp(holder->uuid, "3d6a31a6-1f6b-4ad5-9cc1-000000000000") == 0 &&
	       holder->instance >= 0x1122334455667788U && holder->mode == GUESTLOCK_MODE_SHARED &&
	       strcmp(holder->host, "somewhere") == 0 && holder->pid == 4711 && holder->since == 1700000000;
}

static void print_answers(const struct gl_dlm_answers *answers, bool all, bool only_count)
{
	static const char *const states[] = {"silent", "answered", "gone", "refused"};

	for (size_t i = 0; i < answers->n_found; i++) {
		const struct gl_dlm_found *found = &answers->found[i];

		if (!is_whole(found, all)) {
			printf("damaged %u %s\n", found->node, found->key);
		} else if (!only_count) {
			printf("found %u %s %s\n", found->node, found->key, found->holder.name);
		}
	}
	if (only_count) {
		printf("counted %zu\n", answers->n_found);
	}
	for (size_t i = 0; i < answers->n_peers; i++) {
		printf("peer %u %s\n", answers->peers[i].node, states[answers->peers[i].state]);
	}
}

static const char *result_name(enum guestlock_result result)
{
	switch (result) {
	case GUESTLOCK_RES_GRANTED:
		return "granted";
	case GUESTLOCK_RES_UNKNOWN:
		return "unknown";
	case GUESTLOCK_RES_STOPPED:
		return "stopped";
	default:
		return "other";
	}
}

static void ask(struct member *member, const char *key, int64_t patience_ms, bool only_count)
{
	struct guestlock_error err = {.message = ""};
	struct gl_dlm_answers answers;
	int64_t begin_ms = guestlock_monotonic_ms();
	bool all = strcmp(key, "all") == 0;
	enum guestlock_result result =
		gl_dlm_peers_ask(member->peers, all ? NULL : key, begin_ms + patience_ms, &answers, &err);
	int64_t end_ms = guestlock_monotonic_ms();

	print_answers(&answers, all, only_count);
	printf("result %s %lld %s\n", result_name(result), (long long)(end_ms - begin_ms), err.message);
	gl_dlm_answers_free(&answers);
}

static void *ask_in_thread(void *data)
{
	struct asker *asker = data;
	struct gl_dlm_answers answers;

	asker->good = gl_dlm_peers_ask(asker->member->peers, asker->key, asker->deadline_ms, &answers,
				       NULL) == GUESTLOCK_RES_GRANTED &&
		      answers.n_found == answers.n_peers && answers.n_peers > 0;
	gl_dlm_answers_free(&answers);
	return NULL;
}

static void ask_many(struct member *member, unsigned count, const char *key, int64_t patience_ms)
{
	struct asker askers[N_THREADS_MAX] = {0};
	pthread_t threads[N_THREADS_MAX] = {0};
	unsigned good = 0, i;

	for (i = 0; i < count && i < N_THREADS_MAX; i++) {
		askers[i] = (struct asker){member, key, guestlock_monotonic_ms() + patience_ms, false};
		if (pthread_create(&threads[i], NULL, ask_in_thread, &askers[i]) != 0) {
			abort();
		}
	}
	while (i-- > 0) {
		pthread_join(threads[i], NULL);
		good += askers[i].good ? 1 : 0;
	}
	printf("many %u\n", good);
}

/* false: it is to end, or the command is none. */
static bool obey(struct member *member, char *line)
{
	const char *words[4] = {"", "", "", ""};
	unsigned count = 0;
	char *rest = line, *word;

	while (count < 4 && (word = strsep(&rest, " \n")) && word[0] != '\0') {
		words[count++] = word;
	}
	if (count == 3 && (strcmp(words[0], "ask") == 0 || strcmp(words[0], "count") == 0)) {
		ask(member, words[1], strtol(words[2], NULL, 10), words[0][0] == 'c');
	} else if (count == 4 && strcmp(words[0], "many") == 0) {
		ask_many(member, (unsigned)strtoul(words[1], NULL, 10), words[2], strtol(words[3], NULL, 10));
	} else {
		return false;
	}
	return true;
}

int main(int argc, char *argv[])
{
	struct guestlock_error err = {.message = ""};
	struct member member = {0};
	char line[256];

	if (argc < 4) {
		fprintf(stderr, "usage: peers_member LOCKSPACE NAME COUNT [KEY]\n");
		return 64;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	member.name = argv[2];
	member.count = (unsigned)strtoul(argv[3], NULL, 10);
	member.key = argc > 4 ? argv[4] : NULL;
	if (gl_dlm_peers_start(&member.peers, argv[1], answer, &member, &err) != GUESTLOCK_RES_GRANTED) {
		printf("failed %s\n", err.message);
		return 1;
	}
	printf("started\n");
	while (fgets(line, sizeof(line), stdin) && obey(&member, line)) {
	}
	gl_dlm_peers_stop(member.peers);
	printf("stopped\n");
	return 0;
}
