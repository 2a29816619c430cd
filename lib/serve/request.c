/*
 * One request: what its header asks for, its body, its answer. The connection underneath is
 * https.c's; nothing here closes one.
 *
 * A refusal is told only after the body has been read and thrown away, when it is not too long: a
 * client that is still sending would not read the answer. Bodies must say their length (411
 * otherwise): libwebsockets 4.1 does not decode chunked ones. HEAD, OPTIONS and the like are not
 * served.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "https.h"
#include "metallb/log.h"
#include "metallb/xalloc.h"

#define DRAIN_MAX    ((size_t)16 << 20) /* of a refused body */
#define WRITE_MAX    ((size_t)16 << 10) /* at a time: one TLS record */
#define HEAD_MAX     1024               /* of an answer */
#define LENGTH_CHARS 16                 /* of a Content-Length that we take */

/*
 * An HTTP/2 connection ends when it is idle after so many: libwebsockets grants 256 KiB for each on
 * top of what is used, which must stay below 2^31.
 */
#define HTTP2_REQUESTS 4096

static const char text_plain[] = "text/plain; charset=utf-8";

static const struct {
	int status;
	const char *text;
} refusals[] = {
	{400, "bad request\n"},
	{404, "not found\n"},
	{405, "method not allowed\n"},
	{408, "the request took too long\n"},
	{411, "a body needs a Content-Length\n"},
	{413, "the body is too large\n"},
	{415, "the body must be application/json\n"},
	{503, "too many large requests at a time\n"},
};

static bool is_http2(struct lws *wsi)
{
	return lws_get_network_wsi(wsi) != wsi;
}

struct serve_request *request_new(struct conn *conn, struct lws *wsi, const char *path, size_t len)
{
	struct serve_request *r = xcalloc(1, sizeof(*r));
	struct serve *s = conn->serve;

	r->serve = s;
	r->conn = conn;
	r->wsi = wsi;
	r->path = xstrndup(path, len);
	r->deadline = clock_now() + s->body_timeout;
	list_add_tail(&s->requests, &r->link);
	s->n_requests++;
	conn->n_requests++;
	conn->n_total++;
	return r;
}

/* Forget the body; it counts no longer. */
static void request_drop_body(struct serve_request *r)
{
	if (r->serve)
		r->serve->body_bytes -= r->body.len;
	buf_fini(&r->body);
}

static void request_free(struct serve_request *r)
{
	request_drop_body(r);
	buf_fini(&r->out);
	free(r->path);
	free(r->authorization);
	free(r);
}

void request_detach(struct serve_request *r)
{
	list_del(&r->link);
	r->serve->n_requests--;
	r->conn->n_requests--;
	if (r->conn->n_requests == 0) {
		r->conn->deadline = clock_now() + r->serve->idle_timeout;
		if (is_http2(r->wsi) && r->conn->n_total >= HTTP2_REQUESTS) {
			r->conn->deadline = 0;
			ev_feed_event(r->serve->loop, &r->serve->sweep, EV_TIMER);
		}
	}
	r->conn = NULL;
	r->wsi = NULL;
	if (r->stage != STAGE_HANDLER) {
		request_free(r);
		return;
	}
	/* The handler keeps the body, which counts no longer: the server may go before it. */
	r->serve->body_bytes -= r->body.len;
	r->serve = NULL;
}

/* The answer is in r->out: have it written as soon as the socket takes it. */
static void request_answer(struct serve_request *r)
{
	request_drop_body(r);
	r->stage = STAGE_REPLY;
	r->deadline = clock_now() + r->serve->reply_timeout;
	/* libwebsockets tells of no writable socket whose input is held back */
	lws_rx_flow_control(r->wsi, 1);
	lws_callback_on_writable(r->wsi);
}

void request_refuse(struct serve_request *r, int status, bool close)
{
	const char *text = "";

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (refusals[i].status == status)
			text = refusals[i].text;
	r->status = status;
	r->close |= close;
	r->content_type = text_plain;
	buf_clear(&r->out);
	buf_add_str(&r->out, text);
	request_answer(r);
}

