/*
 * Latency and throughput of judging an IPAddressPool against 1,000 others, over HTTPS on kept-alive
 * connections: 1, 32 and 256 at a time; and what a million reviews leave behind in memory (with
 * --million; 20,000 otherwise). The server is lib/serve with operator/admit in a process of its
 * own, the clients are threads of this one. One JSON object per figure on stdout.
 */
#include <arpa/inet.h>
#include <ev.h>
#include <json-c/json.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "metallb/clock.h"
#include "metallb/serve.h"
#include "metallb/x509.h"
#include "metallb/xalloc.h"
#include "operator/admit.h"

#define N_POOLS     1000
#define SECONDS     3
#define CLIENTS_MAX 256
#define SAMPLES_MAX 400000
#define FEW         20000
#define MILLION     1000000

/* ---- the server ---- */

static struct admit_snapshot snapshot = {.ns = "n", .objs.bgp_extras = ""};

static void on_review(struct serve_request *r, void *user)
{
	struct buf out = {0};
	struct admit_outcome outcome;
	size_t len;
	const char *body = serve_request_body(r, &len);

	(void)user;
	int status = admit_review(&snapshot, API_IPADDRESSPOOL, body, len, &out, &outcome);

	serve_reply(r, status, "application/json", &out);
}

static const struct serve_route routes[] = {
	{SERVE_POST, "/validate", "application/json", on_review, NULL},
};

static void make_pools(void)
{
	static const struct ipaddresspool *pools[N_POOLS];

	for (int i = 0; i < N_POOLS; i++) {
		_cleanup_free_ char *text =
			xasprintf("{\"metadata\":{\"name\":\"pool%d\",\"namespace\":\"n\"},"
				  "\"spec\":{\"addresses\":[\"10.%d.%d.0/24\"]}}",
				  i, i / 256, i % 256);
		json_object *json = json_tokener_parse(text);
		struct err err;

		pools[i] = (const void *)api_decode(API_IPADDRESSPOOL, json, &err);
		json_object_put(json);
		if (!pools[i])
			abort();
	}
	struct config_options opt = {.ignore_references = true};
	static struct config *config;
	struct config_report *report;

	snapshot.objs.pools = pools;
	snapshot.objs.n_pools = N_POOLS;
	config_build(&snapshot.objs, &opt, &config, &report);
	config_report_free(report);
	snapshot.current = config;
}

static void serve_forever(int port_fd)
{
	static const char *const names[] = {"localhost"};
	struct ev_loop *loop = ev_default_loop(0);
	struct serve_tls tls = {0};
	struct serve_options o = {.name = "bench",
				  .address = "127.0.0.1",
				  .routes = routes,
				  .n_routes = 1,
				  .tls = &tls,
				  .max_connections = 2 * CLIENTS_MAX};
	EVP_PKEY *key = x509_make_key();
	X509 *x = x509_make_serving(key, names, 1, NULL, NULL, clock_wall() / USEC_PER_SEC, 1);
	char *cert = x509_write(&x, 1), *secret = x509_write_key(key);
	struct serve *s;
	struct err err;

	make_pools();
	if (!serve_tls_parse(&tls, "", "", "", &err) || serve_new(loop, &o, &s) < 0 ||
	    !serve_set_certificate(s, cert, strlen(cert), secret, strlen(secret), &err))
		abort();
	uint16_t port = serve_port(s);

	if (write(port_fd, &port, sizeof(port)) != sizeof(port))
		abort();
	ev_run(loop, 0);
}

/* ---- the clients ---- */

static uint16_t port;
static char request[4096];
static size_t request_len;
static SSL_CTX *ctx;
static uint32_t *samples; /* microseconds, of all clients */
static size_t n_samples, wanted;
static usec_t end;

static void make_request(void)
{
	_cleanup_free_ char *body = xasprintf(
		"{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{"
		"\"uid\":\"705ab4f5-6393-11e8-b7cc-42010a800002\",\"operation\":\"CREATE\","
		"\"object\":{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"IPAddressPool\","
		"\"metadata\":{\"name\":\"new\",\"namespace\":\"n\",\"uid\":\"x\","
		"\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},"
		"\"spec\":{\"addresses\":[\"172.16.0.0/24\"]}},\"oldObject\":null}}");

	request_len = (size_t)snprintf(request, sizeof(request),
				       "POST /validate?timeout=10s HTTP/1.1\r\nHost: a\r\n"
				       "Content-Type: application/json\r\nContent-Length: %zu\r\n"
				       "\r\n%s",
				       strlen(body), body);
}

