/*
 * What FRR 8.4 and BIRD 2.0 send in the life of a session (tests/vectors/bfd, made by
 * tests/bfd/record.py): each packet means what tshark says, is written again octet for octet, and
 * all of them in turn take a session of ours up and down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metallb/xalloc.h"
#include "speaker/bfd/session.h"

static void fill_zero(void *user, void *buf, size_t n)
{
	(void)user;
	memset(buf, 0, n);
}
static const struct random_source zero = {fill_zero, NULL};

static void describe(const struct bfd_packet *p, char out[128])
{
	snprintf(out, 128, "%s %s%s%s%s %u %u %u %u %u", bfd_state_format(p->state),
		 p->poll ? "P" : "", p->final ? "F" : "", p->independent ? "C" : "",
		 p->poll || p->final || p->independent ? "" : "-", p->diag, p->mult, p->min_tx,
		 p->min_rx, p->min_echo_rx);
}

/* Any discriminator of ours will do, if it is the one that the peer was told. */
static void replay(struct bfd_session *s, const struct bfd_packet *p, usec_t now)
{
	struct bfd_packet out;

	if (p->your_discr)
		s->local_discr = p->your_discr;
	assert_null(bfd_session_recv(s, p, now, &zero));
	while (bfd_session_output(s, now, &out))
		assert_int_equal(out.your_discr, p->my_discr);
}

static void check_file(const char *name, size_t n_wanted, enum bfd_reason end)
{
	const struct bfd_params params = {100000, 100000, 3, false};
	_cleanup_free_ char *path = xasprintf("%s/tests/vectors/bfd/%s", SOURCE_DIR, name);
	char meaning[128], got[128], hex[2 * BFD_PACKET_LEN + 2];
	FILE *file = fopen(path, "r");
	struct bfd_session s;
	size_t n = 0, ups = 0;

	assert_non_null(file);
	bfd_session_init(&s, &params, 1, 0);
	while (fgets(meaning, sizeof(meaning), file) && fgets(hex, sizeof(hex), file)) {
		uint8_t data[BFD_PACKET_LEN], again[BFD_PACKET_LEN];
		struct bfd_packet p;
		bool was_up = s.state == BFD_UP;

		for (size_t i = 0; i < sizeof(data); i++) {
			unsigned v;

			assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
			data[i] = (uint8_t)v;
		}
		assert_null(bfd_packet_decode(data, sizeof(data), &p));
		describe(&p, got);
		meaning[strcspn(meaning, "\n")] = '\0';
		assert_string_equal(got, meaning + 2);
		if (!p.independent) { /* we never write that bit */
			bfd_packet_encode(&p, again);
			assert_memory_equal(again, data, sizeof(data));
		}
		replay(&s, &p, (usec_t)n * 50000);
		ups += !was_up && s.state == BFD_UP;
		n++;
	}
	fclose(file);
	assert_int_equal(n, n_wanted);
	assert_int_equal(ups, 1);
	assert_int_equal(s.reason, end);
}

static void test_frr(void **ctx)
{
	(void)ctx;
	check_file("frr.hex", 7, BFD_REASON_NEIGHBOR_ADMIN_DOWN);
}

static void test_bird(void **ctx)
{
	(void)ctx;
	check_file("bird.hex", 6, BFD_REASON_NEIGHBOR_DOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frr),
		cmocka_unit_test(test_bird),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