/* Complete: to the handler. No more input until the answer, which libwebsockets would take for
 * another piece of this request. */
static void request_dispatch(struct serve_request *r)
{
	const struct serve_route *route = r->route;

	lws_set_timeout(r->wsi, NO_PENDING_TIMEOUT, 0);
	lws_rx_flow_control(r->wsi, 0);
	r->stage = STAGE_HANDLER;
	r->deadline = clock_now() + r->serve->reply_timeout;
	route->handle(r, route->user); /* may answer: r can be gone */
}

static bool has_header(struct lws *wsi, enum lws_token_indexes token)
{
	return lws_hdr_total_length(wsi, token) > 0;
}

/* -1: none, -2: not a length */
static int64_t header_length(struct lws *wsi)
{
	char text[LENGTH_CHARS + 1];
	int n;

	if (!has_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
		return -1;
	n = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH);
	if (n <= 0 || strspn(text, "0123456789") != strlen(text))
		return -2;
	return strtoll(text, NULL, 10);
}

static bool header_is_type(struct lws *wsi, const char *want)
{
	char text[256];
	size_t n = strlen(want);

	if (lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_TYPE) <= 0)
		return false;
	return strncasecmp(text, want, n) == 0 && strchr("; \t", text[n]) != NULL;
}

/* Sets r->route; 0 or the status of the refusal. */
static int request_find_route(struct serve_request *r)
{
	const struct serve *s = r->serve;
	int status = 404;

	for (size_t i = 0; i < s->n_routes; i++) {
		const struct serve_route *route = &s->routes[i];

		if (strcmp(route->path, r->path) != 0)
			continue;
		r->route = route; /* for the Allow header too */
		if (has_header(r->wsi,
			       route->method == SERVE_GET ? WSI_TOKEN_GET_URI : WSI_TOKEN_POST_URI))
			return 0;
		status = 405;
	}
	return status;
}

static void request_keep_authorization(struct serve_request *r)
{
	char text[SERVE_AUTH_MAX + 1];

	if (lws_hdr_copy(r->wsi, text, sizeof(text), WSI_TOKEN_HTTP_AUTHORIZATION) > 0)
		r->authorization = xstrdup(text);
	explicit_bzero(text, sizeof(text));
}

/* The verdict on the header alone: 0, or the status of a refusal. */
static int request_check(struct serve_request *r, int64_t length)
{
	int status = request_find_route(r);

	if (status)
		return status;
	if (length > (int64_t)r->serve->max_body)
		return 413;
	if (r->route->content_type && !header_is_type(r->wsi, r->route->content_type))
		return 415;
	return 0;
}

static void request_continue(struct serve_request *r)
{
	unsigned char line[LWS_PRE + 32];
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	char expect[32];

	if (lws_hdr_copy(r->wsi, expect, sizeof(expect), WSI_TOKEN_HTTP_EXPECT) <= 0 ||
	    strcasecmp(expect, "100-continue") != 0)
		return;
	memcpy(line + LWS_PRE, text, sizeof(text) - 1);
	if (lws_write(r->wsi, line + LWS_PRE, sizeof(text) - 1,
		      LWS_WRITE_HTTP_HEADERS_CONTINUATION) < 0)
		r->close = true;
}

bool request_start(struct serve_request *r)
{
	struct lws *wsi = r->wsi;
	int64_t length = header_length(wsi);
	bool sends = has_header(wsi, WSI_TOKEN_POST_URI) || has_header(wsi, WSI_TOKEN_PUT_URI) ||
		     has_header(wsi, WSI_TOKEN_PATCH_URI);

	if (length == -2 || has_header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) ||
	    (length == -1 && sends)) {
		request_refuse(r, length == -2 ? 400 : 411, true);
		return true;
	}
	r->status = request_check(r, length);
	if (length > (int64_t)DRAIN_MAX) {
		request_refuse(r, r->status, true);
		return true;
	}
	request_keep_authorization(r);
	/* libwebsockets tells of the end of an empty body only for POST */
	if (length <= 0 && !(length == 0 && has_header(wsi, WSI_TOKEN_POST_URI))) {
		request_body_end(r);
		return false;
	}
	/* of its own accord libwebsockets lets a client send about 320 KiB and then forgets it */
	if (length > 0 && is_http2(wsi))
		lws_wsi_tx_credit(wsi, LWSTXCR_PEER_TO_US, (int)length);
	else if (length > 0)
		request_continue(r);
	return true;
}

