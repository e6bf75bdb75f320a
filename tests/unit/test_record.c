/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suites.h"

#include "base/base.h"
#include "base/text.h"
#include "record/record.h"

#include <stdio.h>
#include <string.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define BOOT "0f0e0d0c-0b0a-4908-8706-050403020100"
#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB_"

static struct guestlock_error err;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
}

/* ---- Building and comparing ---- */

static void set(char **slot, const char *text)
{
	ck_assert_int_eq(gl_set_string(slot, text), 0);
}

static struct gl_holding *add_holding(struct gl_resource *resource, const char *technology)
{
	struct gl_holding *holding = gl_resource_holding(resource, technology, true);

	ck_assert_ptr_nonnull(holding);
	holding->state = GUESTLOCK_RESOURCE_HELD;
	holding->mode = GUESTLOCK_MODE_EXCLUSIVE;
	return holding;
}

static struct gl_resource *add_resource(struct gl_record *record, const char *name, const char *key)
{
	struct gl_resource *resource = gl_record_add_resource(record);

	ck_assert_ptr_nonnull(resource);
	set(&resource->name, name);
	set(&resource->identity, name);
	memcpy(resource->key, key, GUESTLOCK_KEY_SIZE);
	return resource;
}

static struct gl_record *new_record(void)
{
	struct gl_record *record = gl_record_new(UUID);

	ck_assert_ptr_nonnull(record);
	return record;
}

/* Every member differs from its default. */
static struct gl_record *full_record(void)
{
	struct gl_record *record = new_record();
	struct gl_resource *disk, *lease;
	struct gl_holding *holding;

	record->instance = UINT64_MAX;
	set(&record->name, "web server");
	set(&record->id, "17");
	record->process =
		(struct gl_process){.pid = INT32_MAX, .start = 5, .ns = 4026531836, .boot_id = BOOT};
	record->adopted = true;
	record->tether_inode = 4711;
	record->since = INT64_MAX;
	record->state = GUESTLOCK_GUEST_MIGRATING_OUT;
	record->op = GL_OP_CANCEL_OUT;
	record->migrate = true;
	record->was_paused = true;
	record->handed_over = true;
	record->stopped = true;
	record->halted = true;
	gl_record_take_string(record, &record->stood, strdup(" 4:5 "));
	gl_record_take_string(record, &record->frozen, strdup("44:/a b.slice"));
	ck_assert_int_eq(gl_record_set_param(record, "uri", "qemu:///system"), 0);
	ck_assert_int_eq(gl_record_set_param(record, "", ""), 0);
	disk = add_resource(record, "/images/a b.raw", KEY_A);
	disk->flags = GUESTLOCK_READONLY | GUESTLOCK_SHARED;
	disk->has_file = true;
	disk->device = 2049;
	disk->inode = UINT64_MAX;
	disk->born = UINT64_MAX - 1;
	disk->whole = true;
	disk->unhinted = true;
	holding = add_holding(disk, "fcntl");
	*holding = (struct gl_holding){
		.technology = "fcntl",
		.state = GUESTLOCK_RESOURCE_DROPPING,
		.from = GUESTLOCK_RESOURCE_HANDOVER,
		.to = GUESTLOCK_RESOURCE_PARKED,
		.mode = GUESTLOCK_MODE_HANDOVER,
		.has_epoch = true,
		.epoch = 0xfedcba9876543210,
	};
	holding = add_holding(disk, "a234567890-234567890-2345678901");
	holding->has_epoch = true; /* and it is 0 */
	lease = add_resource(record, "key of the lease", KEY_B);
	lease->type = GUESTLOCK_LEASE;
	lease->guest_lock = true;
	lease->flags = GUESTLOCK_SHARED;
	set(&lease->lockspace, "");
	set(&lease->path, "/leases/1");
	lease->offset = 1048576;
	return record;
}

struct member {
	const char *name;
	bool same;
};
#define VALUE(what)                                                                                          \
	{                                                                                                    \
#what, a->what == b->what                                                                    \
	}
#define TEXT(what)                                                                                           \
	{                                                                                                    \
#what, same_text(a->what, b->what)                                                           \
	}
#define COMPARE(...)                                                                                         \
	do {                                                                                                 \
		const struct member members[] = {__VA_ARGS__};                                               \
		for (size_t m = 0; m < GL_COUNT(members); m++) {                                             \
			ck_assert_msg(members[m].same, "%s differs", members[m].name);                       \
		}                                                                                            \
	} while (0)

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void compare_holding(const struct gl_holding *a, const struct gl_holding *b)
{
	COMPARE(TEXT(technology), VALUE(state), VALUE(from), VALUE(to), VALUE(mode), VALUE(has_epoch),
		VALUE(epoch));
}

