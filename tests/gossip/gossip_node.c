/*
 * A bare gossip node for interoperability tests: the engine on real sockets, driven by lines on
 * stdin, reporting JSON lines on stdout.
 *
 *   gossip_node -name N -bind IP [-port P] [-key HEX]... [-label L] [-dvsn MIN,MAX,CUR]
 *               [-nocompress] [-join IP:PORT]...
 *   commands: members | health | join IP:PORT | leave | quit | addkey HEX | usekey HEX | rmkey HEX
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "metallb/log.h"
#include "metallb/xalloc.h"
#include "speaker/gossip/gossip.h"

struct host {
	struct ev_loop *loop;
	struct gossip *g;
	struct swim_config cfg;
	struct gsp_keyring ring;
	ev_io in;
	ev_timer leaving;
	struct buf line;
	const char *joins[64];
	size_t n_joins;
	unsigned long drops;
};

static void say(const char *event, const char *key, const char *value)
{
	printf("{\"event\":\"%s\",\"%s\":\"%s\"}\n", event, key, value);
	fflush(stdout);
}

static void on_member(void *user, enum swim_output_type what, const char *name)
{
	static const char *const events[] = {[SWIM_OUT_JOIN] = "join",
					     [SWIM_OUT_LEAVE] = "leave",
					     [SWIM_OUT_UPDATE] = "update",
					     [SWIM_OUT_CONFLICT] = "conflict"};

	(void)user;
	say(events[what], "name", name);
}

static void on_joined(void *user, const struct ip *addr, const char *why)
{
	(void)user;
	(void)addr;
	say("joined", "error", why ? why : "");
}

static void on_drop(void *user, const char *why)
{
	struct host *h = user;

	h->drops++;
	say("drop", "why", why);
}

static bool parse_key(const char *hex, uint8_t *key, size_t *len)
{
	unsigned byte;

	for (*len = 0; hex[0] && hex[1] && *len < GSP_KEY_MAX; hex += 2, ++*len) {
		if (sscanf(hex, "%2x", &byte) != 1)
			return false;
		key[*len] = (uint8_t)byte;
	}
	return *hex == '\0';
}

static const char *change_key(struct host *h, const char *what, const char *hex)
{
	uint8_t key[GSP_KEY_MAX];
	const char *why;
	size_t len;

	if (!parse_key(hex, key, &len))
		return "not a key";
	if (strcmp(what, "addkey") == 0)
		why = gsp_keyring_add(&h->ring, key, len);
	else if (strcmp(what, "usekey") == 0)
		why = gsp_keyring_use(&h->ring, key, len);
	else
		why = gsp_keyring_remove(&h->ring, key, len);
	if (!why && h->g)
		gossip_set_keyring(h->g, &h->ring);
	return why;
}

static bool join(struct host *h, const char *to)
{
	const char *colon = strrchr(to, ':');
	struct ip ip;

	if (!colon || !ip_parse_n(to, (size_t)(colon - to), &ip))
		return false;
	gossip_join(h->g, &ip, (uint16_t)atoi(colon + 1));
	return true;
}

static void print_members(const struct host *h)
{
	static const char *const states[] = {"alive", "suspect", "dead", "left"};
	struct swim_member m;
	char ip[IP_STR_MAX];

	printf("{\"event\":\"members\",\"members\":[");
	for (size_t i = 0; swim_member_at(gossip_swim(h->g), i, &m); i++)
		printf("%s{\"name\":\"%s\",\"addr\":\"%s\",\"state\":\"%s\",\"incarnation\":%u}",
		       i ? "," : "", m.name, ip_format(&m.addr, ip), states[m.state],
		       m.incarnation);
	printf("],\"drops\":%lu}\n", h->drops);
	fflush(stdout);
}

static void on_leaving(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct host *h = timer->data;

	(void)events;
	if (gossip_has_left(h->g))
		ev_break(loop, EVBREAK_ALL);
}

static void command(struct host *h, char *line)
{
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = '\0';
	if (strcmp(line, "members") == 0) {
		print_members(h);
	} else if (strcmp(line, "health") == 0) {
		say("health", "score", log_int(swim_health_score(gossip_swim(h->g))));
	} else if (strcmp(line, "quit") == 0) {
		ev_break(h->loop, EVBREAK_ALL);
	} else if (strcmp(line, "leave") == 0) {
		gossip_leave(h->g);
		ev_timer_again(h->loop, &h->leaving);
	} else if (arg && strcmp(line, "join") == 0) {
		if (!join(h, arg))
			say("error", "why", "not an address and port");
	} else if (arg && strstr(line, "key")) {
		const char *why = change_key(h, line, arg);

		say(why ? "error" : "ok", "why", why ? why : "");
	} else {
		say("error", "why", "unknown command");
	}
}

static void on_stdin(struct ev_loop *loop, ev_io *io, int events)
{
	struct host *h = io->data;
	char chunk[4096], *nl;
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));

	(void)events;
	if (n <= 0) {
		ev_io_stop(loop, io);
		return;
	}
	buf_add(&h->line, chunk, (size_t)n);
	while (h->line.len && (nl = memchr(h->line.data, '\n', h->line.len))) {
		*nl = '\0';
		size_t used = (size_t)(nl - h->line.data) + 1;

		command(h, h->line.data);
		buf_consume(&h->line, used);
	}
}

static bool parse_dvsn(const char *s, uint8_t out[3])
{
	unsigned v[3];

	if (sscanf(s, "%u,%u,%u", &v[0], &v[1], &v[2]) != 3)
		return false;
	for (int i = 0; i < 3; i++)
		out[i] = (uint8_t)v[i];
	return true;
}

static bool option(struct host *h, const char *name, const char *value)
{
	if (strcmp(name, "-name") == 0 && strlen(value) <= SWIM_NAME_MAX)
		return strcpy(h->cfg.name, value) != NULL;
	if (strcmp(name, "-bind") == 0)
		return ip_parse(value, &h->cfg.addr);
	if (strcmp(name, "-port") == 0)
		return (h->cfg.port = (uint16_t)atoi(value)) != 0;
	if (strcmp(name, "-label") == 0 && strlen(value) <= GSP_LABEL_MAX)
		return strcpy(h->cfg.label, value) != NULL;
	if (strcmp(name, "-dvsn") == 0)
		return parse_dvsn(value, h->cfg.delegate_vsn);
	if (strcmp(name, "-key") == 0)
		return !change_key(h, "addkey", value);
	if (strcmp(name, "-join") == 0 && h->n_joins < ARRAY_SIZE(h->joins))
		return (h->joins[h->n_joins++] = value) != NULL;
	return false;
}

int main(int argc, char **argv)
{
	struct host h = {.loop = ev_default_loop(0), .cfg = swim_config_lan()};
	struct gossip_callbacks cb = {on_member, on_joined, on_drop, &h};
	struct err err;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-nocompress") == 0) {
			h.cfg.compression = false;
			continue;
		}
		if (i + 1 == argc || !option(&h, argv[i], argv[i + 1])) {
			fprintf(stderr, "bad option %s\n", argv[i]);
			return 2;
		}
		i++;
	}
	h.cfg.keyring = h.ring;
	if (gossip_new(h.loop, &h.cfg, &cb, &h.g, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	ev_io_init(&h.in, on_stdin, STDIN_FILENO, EV_READ);
	ev_timer_init(&h.leaving, on_leaving, 0., 0.02);
	h.in.data = h.leaving.data = &h;
	ev_io_start(h.loop, &h.in);
	say("ready", "name", h.cfg.name);
	for (size_t i = 0; i < h.n_joins; i++)
		if (!join(&h, h.joins[i]))
			return 2;
	ev_run(h.loop, 0);
	gossip_free(h.g);
	buf_fini(&h.line);
	return 0;
}