static SSL *dial(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(ctx);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	SSL_set_fd(ssl, fd);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || SSL_connect(ssl) != 1) {
		fprintf(stderr, "webhook_bench: cannot connect\n");
		exit(1);
	}
	return ssl;
}

/* One review: must be allowed. */
static void ask(SSL *ssl)
{
	char answer[4096];
	size_t n = 0;

	if (SSL_write(ssl, request, (int)request_len) != (int)request_len)
		exit(1);
	do {
		int k = SSL_read(ssl, answer + n, (int)(sizeof(answer) - 1 - n));

		if (k <= 0)
			exit(1);
		n += (size_t)k;
		answer[n] = '\0';
	} while (!strstr(answer, "}}"));
	if (!strstr(answer, "\"allowed\":true")) {
		fprintf(stderr, "webhook_bench: %s\n", answer);
		exit(1);
	}
}

static void *client_main(void *user)
{
	SSL *ssl = dial();

	(void)user;
	for (;;) {
		usec_t since = clock_now();

		if (wanted ? __atomic_load_n(&n_samples, __ATOMIC_RELAXED) >= wanted : since >= end)
			break;
		ask(ssl);
		size_t i = __atomic_fetch_add(&n_samples, 1, __ATOMIC_RELAXED);

		if (i < SAMPLES_MAX)
			samples[i] = (uint32_t)(clock_now() - since);
	}
	SSL_free(ssl);
	return NULL;
}

static double run(size_t clients)
{
	pthread_t threads[CLIENTS_MAX];
	usec_t since = clock_now();

	n_samples = 0;
	end = since + SECONDS * USEC_PER_SEC;
	for (size_t i = 0; i < clients; i++)
		pthread_create(&threads[i], NULL, client_main, NULL);
	for (size_t i = 0; i < clients; i++)
		pthread_join(threads[i], NULL);
	return (double)(clock_now() - since) / (double)USEC_PER_SEC;
}

/* ---- figures ---- */

static void print_figure(const char *metric, const char *unit, double value)
{
	printf("{\"bench\":\"webhook\",\"metric\":\"%s\",\"unit\":\"%s\",\"value\":%.6g,\"runs\":1,"
	       "\"min\":%.6g,\"max\":%.6g}\n",
	       metric, unit, value, value, value);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void measure(size_t clients)
{
	double seconds = run(clients);
	size_t n = n_samples < SAMPLES_MAX ? n_samples : SAMPLES_MAX;
	char metric[64];

	qsort(samples, n, sizeof(*samples), by_value);
	snprintf(metric, sizeof(metric), "%zu connections: p50", clients);
	print_figure(metric, "ms", samples[n / 2] / 1000.);
	snprintf(metric, sizeof(metric), "%zu connections: p99", clients);
	print_figure(metric, "ms", samples[n * 99 / 100] / 1000.);
	snprintf(metric, sizeof(metric), "%zu connections: throughput", clients);
	print_figure(metric, "reviews/s", (double)n_samples / seconds);
}

static double rss_mb(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/statm", pid);
	FILE *f = fopen(path, "r");
	long pages = 0;

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		exit(1);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void measure_memory(pid_t server, size_t reviews)
{
	double before = rss_mb(server);

	wanted = reviews;
	run(32);
	char metric[64];

	print_figure("RSS before", "MB", before);
	snprintf(metric, sizeof(metric), "RSS after %zu reviews", n_samples);
	print_figure(metric, "MB", rss_mb(server));
}

int main(int argc, char **argv)
{
	static const size_t clients[] = {1, 32, 256};
	int fds[2];
	pid_t server;

	if (pipe(fds) < 0 || (server = fork()) < 0)
		return 1;
	if (server == 0) {
		serve_forever(fds[1]);
		_exit(0);
	}
	if (read(fds[0], &port, sizeof(port)) != sizeof(port))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	ctx = SSL_CTX_new(TLS_client_method());
	samples = xcalloc(SAMPLES_MAX, sizeof(*samples));
	make_request();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		measure(clients[i]);
	measure_memory(server, argc > 1 && strcmp(argv[1], "--million") == 0 ? MILLION : FEW);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	SSL_CTX_free(ctx);
	free(samples);
	return 0;
}