static void compare_resource(const struct gl_resource *a, const struct gl_resource *b)
{
	COMPARE(VALUE(type), VALUE(guest_lock), VALUE(flags), TEXT(name), TEXT(lockspace), TEXT(path),
		VALUE(offset), TEXT(identity), TEXT(key), VALUE(has_file), VALUE(device), VALUE(inode),
		VALUE(born), VALUE(whole), VALUE(unhinted));
	for (size_t i = 0; i < GL_HOLDINGS; i++) {
		compare_holding(&a->holdings[i], &b->holdings[i]);
	}
}

static void compare_record(const struct gl_record *a, const struct gl_record *b)
{
	COMPARE(TEXT(uuid), VALUE(instance), TEXT(name), TEXT(id), VALUE(process.pid), VALUE(process.start),
		VALUE(process.ns), TEXT(process.boot_id), VALUE(adopted), VALUE(tether_inode), VALUE(since),
		VALUE(state), VALUE(op), VALUE(migrate), VALUE(was_paused), VALUE(handed_over),
		VALUE(stopped), VALUE(halted), TEXT(stood), TEXT(frozen), VALUE(n_params),
		VALUE(n_resources));
	for (size_t i = 0; i < a->n_params; i++) {
		ck_assert_str_eq(a->params[i].key, b->params[i].key);
		ck_assert_str_eq(a->params[i].value, b->params[i].value);
	}
	for (size_t i = 0; i < a->n_resources; i++) {
		compare_resource(&a->resources[i], &b->resources[i]);
	}
}

static char *text_of(const struct gl_record *record, size_t *out_size)
{
	char *text = NULL;

	ck_assert_msg(gl_record_serialize(record, &text, out_size, &err) == GUESTLOCK_OK, "%s", err.message);
	ck_assert_uint_eq(strlen(text), *out_size);
	return text;
}

/* Frees record. */
static void check_round_trip(struct gl_record *record)
{
	struct gl_record *again = NULL;
	size_t size;
	char *text = text_of(record, &size);

	ck_assert_msg(gl_record_parse(0, false, text, size, "F", &again, &err) == GUESTLOCK_OK, "%s",
		      err.message);
	compare_record(record, again);
	gl_record_free(again);
	gl_record_free(record);
	free(text);
}

/* ---- Round trips ---- */

START_TEST(test_round_trip_empty)
{
	check_round_trip(new_record());
}
END_TEST

START_TEST(test_round_trip_full)
{
	check_round_trip(full_record());
}
END_TEST

START_TEST(test_round_trip_all_bytes)
{
	struct gl_record *record = full_record();
	char bytes[256];

	for (int i = 0; i < 255; i++) {
		bytes[i] = (char)(i + 1);
	}
	bytes[255] = '\0';
	set(&record->name, bytes);
	set(&record->id, bytes);
	ck_assert_int_eq(gl_record_set_param(record, bytes, bytes), 0);
	set(&record->resources[1].name, bytes);
	set(&record->resources[1].identity, bytes);
	set(&record->resources[1].lockspace, bytes);
	set(&record->resources[1].path, bytes);
	check_round_trip(record);
}
END_TEST

/* Texts that look like the form itself. */
START_TEST(test_round_trip_tricky)
{
	static const char *const names[] = {"[end]", "\n[end]\n", "=", " ;x", "#",
					    "a=b",   "name.1=x",  "%", "%00", ""};
	struct gl_record *record = new_record();

	set(&record->name, names[_i % 10]);
	set(&record->id, names[(_i + 1) % 10]);
	add_resource(record, names[_i], KEY_A);
	check_round_trip(record);
}
END_TEST

/* Long values are split over lines; around the borders, for plain and for encoded bytes. */
START_TEST(test_round_trip_long)
{
	static const size_t lengths[] = {1,   49,  50,  51,  99,  100,  101,   149,
					 150, 151, 299, 300, 301, 4095, 100000};
	size_t length = lengths[_i];
	char *long_name = calloc(length + 1, 1);
	struct gl_record *record = new_record();

	ck_assert_ptr_nonnull(long_name);
	memset(long_name, 'x', length);
	set(&record->name, long_name);
	memset(long_name, 0xff, length);
	add_resource(record, long_name, KEY_A);
	ck_assert_int_eq(gl_record_set_param(record, long_name, "after a long key"), 0);
	free(long_name);
	check_round_trip(record);
}
END_TEST