void request_body(struct serve_request *r, const void *data, size_t len)
{
	struct serve *s = r->serve;

	if (r->stage != STAGE_BODY || r->status)
		return;
	if (s->body_bytes + len > SERVE_BODIES_MAX) {
		request_drop_body(r);
		r->status = 503;
		return;
	}
	/* the header's length has been checked, and libwebsockets gives no more than that */
	buf_add(&r->body, data, len);
	s->body_bytes += len;
}

void request_body_end(struct serve_request *r)
{
	if (r->stage != STAGE_BODY)
		return;
	if (r->status)
		request_refuse(r, r->status, false);
	else
		request_dispatch(r);
}

const char *serve_request_path(const struct serve_request *r)
{
	return r->path;
}

const char *serve_request_body(const struct serve_request *r, size_t *len)
{
	if (len)
		*len = r->body.len;
	return buf_str(&r->body);
}

const char *serve_request_authorization(const struct serve_request *r)
{
	return r->authorization ? r->authorization : "";
}

void serve_reply(struct serve_request *r, int status, const char *content_type, struct buf *body)
{
	assert(r->stage == STAGE_HANDLER);
	if (!r->wsi) {
		if (body)
			buf_fini(body);
		request_free(r);
		return;
	}
	r->status = status;
	r->content_type = content_type;
	if (body) {
		r->out = *body;
		*body = (struct buf){0};
	}
	request_answer(r);
}

void serve_reply_text(struct serve_request *r, int status, const char *text)
{
	struct buf body = {0};

	buf_add_str(&body, text);
	serve_reply(r, status, text_plain, &body);
}

static bool add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
		       unsigned char *end)
{
	return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
					   (const unsigned char *)value, (int)strlen(value), p,
					   end) == 0;
}

/* 0 or -1 */
static int write_head(struct serve_request *r)
{
	unsigned char head[LWS_PRE + HEAD_MAX];
	unsigned char *start = head + LWS_PRE, *p = start, *end = head + sizeof(head);

	if (lws_add_http_common_headers(r->wsi, (unsigned)r->status, r->content_type, r->out.len,
					&p, end))
		return -1;
	if (r->status == 405 &&
	    !add_header(r->wsi, "allow:", r->route->method == SERVE_GET ? "GET" : "POST", &p, end))
		return -1;
	if (r->status == 503 && !add_header(r->wsi, "retry-after:", "1", &p, end))
		return -1;
	if (r->status == 401 && !add_header(r->wsi, "www-authenticate:", "Bearer", &p, end))
		return -1;
	if (r->close && !is_http2(r->wsi) && !add_header(r->wsi, "connection:", "close", &p, end))
		return -1;
	return lws_finalize_write_http_header(r->wsi, start, &p, end) ? -1 : 0;
}

/* The next piece of the body: 1 when it was the last, 0 when not, -1 on failure. */
static int write_body(struct serve_request *r)
{
	unsigned char piece[LWS_PRE + WRITE_MAX];
	size_t left = r->out.len - r->sent, n = left < WRITE_MAX ? left : WRITE_MAX;

	memcpy(piece + LWS_PRE, r->out.data + r->sent, n);
	if (lws_write(r->wsi, piece + LWS_PRE, n,
		      n == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
		return -1;
	r->sent += n;
	return n == left;
}

int request_write(struct serve_request *r)
{
	int done;

	if (!r->head_sent) {
		r->close |= r->serve->draining;
		if (write_head(r) < 0)
			return -1;
		r->head_sent = true;
		if (r->out.len == 0)
			return 1;
		/* what did not fit into the socket must go first */
		if (lws_partial_buffered(r->wsi)) {
			lws_callback_on_writable(r->wsi);
			return 0;
		}
	}
	done = write_body(r);
	if (done == 0)
		lws_callback_on_writable(r->wsi);
	return done;
}
