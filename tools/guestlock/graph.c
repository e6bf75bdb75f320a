/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* graph: pictures for Graphviz (dot -Tsvg). */
#include "cli.h"

#include <string.h>

struct picture {
	bool lifecycle, cluster;
};

const struct cli_option cli_graph_options[] = {
	{0, "cluster", NULL, "draw the guests of all hosts, and what they hold", cli_take_flag,
	 offsetof(struct picture, cluster)},
	{0, "lifecycle", NULL, "draw what can happen to a guest instead", cli_take_flag,
	 offsetof(struct picture, lifecycle)},
	{0},
};

/* A quoted string of the DOT language: text as it is, whatever it holds. */
static void print_quoted(const char *text)
{
	CLI_AUTOFREE char *printable = cli_printable(text);

	putchar('"');
	for (const char *c = printable; *c; c++) {
		if (*c == '"' || *c == '\\') {
			putchar('\\');
		}
		putchar(*c);
	}
	putchar('"');
}

/* ---- The lifecycle ---- */

static const char any_state[] = "any state";

/* The arrows of the picture; those between the same two states are drawn as one. */
struct edges {
	struct edge {
		const char *from, *to;
		char *label;
	} * list;
	size_t count;
};

static void add_edge(struct edges *edges, const char *from, const char *to, const char *event,
		     const char *guard)
{
	char *label = cli_format("%s%s%s", event, *guard ? ", if " : "", guard);

	edges->list = cli_need(reallocarray(edges->list, edges->count + 1, sizeof(edges->list[0])));
	edges->list[edges->count++] = (struct edge){
		.from = strcmp(from, "*") == 0 ? any_state : from,
		.to = strcmp(to, "*") == 0 ? any_state : to,
		.label = label,
	};
}

static bool same_ends(const struct edge *a, const struct edge *b)
{
	return strcmp(a->from, b->from) == 0 && strcmp(a->to, b->to) == 0;
}

/* The words of the lifecycle need no quoting. */
static void print_edges(const struct edges *edges, size_t first)
{
	const struct edge *edge = &edges->list[first];

	for (size_t i = 0; i < first; i++) {
		if (same_ends(edge, &edges->list[i])) {
			return;
		}
	}
	printf("\t\"%s\" -> \"%s\" [label=\"%s", edge->from, edge->to, edge->label);
	for (size_t i = first + 1; i < edges->count; i++) {
		if (same_ends(edge, &edges->list[i]) && strcmp(edge->label, edges->list[i].label) != 0) {
			printf("\\n%s", edges->list[i].label);
		}
	}
	printf("\"];\n");
}

static bool fits(const char *pattern, const char *value)
{
	return strcmp(pattern, "*") == 0 || strcmp(pattern, value) == 0;
}

/*
 * A wish only begins an operation; where it leads, the rows for that operation's success tell. They are
 * tried in order: the first one without a condition is the last that can apply.
 */
static void add_operation(struct edges *edges, const struct guestlock_transition *wish,
			  const struct guestlock_transition *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct guestlock_transition *row = &rows[i];

		if (strcmp(row->event, "done") != 0 || !fits(row->pending, wish->next_pending) ||
		    !fits(row->state, wish->state)) {
			continue;
		}
		add_edge(edges, wish->state, strcmp(row->next, "=") == 0 ? wish->state : row->next,
			 wish->event, *row->guard ? row->guard : wish->guard);
		if (*row->guard == '\0') {
			return;
		}
	}
}

static bool is_outcome(const struct guestlock_transition *row)
{
	return strcmp(row->event, "done") == 0 || strcmp(row->event, "refused") == 0 ||
	       strcmp(row->event, "unsure") == 0;
}

static void draw_lifecycle(void)
{
	struct edges edges = {0};
	size_t count;
	const struct guestlock_transition *rows = guestlock_lifecycle(&count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].verdict, "go") != 0 || is_outcome(&rows[i])) {
			continue;
		}
		if (strcmp(rows[i].next, "=") != 0) {
			add_edge(&edges, rows[i].state, rows[i].next, rows[i].event, rows[i].guard);
		} else {
			add_operation(&edges, &rows[i], rows, count);
		}
	}
	puts("digraph lifecycle {\n\trankdir=LR;\n\tnode [shape=box, style=rounded];\n"
	     "\t\"any state\" [style=\"rounded,dashed\"];");
	for (size_t i = 0; i < edges.count; i++) {
		print_edges(&edges, i);
	}
	puts("}");
	for (size_t i = 0; i < edges.count; i++) {
		free(edges.list[i].label);
	}
	free(edges.list);
}

/* ---- The guests ---- */

static void draw_guest(const struct guestlock_info *info)
{
	CLI_AUTOFREE char *words = cli_guest_words(info->name, info->uuid);
	CLI_AUTOFREE char *label =
		info->damage ? cli_format("%s: damaged", info->uuid)
			     : cli_format("%s: %s", words, guestlock_guest_state_name(info->state));

	printf("\t");
	print_quoted(info->uuid);
	printf(" [shape=box, label=");
	print_quoted(label);
	printf("%s];\n", info->life == GUESTLOCK_LIFE_DEAD ? ", style=dashed" : "");
}