START_TEST(test_round_trip_many)
{
	struct gl_record *record = new_record();

	for (int i = 0; i < 100; i++) {
		char name[32], key[GUESTLOCK_KEY_SIZE];
		struct gl_resource *resource;

		snprintf(name, sizeof(name), "/images/%d", i);
		guestlock_digest(name, strlen(name), key);
		resource = add_resource(record, name, key);
		add_holding(resource, "fcntl")->epoch = 0;
		resource->holdings[0].has_epoch = true;
		resource->holdings[0].epoch = (uint64_t)i << 50;
		add_holding(resource, "dlm");
	}
	check_round_trip(record);
}
END_TEST

/* The first slot is free again, the second is not. */
START_TEST(test_round_trip_slot)
{
	struct gl_record *record = new_record();
	struct gl_resource *resource = add_resource(record, "/a", KEY_A);

	add_holding(resource, "fcntl");
	add_holding(resource, "dlm");
	memset(&resource->holdings[0], 0, sizeof(resource->holdings[0]));
	check_round_trip(record);
}
END_TEST

_Static_assert((int)GL_OPERATIONS >= (int)GL_GUEST_STATES && (int)GL_OPERATIONS >= (int)GL_RESOURCE_STATES,
	       "as many rounds as there are operations have each state as well");

START_TEST(test_round_trip_states)
{
	struct gl_record *record = new_record();
	struct gl_holding *holding = add_holding(add_resource(record, "/a", KEY_A), "dlm");

	record->state = (enum guestlock_guest_state)(_i % GL_GUEST_STATES);
	record->op = (enum gl_operation)_i;
	holding->state = (enum guestlock_resource_state)(_i % GL_RESOURCE_STATES);
	holding->from = (enum guestlock_resource_state)((_i + 1) % GL_RESOURCE_STATES);
	holding->to = (enum guestlock_resource_state)((_i + 2) % GL_RESOURCE_STATES);
	holding->mode = (enum guestlock_mode)(_i % (GUESTLOCK_MODE_EXCLUSIVE + 1));
	record->resources[0].flags = (unsigned)_i % 4;
	check_round_trip(record);
}
END_TEST

/* ---- The text itself ---- */

/* What older records look like must not change unnoticed. */
static const char small_text[] = "[guestlock-record]\n"        /* 1 */
				 "version=1\n"                 /* 2 */
				 "[guest]\n"                   /* 3 */
				 "uuid=" UUID "\n"             /* 4 */
				 "instance=000000000000002a\n" /* 5 */
				 "name=web%20server\n"         /* 6 */
				 "id=\n"                       /* 7 */
				 "state=running\n"             /* 8 */
				 "since=1700000000\n"          /* 9 */
				 "pid=1234\n"                  /* 10 */
				 "pid-start=99\n"              /* 11 */
				 "pid-namespace=0\n"           /* 12 */
				 "tether=7\n"                  /* 13 */
				 "params=1\n"                  /* 14 */
				 "resources=1\n"               /* 15 */
				 "[param 0]\n"                 /* 16 */
				 "key=a\n"                     /* 17 */
				 "value=b\n"                   /* 18 */
				 "[resource 0]\n"              /* 19 */
				 "type=disk\n"                 /* 20 */
				 "flags=none\n"                /* 21 */
				 "name=/a\n"                   /* 22 */
				 "identity=file:/a\n"          /* 23 */
				 "key=" KEY_A "\n"             /* 24 */
				 "device=1\n"                  /* 25 */
				 "inode=2\n"                   /* 26 */
				 "[holding 0]\n"               /* 27 */
				 "technology=fcntl\n"          /* 28 */
				 "state=intent\n"              /* 29 */
				 "to=held\n"                   /* 30 */
				 "mode=exclusive\n"            /* 31 */
				 "epoch=00000000000000ff\n"    /* 32 */
				 "[end]\n";                    /* 33 */

static struct gl_record *small_record(void)
{
	struct gl_record *record = new_record();
	struct gl_resource *resource;
	struct gl_holding *holding;

	record->instance = 42;
	set(&record->name, "web server");
	record->state = GUESTLOCK_GUEST_RUNNING;
	record->since = 1700000000;
	record->process.pid = 1234;
	record->process.start = 99;
	record->tether_inode = 7;
	ck_assert_int_eq(gl_record_set_param(record, "a", "b"), 0);
	resource = add_resource(record, "/a", KEY_A);
	set(&resource->identity, "file:/a");
	resource->has_file = true;
	resource->device = 1;
	resource->inode = 2;
	holding = add_holding(resource, "fcntl");
	holding->state = GUESTLOCK_RESOURCE_INTENT;
	holding->to = GUESTLOCK_RESOURCE_HELD;
	holding->has_epoch = true;
	holding->epoch = 255;
	return record;
}

