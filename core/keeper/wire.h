/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is said between a caller of the library and the keeper, over a SOCK_SEQPACKET socket: one request, one
 * answer, and so on. Each is one message: a header, and a body of fixed-size integers (little-endian), and
 * texts with their length before and a NUL behind. A body that is too long for a message goes in a sealed
 * memfd beside its header. The header is the same in every version; whoever reads another protocol number in
 * it stops there.
 *
 * Decoding is strict: what is out of range, too long, cut off or left over makes the whole message bad.
 */
#ifndef GL_WIRE_H
#define GL_WIRE_H

#include <guestlock/backend.h>

#define GL_KEEPER_MAGIC 0x4b4c4755u
#define GL_KEEPER_PROTOCOL 2
#define GL_KEEPER_HEADER 16             /* bytes: magic 4, protocol 2, type 2, size of the body 4, flags 4 */
#define GL_KEEPER_INLINE 16384          /* bytes of the longest message with its body in it */
#define GL_KEEPER_BODY_MAX (64u << 20)
#define GL_KEEPER_TEXT_MAX 65535        /* bytes of a text, without NUL */

enum gl_keeper_type {
	GL_KEEPER_REQUEST = 1,
	GL_KEEPER_ANSWER = 2,
};

/* What is asked: a function of the backend's table, or about the keeper itself. */
enum gl_keeper_call {
	GL_KEEPER_ABOUT = 0,
	GL_KEEPER_JOIN,
	GL_KEEPER_LEAVE,
	GL_KEEPER_STATUS,
	GL_KEEPER_BIND,
	GL_KEEPER_ACQUIRE,
	GL_KEEPER_RELEASE,
	GL_KEEPER_CONVERT,
	GL_KEEPER_INQUIRE,
	GL_KEEPER_UNPROVISION,
	GL_KEEPER_ENUMERATE,
	GL_KEEPER_RELEASE_ORPHAN,
	GL_KEEPER_SURVEY,
	GL_KEEPER_CALLS,
};

static inline bool gl_keeper_has_batch(enum gl_keeper_call call)
{
	return call >= GL_KEEPER_BIND && call <= GL_KEEPER_INQUIRE;
}

/* Every call has all of these, but for the batch; those that it does not need are zero and cost few bytes. */
struct gl_keeper_request {
	enum gl_keeper_call call;
	char settings[GUESTLOCK_KEY_SIZE];      /* digest of the caller's settings; "": any will do */
	int64_t deadline_ms;            /* guestlock_monotonic_ms() at which the caller stops waiting */
	bool has_owner;                 /* of a batch; false: INQUIRE for nobody */
	struct guestlock_owner owner;
	struct guestlock_batch batch;   /* owner is not set; items[].key point to keys */
	struct guestlock_key *keys;     /* only in what was decoded */
	unsigned unused_s;
	bool force;
	const char *name;               /* a key (of SURVEY: or "" for all), else "" */
};

/* A host that SURVEY got no answer from. */
struct gl_keeper_silent {
	const char *host, *reason;
};

/* About the keeper that answers. */
struct gl_keeper_about {
	pid_t guard, worker;
	int64_t since;                  /* of the worker, seconds since 1970 */
	unsigned running, waiting;      /* requests */
	enum guestlock_join_state state;
	char version[32];
	char backend[32];
};

struct gl_keeper_answer {
	enum guestlock_result result;
	enum guestlock_join_state state;        /* of STATUS */
	bool has_error;
	struct guestlock_error error;
	struct guestlock_item *items;   /* what the call has set in them: as many as were asked about */
	size_t count;
	struct guestlock_lock *locks;   /* of ENUMERATE, SURVEY */
	size_t n_locks;
	struct gl_keeper_silent *silent;        /* of SURVEY */
	size_t n_silent;
	struct gl_keeper_about about;
	const char *settings; /* "", or the keeper's: those of the request are others, nothing was done */
};

/* A message that grows. data begins with room for the header. */
struct gl_wire {
	unsigned char *data;
	size_t size, room;
	bool failed;                    /* out of memory, or what was put cannot be sent */
};
void gl_wire_free(struct gl_wire *wire);
#define GL_AUTOWIRE __attribute__((cleanup(gl_wire_free)))

/* Both begin a message and complete it, header included. 0, or -1: it cannot be (errno: ENOMEM, EMSGSIZE). */
int gl_keeper_put_request(struct gl_wire *wire, const struct gl_keeper_request *request);
int gl_keeper_put_answer(struct gl_wire *wire, const struct gl_keeper_answer *answer);

/*
 * From a body. 0, or -1 with errno: EBADMSG, ENOMEM. Texts stay in data, which must outlive the result; it is
 * freed by the function of its kind. Of an answer, count has to be what was asked about, and the answer's
 * items are decoded into items, of which only what a call sets is written.
 */
int gl_keeper_get_request(const unsigned char *data, size_t size, struct gl_keeper_request *out_request);
void gl_keeper_request_free(struct gl_keeper_request *request);
int gl_keeper_get_answer(const unsigned char *data, size_t size, struct guestlock_item *items, size_t count,
			 struct gl_keeper_answer *out_answer);
void gl_keeper_answer_free(struct gl_keeper_answer *answer);

/*
 * Does data begin with a header of this type? 0, or -1 with errno: EBADMSG, EPROTONOSUPPORT (another
 * version).
 */
int gl_keeper_get_header(const unsigned char *data, size_t size, enum gl_keeper_type type, size_t *out_body,
			 bool *out_beside);

/* Sends a message that was put, without waiting for room. 0 or -1 with errno. */
int gl_keeper_send(int fd, const struct gl_wire *wire);

/*
 * Receives the message that is there: its body, malloc'd. 0 or -1 with errno: EAGAIN, ENOTCONN (the other
 * side has closed), EBADMSG, EPROTONOSUPPORT, ... Descriptors that came with it and do not belong there are
 * closed.
 */
int gl_keeper_receive(int fd, enum gl_keeper_type type, unsigned char **out_body, size_t *out_size);

#endif