/* The lock of the guest itself would only repeat the guest. */
static void draw_resource(const struct guestlock_info *info, const struct guestlock_resource_info *resource)
{
	const char *type = cli_resource_type(resource);
	CLI_AUTOFREE char *label = cli_format("%s, %s", guestlock_mode_name(resource->mode),
					      guestlock_resource_state_name(resource->state));

	if (strcmp(type, "guest") == 0) {
		return;
	}
	printf("\t");
	print_quoted(resource->key);
	printf(" [shape=%s, label=", strcmp(type, "disk") == 0 ? "cylinder" : "ellipse");
	print_quoted(resource->name);
	printf("];\n\t");
	print_quoted(info->uuid);
	printf(" -> ");
	print_quoted(resource->key);
	printf(" [label=");
	print_quoted(label);
	printf("%s];\n", resource->state == GUESTLOCK_RESOURCE_HELD ? "" : ", style=dashed");
}

static int draw_guests(struct cli *cli)
{
	struct guestlock_info **infos;
	struct guestlock_error err;
	size_t count;
	int status = cli_open(cli);

	if (status != 0) {
		return status;
	}
	status = guestlock_list(cli->gl, &infos, &count, &err);
	if (status != GUESTLOCK_OK) {
		return cli_fail(cli, status, &err);
	}
	puts("digraph guests {\n\trankdir=LR;");
	for (size_t i = 0; i < count; i++) {
		draw_guest(infos[i]);
		for (size_t j = 0; !infos[i]->damage && j < infos[i]->n_resources; j++) {
			draw_resource(infos[i], &infos[i]->resources[j]);
		}
	}
	puts("}");
	guestlock_list_free(infos, count);
	return EX_OK;
}

/* ---- The guests of all hosts ---- */

/* Apart from its other lives, of which each end of a migration has one. */
static char *node_of(const struct guestlock_holder *guest)
{
	return cli_format("%s %s %016llx", guest->host, guest->uuid, (unsigned long long)guest->instance);
}

/* A frame for each host. */
static void begin_host(const char *host, size_t number)
{
	printf("\tsubgraph cluster_%zu {\n\t\tlabel=", number);
	print_quoted(*host ? host : "an unknown host");
	printf(";\n");
}

static void draw_holder(const struct guestlock_holder *guest)
{
	CLI_AUTOFREE char *node = node_of(guest);
	CLI_AUTOFREE char *label = cli_guest_words(guest->name, *guest->uuid ? guest->uuid : "unknown");

	printf("\t\t");
	print_quoted(node);
	printf(" [shape=box, label=");
	print_quoted(label);
	printf("];\n");
}

static size_t draw_hosts(const struct guestlock_survey *survey)
{
	size_t hosts = 0;

	for (size_t i = 0; i < survey->n_locks; i = cli_next_guest(survey, i)) {
		const struct guestlock_holder *guest = &survey->locks[i].holder;

		if (i == 0 || strcmp(guest->host, survey->locks[i - 1].holder.host) != 0) {
			printf("%s", i == 0 ? "" : "\t}\n");
			begin_host(guest->host, hosts++);
		}
		draw_holder(guest);
	}
	printf("%s", hosts > 0 ? "\t}\n" : "");
	return hosts;
}

static void draw_silent(const struct guestlock_survey *survey, size_t hosts)
{
	for (size_t i = 0; i < survey->n_silent; i++) {
		CLI_AUTOFREE char *node = cli_format("silent %s", survey->silent[i].host);

		begin_host(survey->silent[i].host, hosts + i);
		printf("\t\tstyle=dashed;\n\t\t");
		print_quoted(node);
		printf(" [shape=plaintext, label=");
		print_quoted(survey->silent[i].reason);
		printf("];\n\t}\n");
	}
}

static void draw_lock(const struct guestlock_survey_lock *lock)
{
	CLI_AUTOFREE char *node = node_of(&lock->holder);
	bool lease = strncmp(lock->identity, "lease:", strlen("lease:")) == 0;

	if (cli_is_guest_lock(lock)) {
		return;
	}
	printf("\t");
	print_quoted(lock->key);
	printf(" [shape=%s, label=", *lock->identity && !lease ? "cylinder" : "ellipse");
	print_quoted(*lock->identity ? lock->identity : lock->key);
	printf("];\n\t");
	print_quoted(node);
	printf(" -> ");
	print_quoted(lock->key);
	printf(" [label=");
	print_quoted(guestlock_mode_name(lock->holder.mode));
	printf("];\n");
}

static int draw_cluster(struct cli *cli)
{
	CLI_AUTOSURVEY struct guestlock_survey *survey = NULL;
	int status = cli_survey(cli, &survey);

	if (status != 0) {
		return status;
	}
	puts("digraph cluster {\n\trankdir=LR;");
	draw_silent(survey, draw_hosts(survey));
	for (size_t i = 0; i < survey->n_locks; i++) {
		draw_lock(&survey->locks[i]);
	}
	puts("}");
	return EX_OK;
}

int cli_graph(struct cli *cli, int argc, char **argv)
{
	struct picture picture = {.cluster = false};

	if (cli_parse(cli, argc, argv, &picture) != 0 || cli_no_arguments(cli, argc, argv) != 0) {
		return EX_USAGE;
	}
	if (cli->json) {
		return cli_usage(cli, "graph prints the DOT language only; list and explain print JSON");
	}
	if (picture.lifecycle && picture.cluster) {
		return cli_usage(cli, "--lifecycle and --cluster are different pictures: choose one");
	}
	if (picture.lifecycle) {
		draw_lifecycle();
		return EX_OK;
	}
	return picture.cluster ? draw_cluster(cli) : draw_guests(cli);
}