START_TEST(test_text)
{
	struct gl_record *record = small_record();
	size_t size;
	char *text = text_of(record, &size);

	ck_assert_str_eq(text, small_text);
	gl_record_free(record);
	free(text);
}
END_TEST

START_TEST(test_lines_are_short)
{
	struct gl_record *record = full_record();
	char name[4096];
	size_t size;
	char *text;

	memset(name, 0xff, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	set(&record->resources[0].name, name);
	text = text_of(record, &size);
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		ck_assert_uint_lt(strcspn(line, "\n"), 180);
	}
	gl_record_free(record);
	free(text);
}
END_TEST

/* ---- Damage ---- */

/* text need not end with NUL, and reading one byte beyond it must not go unnoticed. */
static int parse_exactly(const char *text, size_t size, struct gl_record **out_record)
{
	char *copy = malloc(size ? size : 1);
	int status;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, size);
	memset(&err, 0, sizeof(err));
	status = gl_record_parse(0, false, copy, size, "/run/F", out_record, &err);
	free(copy);
	return status;
}

static void check_damaged(const char *text, size_t size, unsigned line, const char *reason)
{
	/* What a newer version wrote is not damaged, and must not be treated so. */
	int expected = strncmp(reason, "a newer", 7) == 0 ? GUESTLOCK_UNSUPPORTED : GUESTLOCK_DAMAGED;
	struct gl_record *record = NULL;
	char where[64];

	ck_assert_int_eq(parse_exactly(text, size, &record), expected);
	ck_assert_ptr_null(record);
	ck_assert_int_eq(err.code, expected);
	snprintf(where, sizeof(where), "record /run/F: line %u: ", line);
	ck_assert_msg(strstr(err.message, where), "no \"%s\" in \"%s\"", where, err.message);
	ck_assert_msg(strstr(err.message, reason), "no \"%s\" in \"%s\"", reason, err.message);
}

/* The text with the first `from` replaced; from must be in it. */
static char *edited(const char *text, const char *from, const char *to)
{
	struct gl_text out = GL_TEXT_INIT;
	const char *at = strstr(text, from);

	ck_assert_msg(at, "no \"%s\" in the text", from);
	gl_text_add(&out, text, (size_t)(at - text));
	gl_text_string(&out, to);
	gl_text_string(&out, at + strlen(from));
	return gl_text_take(&out, NULL);
}

static const struct {
	const char *from, *to;
	unsigned line;
	const char *reason;
} damages[] = {
	/* what it is */
	{small_text, "", 1, "is empty"},
	{"[guestlock-record]", "[guestlock-records]", 1, "does not begin as a record"},
	{"[guestlock-record]", "\xef\xbb\xbf[guestlock-record]", 1, "does not begin as a record"},
	{"[guestlock-record]\n", "\n[guestlock-record]\n", 1, "does not begin as a record"},
	{"version=1\n", "version=2\n", 2, "a newer guestlock wrote it, in version 2"},
	{"version=1\n", "version=18446744073709551615\n", 2, "a newer guestlock wrote it"},
	{"version=1\n", "version=18446744073709551616\n", 2, "version=18446744073709551616 is not a number"},
	{"version=1\n", "version=0\n", 2, "it is 'version=0' where guestlock writes 'version=1'"},
	{"version=1\n", "version=01\n", 2, "it is 'version=01'"},
	{"version=1\n", "version=x\n", 2, "version=x is not a number"},
	{"version=1\n", "", 2, "version is missing"},
	{"version=1\n", "version=1\nversion=1\n", 3, "version is in [guestlock-record] twice"},
	/* truncation */
	{"[end]\n", "", 32, "cut off before its [end]"},
	{"[end]\n", "[end]", 33, "cut off"},
	{"[end]\n", "[en", 33, "cut off"},
	{"[end]\n", "[end]\n[end]\n", 34, "it is '[end]' where guestlock writes ''"},
	{"[end]\n", "[end]\nx=1\n[end]\n", 34, "no key x in [end]"},
	{"[end]\n", "[end]\n\n", 34, "cut off"},
	/* keys */
	{"name=web", "colour=red\nname=web", 6, "no key colour in [guest]"},
	{"state=running\n", "state=running\nstate=running\n", 9, "state is in [guest] twice"},
	{"id=\nstate=running\n", "state=running\nid=\n", 7, "id is missing before it in [guest]"},
	{"to=held\nmode=exclusive\n", "mode=exclusive\nto=held\n", 31,
	 "to is in [holding 0] twice or in the wrong place"},
	{"instance=000000000000002a\n", "", 5, "instance is missing"},
	{"resources=1\n[param", "[param", 15, "resources is missing"},
	{"epoch=00000000000000ff\n", "epoch=00000000000000ff\nfrom=held\n", 33, "from is in"},
	{"key=" KEY_A "\n", "", 24, "key is missing"},
	{"mode=exclusive\n", "", 31, "mode is missing"},
	{"value=b\n", "", 18, "value is missing"},
	{"device=1\n", "", 25, "it is 'inode=2' where guestlock writes 'device=0'"},
	{"inode=2\n", "", 26, "it is '[holding 0]' where guestlock writes 'inode=0'"},
	{"id=\n", "id\n", 7, "neither [section] nor key=value"},
	{"id=\n", "id:\n", 7, "neither [section] nor key=value"},
	{"id=\n", "id = \n", 7, "no key id "},
	{"id=\n", " id=\n", 7, "no key  id"},
	{"id=\n", "id=\n\n", 8, "neither [section] nor key=value"},
	{"id=\n", "; a comment\nid=\n", 7, "neither"},
	{"id=\n", "ID=\n", 7, "no key ID"},
	{"id=\n", "=\n", 7, "no key  in"},
	/* values */
	{"state=running", "state=jogging", 8, "state=jogging is not a guest's state"},
	{"state=running", "state=", 8, "state= is not a guest's state"},
	{"state=running", "state=Running", 8, "is not a guest's state"},
	{"state=running", "state=running ", 8, "is not a guest's state"},
	{"state=running", "state=running\r", 8, "is not a guest's state"},
	{"state=running\n", "state=running\noperation=\n", 9, "it is 'operation='"},
	{"state=running\n", "state=running\noperation=eat\n", 9, "operation=eat is not an operation"},
	{"tether=7\n", "tether=7\nadopted=no\n", 14, "adopted=no is not \"yes\""},
	{"tether=7\n", "tether=7\nmigrate=yes\nadopted=yes\n", 15,
	 "adopted is in [guest] twice or in the wrong"},
	{"uuid=" UUID, "uuid=" UUID "0", 4, "is not a uuid"},
	{"uuid=c", "uuid=C", 4, "is not a uuid"},
	{"uuid=" UUID, "uuid=", 4, "is not a uuid"},
	{"000000000000002a", "00000000000002a", 5, "it is 'instance=00000000000002a'"},
	{"000000000000002a", "000000000000002A", 5, "it is 'instance="},
	{"000000000000002a", "0000000000000002a", 5, "it is 'instance="},
	{"000000000000002a", "0x0000000000002a", 5, "is not a number"},
	{"since=1700000000", "since=-1", 9, "since=-1 is not a time"},
	{"since=1700000000", "since=9223372036854775808", 9, "is not a time"},
	{"pid=1234", "pid=2147483648", 10, "is not a process"},
	{"pid=1234", "pid=01234", 10, "it is 'pid=01234' where guestlock writes 'pid=1234'"},
	{"pid=1234", "pid=+1234", 10, "is not a process"},
	{"pid=1234", "pid=", 10, "is not a process"},
	{"tether=7", "tether=18446744073709551616", 13, "is not a number"},
	{"pid-namespace=0\n", "pid-namespace=0\nboot=\n", 13, "boot= is not a uuid"},
	{"params=1", "params=2", 14, "it is 'params=2' where guestlock writes 'params=1'"},
	{"resources=1", "resources=0", 15, "it is 'resources=0' where guestlock writes 'resources=1'"},
	{"type=disk", "type=floppy", 20, "is not a type of resource"},
	{"flags=none", "flags=shared,readonly", 21, "is not a list of flags"},
	{"key=" KEY_A, "key=" KEY_A "A", 24, "is not a key"},
	{"key=A", "key=.", 24, "is not a key"},
	{"technology=fcntl", "technology=", 28, "is not the name of a backend"},
	{"technology=fcntl", "technology=Fcntl", 28, "is not the name of a backend"},
	{"technology=fcntl", "technology=a23456789012345678901234567890123", 28,
	 "is not the name of a backend"},
	{"mode=exclusive", "mode=read", 31, "is not a mode"},
	/* texts */
	{"web%20server", "web%2server", 6, "name is not percent-encoded"},
	{"web%20server", "web%", 6, "name is not percent-encoded"},
	{"web%20server", "web%00server", 6, "name is not percent-encoded"},
	{"web%20server", "web server", 6, "name is not percent-encoded"},
	{"web%20server", "web\xff", 6, "name is not percent-encoded"},
	{"web%20server", "\"web%20server\"", 6, "name is not percent-encoded"},
	{"web%20server", "web%2fserver", 6,
	 "it is 'name=web%2fserver' where guestlock writes 'name=web/server'"},
	{"web%20server", "%77eb", 6, "it is 'name=%77eb' where guestlock writes 'name=web'"},
	{"web%20server\n", "web%20\nname.1=server\n", 6, "it is 'name=web%20'"},
	{"web%20server\n", "web%20server\nname.1=%2\n", 7, "name is not percent-encoded"},
	{"web%20server\n", "web%20server\nname.1=\n", 7, "it is 'name.1='"},
	{"web%20server\n", "web%20server\nname.2=a\n", 7, "no key name.2"},
	{"web%20server\n", "web%20server\nname.01=a\n", 6, "it is"},
	{"web%20server\n", "web%20server\nname.=a\n", 7, "no key name."},
	{"state=running\n", "state=running\nstate.1=x\n", 9, "no key state.1"},
	/* sections */
	{"[guest]\n", "", 3, "no key uuid in [guestlock-record]"},
	{"[guest]\n", "[guest]\n[guest]\n", 4, "uuid is missing before it in [guest]"},
	{"[guest]\n", "[guests]\n", 3, "the section [guests] is unknown"},
	{"[guest]\n", "[guest] \n", 3, "neither"},
	{"[guest]\n", "[ guest]\n", 3, "the section [ guest] is unknown"},
	{"[guest]\n", "[]\n", 3, "the section [] is unknown"},
	{"[guest]\n", "[\n", 3, "neither"},
	{"[param 0]", "[param 1]", 16, "the section [param 1] is unknown or in the wrong place"},
	{"[param 0]", "[param 00]", 16, "it is '[param 00]'"},
	{"[param 0]", "[param]", 16, "the section [param] is unknown"},
	{"[resource 0]", "[resource 1]", 19, "the section [resource 1] is unknown or in the wrong place"},
	{"[resource 0]", "[holding 0]", 19, "the section [holding 0] is unknown or in the wrong place"},
	{"[holding 0]", "[holding 2]", 27, "the section [holding 2] is unknown or in the wrong place"},
	{"[end]", "[holding 0]\ntechnology=fcntl\n[end]", 33,
	 "the section [holding 0] is unknown or in the wrong"},
	{"[end]", "[guest]\n[end]", 33, "the section [guest] is unknown or in the wrong place"},
	{"[guest]\nuuid=", "[end]\nuuid=", 4, "no key uuid in [end]"},
	{small_text, "[guestlock-record]\nversion=1\n[end]\n", 3, "no [guest]"},
};

START_TEST(test_damage)
{
	char *text = edited(small_text, damages[_i].from, damages[_i].to);

	check_damaged(text, strlen(text), damages[_i].line, damages[_i].reason);
	free(text);
}
END_TEST

START_TEST(test_damage_nul)
{
	size_t version = (size_t)(strstr(small_text, "version=1") - small_text) + strlen("version=");
	char text[sizeof(small_text)], longer[sizeof(small_text) + 1];

	memcpy(text, small_text, sizeof(text));
	*strstr(text, "%20") = '\0';
	check_damaged(text, sizeof(text) - 1, 6, "NUL byte");
	/* Behind a version it does not make a newer one of it. */
	memcpy(longer, small_text, sizeof(small_text));
	longer[version] = '2';
	longer[version + 1] = '\0';
	memcpy(longer + version + 2, small_text + version + 1, sizeof(small_text) - version - 1);
	check_damaged(longer, sizeof(longer) - 1, 2, "NUL byte");
	check_damaged(small_text, sizeof(small_text), 34, "cut off");
}
END_TEST

/* A binary file name must not spoil the message, nor a missing error structure the call. */
START_TEST(test_damage_message)
{
	struct gl_record *record;

	ck_assert_int_eq(gl_record_parse(0, false, "x\n", 2, "/run/\n\x01", &record, &err),
			 GUESTLOCK_DAMAGED);
	ck_assert_str_eq(err.message,
			 "cannot trust record /run/\\x0a\\x01: line 1: it does not begin as a record does; "
			 "'guestlock reap' sets it aside");
	ck_assert_int_eq(gl_record_parse(0, false, "x\n", 2, "F", &record, NULL), GUESTLOCK_DAMAGED);
}
END_TEST

/* Whatever is cut off or changed: what is still read is exactly what the text says. */
static void check_exact(const char *text, size_t size)
{
	struct gl_record *record = NULL;
	size_t again_size;
	char *again;
	int status = parse_exactly(text, size, &record);

	if (status) {
		ck_assert_int_eq(status, GUESTLOCK_DAMAGED);
		ck_assert_ptr_nonnull(strstr(err.message, ": line "));
		return;
	}
	again = text_of(record, &again_size);
	ck_assert_uint_eq(again_size, size);
	ck_assert_int_eq(memcmp(again, text, size), 0);
	free(again);
	gl_record_free(record);
}

START_TEST(test_truncation)
{
	struct gl_record *record = full_record(), *read = NULL;
	size_t size;
	char *text = text_of(record, &size);

	for (size_t length = 0; length < size; length++) {
		ck_assert_int_eq(parse_exactly(text, length, &read), GUESTLOCK_DAMAGED);
	}
	gl_record_free(record);
	free(text);
}
END_TEST

START_TEST(test_every_byte_changed)
{
	static const char values[] = "\0\n\r =[];#%0a.\xff";
	struct gl_record *record = full_record();
	size_t size;
	char *text = text_of(record, &size);

	for (size_t i = 0; i < size; i++) {
		char kept = text[i];

		for (size_t v = 0; v < sizeof(values) - 1; v++) {
			text[i] = values[v];
			check_exact(text, size);
		}
		text[i] = (char)(kept ^ 1);
		check_exact(text, size);
		text[i] = kept;
	}
	gl_record_free(record);
	free(text);
}
END_TEST

/* Number of the line's first byte, and of the byte behind its newline. */
static size_t next_line(const char *text, size_t from)
{
	return from + strcspn(text + from, "\n") + 1;
}

START_TEST(test_every_line_lost_doubled_or_moved)
{
	struct gl_record *record = full_record(), *read = NULL;
	size_t size;
	char *text = text_of(record, &size);
	char *other = malloc(2 * size);

	ck_assert_ptr_nonnull(other);
	for (size_t from = 0; from < size; from = next_line(text, from)) {
		size_t to = next_line(text, from), then = to < size ? next_line(text, to) : to;

		memcpy(other, text, from);
		memcpy(other + from, text + to, size - to);
		check_exact(other, size - (to - from));

		memcpy(other, text, to);
		memcpy(other + to, text + from, size - from);
		ck_assert_int_eq(parse_exactly(other, size + to - from, &read), GUESTLOCK_DAMAGED);

		memcpy(other, text, size);
		memcpy(other + from, text + to, then - to);
		memcpy(other + from + (then - to), text + from, to - from);
		if (memcmp(other, text, size) != 0) {
			ck_assert_int_eq(parse_exactly(other, size, &read), GUESTLOCK_DAMAGED);
		}
	}
	gl_record_free(record);
	free(text);
	free(other);
}
END_TEST

/* ---- What cannot be written ---- */

#define UNWRITABLE 9

START_TEST(test_unwritable)
{
	struct gl_record *record = small_record();
	struct gl_resource *resource = &record->resources[0];
	struct gl_holding *holding = &resource->holdings[0];
	char *text = NULL, *identity = resource->identity;
	size_t size;
	const struct {
		void *at;
		const void *spoilt;
		size_t size;
		const char *key;
	} rows[UNWRITABLE] = {
		{record->uuid, "x", 1, "uuid"},
		{&record->process.pid, &(pid_t){-1}, sizeof(pid_t), "pid"},
		{&record->since, &(int64_t){-1}, sizeof(int64_t), "since"},
		{&record->state, &(unsigned){GL_GUEST_STATES}, sizeof(unsigned), "state"},
		{&resource->identity, &(char *){NULL}, sizeof(char *), "identity"},
		{resource->key, "", 1, "key"},
		{&resource->flags, &(unsigned){4}, sizeof(unsigned), "flags"},
		{holding->technology, "a2345678901234567890123456789012", GL_TECHNOLOGY_SIZE, "technology"},
		{&holding->mode, &(unsigned){4}, sizeof(unsigned), "mode"},
	};

	memcpy(rows[_i].at, rows[_i].spoilt, rows[_i].size);
	ck_assert_int_eq(gl_record_serialize(record, &text, &size, &err), GUESTLOCK_FAILED);
	ck_assert_ptr_null(text);
	ck_assert_msg(strstr(err.message, rows[_i].key), "no \"%s\" in \"%s\"", rows[_i].key, err.message);
	resource->identity = identity;
	gl_record_free(record);
}
END_TEST

/* ---- The record in memory ---- */

START_TEST(test_params)
{
	struct gl_record *record = new_record();

	for (int i = 0; i < 20; i++) {
		char key[8], value[8];

		snprintf(key, sizeof(key), "k%d", i % 10);
		snprintf(value, sizeof(value), "v%d", i);
		ck_assert_int_eq(gl_record_set_param(record, key, value), 0);
	}
	ck_assert_uint_eq(record->n_params, 10);
	ck_assert_str_eq(record->params[3].key, "k3");
	ck_assert_str_eq(record->params[3].value, "v13");
	gl_record_free(record);
	gl_record_free(NULL);
}
END_TEST

START_TEST(test_resources)
{
	struct gl_record *record = new_record();
	char key[GUESTLOCK_KEY_SIZE] = KEY_A;

	for (int i = 0; i < 9; i++) {
		char name[2] = {(char)('0' + i), '\0'};

		key[0] = name[0];
		add_resource(record, name, key);
	}
	gl_record_remove_resource(record, 8);
	gl_record_remove_resource(record, 0);
	gl_record_remove_resource(record, 3);
	ck_assert_uint_eq(record->n_resources, 6);
	for (size_t i = 0; i < 6; i++) {
		ck_assert_int_eq(record->resources[i].name[0], "123567"[i]);
	}
	key[0] = '5';
	ck_assert_ptr_eq(gl_record_find_key(record, key), &record->resources[3]);
	key[0] = '4';
	ck_assert_ptr_null(gl_record_find_key(record, key));
	while (record->n_resources > 0) {
		gl_record_remove_resource(record, 0);
	}
	add_resource(record, "again", KEY_B);
	ck_assert_str_eq(record->resources[0].name, "again");
	gl_record_free(record);
}
END_TEST

START_TEST(test_holdings)
{
	struct gl_record *record = new_record();
	struct gl_resource *resource = add_resource(record, "/a", KEY_A);

	ck_assert_ptr_null(gl_resource_holding(resource, "a", false));
	ck_assert_ptr_eq(gl_resource_holding(resource, "a", true), &resource->holdings[0]);
	ck_assert_ptr_eq(gl_resource_holding(resource, "b", true), &resource->holdings[1]);
	ck_assert_ptr_eq(gl_resource_holding(resource, "a", true), &resource->holdings[0]);
	ck_assert_ptr_eq(gl_resource_holding(resource, "b", false), &resource->holdings[1]);
	ck_assert_ptr_null(gl_resource_holding(resource, "c", true));
	resource->holdings[0].technology[0] = '\0';
	resource->holdings[0].epoch = 5;
	ck_assert_ptr_eq(gl_resource_holding(resource, "b", true), &resource->holdings[1]);
	ck_assert_ptr_eq(gl_resource_holding(resource, "c", true), &resource->holdings[0]);
	ck_assert_uint_eq(resource->holdings[0].epoch, 0);
	gl_record_free(record);
}
END_TEST

Suite *record_suite(void)
{
	Suite *suite = suite_create("record");
	TCase *text = tcase_create("text");
	TCase *damage = tcase_create("damage");
	TCase *memory = tcase_create("memory");

	tcase_add_checked_fixture(text, setup, NULL);
	tcase_add_test(text, test_round_trip_empty);
	tcase_add_test(text, test_round_trip_full);
	tcase_add_test(text, test_round_trip_all_bytes);
	tcase_add_loop_test(text, test_round_trip_tricky, 0, 10);
	tcase_add_loop_test(text, test_round_trip_long, 0, 15);
	tcase_add_test(text, test_round_trip_many);
	tcase_add_test(text, test_round_trip_slot);
	tcase_add_loop_test(text, test_round_trip_states, 0, GL_OPERATIONS);
	tcase_add_test(text, test_text);
	tcase_add_test(text, test_lines_are_short);
	tcase_add_loop_test(text, test_unwritable, 0, UNWRITABLE);
	suite_add_tcase(suite, text);

	tcase_add_checked_fixture(damage, setup, NULL);
	tcase_add_loop_test(damage, test_damage, 0, GL_COUNT(damages));
	tcase_add_test(damage, test_damage_nul);
	tcase_add_test(damage, test_damage_message);
	tcase_add_test(damage, test_truncation);
	tcase_add_test(damage, test_every_byte_changed);
	tcase_add_test(damage, test_every_line_lost_doubled_or_moved);
	suite_add_tcase(suite, damage);

	tcase_add_test(memory, test_params);
	tcase_add_test(memory, test_resources);
	tcase_add_test(memory, test_holdings);
	suite_add_tcase(suite, memory);
	return suite;
}
