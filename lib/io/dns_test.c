/* The SRV parser on messages made here, and the resolver against a server in the same loop that answers by a table. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "io/dns.h"
#include "io/dns_srv.h"

enum { A = 1, CNAME = 5, AAAA = 28, SRV = 33 };

/* ---- Messages ---- */

static void put(struct buf *b, uint64_t v, unsigned bytes)
{
	while (bytes--)
		buf_add_char(b, (char)(v >> 8 * bytes));
}

static void put_name(struct buf *b, const char *name)
{
	struct str rest = str_of(name);

	while (rest.p && rest.n) {
		struct str label = str_cut(&rest, '.');

		buf_add_char(b, (char)label.n);
		buf_add(b, label.p, label.n);
	}
	buf_add_char(b, 0);
}

static void begin(struct buf *b, uint16_t id, uint16_t flags, const char *question, uint16_t type, unsigned answers)
{
	put(b, id, 2);
	put(b, flags, 2);
	put(b, 1, 2);
	put(b, answers, 2);
	put(b, 0, 4);
	put_name(b, question);
	put(b, type, 2);
	put(b, 1, 2);
}

/* Up to its data, of which the length goes in later by put_length. */
static size_t put_record(struct buf *b, const char *owner, uint16_t type, uint32_t ttl)
{
	put_name(b, owner);
	put(b, type, 2);
	put(b, 1, 2);
	put(b, ttl, 4);
	put(b, 0, 2);
	return b->n;
}

static void put_length(struct buf *b, size_t data)
{
	b->p[data - 2] = (char)((b->n - data) >> 8);
	b->p[data - 1] = (char)(b->n - data);
}

static void put_srv(struct buf *b, const char *owner, uint32_t ttl, uint16_t priority, uint16_t weight, uint16_t port,
		    const char *target)
{
	size_t data = put_record(b, owner, SRV, ttl);

	put(b, priority, 2);
	put(b, weight, 2);
	put(b, port, 2);
	put_name(b, target);
	put_length(b, data);
}

static void put_alias(struct buf *b, const char *owner, uint32_t ttl, const char *target)
{
	size_t data = put_record(b, owner, CNAME, ttl);

	put_name(b, target);
	put_length(b, data);
}

static int parse(const struct buf *b, struct dns_srv *ret, size_t max)
{
	return dns_srv_parse((const uint8_t *)b->p, b->n, ret, max);
}

static void srv_records_come_with_their_ttl(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct dns_srv found[4];

	begin(&b, 1, 0x8180, "_agent._tcp.ogent.test", SRV, 2);
	put_srv(&b, "_AGENT._tcp.ogent.test", 7, 10, 60, 9001, "agent1.ogent.test");
	put_srv(&b, "_agent._tcp.ogent.test", 5, 20, 40, 9002, "agent2.ogent.test");
	assert_int_equal(parse(&b, found, 4), 2);
	assert_string_equal(found[0].target, "agent1.ogent.test");
	assert_int_equal(found[0].ttl, 7);
	assert_int_equal(found[0].priority, 10);
	assert_int_equal(found[0].weight, 60);
	assert_int_equal(found[0].port, 9001);
	assert_int_equal(found[1].ttl, 5);
	assert_int_equal(parse(&b, found, 1), 1);
}

static void an_alias_is_followed_and_its_ttl_counts(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct dns_srv found[4];

	begin(&b, 1, 0x8180, "a.test", SRV, 4);
	put_srv(&b, "c.test", 60, 0, 0, 1, "host.test");
	put_srv(&b, "other.test", 60, 0, 0, 2, "stranger.test");
	put_alias(&b, "a.test", 3, "b.test");
	put_alias(&b, "b.test", 30, "c.test");
	assert_int_equal(parse(&b, found, 4), 1);
	assert_int_equal(found[0].port, 1);
	assert_int_equal(found[0].ttl, 3);
}

static void names_that_point_back_are_read(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct dns_srv found[1];

	begin(&b, 1, 0x8180, "a.test", SRV, 1);
	put(&b, 0xc00c, 2); /* the question's name */
	put(&b, SRV, 2);
	put(&b, 1, 2);
	put(&b, 9, 4);
	put(&b, 6 + 5 + 2, 2);
	put(&b, 0, 2);
	put(&b, 0, 2);
	put(&b, 80, 2);
	buf_add(&b, "\4host", 5);
	put(&b, 0xc00e, 2); /* "test" in it */
	assert_int_equal(parse(&b, found, 1), 1);
	assert_string_equal(found[0].target, "host.test");
}

static void names_that_go_round_in_circles_are_refused(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct dns_srv found[1];

	put(&b, 0, 4);
	put(&b, 1, 2);
	put(&b, 0, 6);
	put(&b, 0xc00c, 2); /* itself */
	put(&b, SRV, 2);
	put(&b, 1, 2);
	assert_int_equal(parse(&b, found, 1), -EBADMSG);
}

static void a_message_cut_anywhere_is_refused(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct dns_srv found[4];

	begin(&b, 1, 0x8180, "a.test", SRV, 2);
	put_alias(&b, "a.test", 3, "b.test");
	put_srv(&b, "b.test", 7, 1, 2, 3, "host.test");
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(dns_srv_parse((const uint8_t *)b.p, n, found, 4), -EBADMSG);
}

static void odd_bytes_in_a_name_are_refused(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	struct dns_srv found[4];

	begin(&b, 1, 0x8180, "a.test", SRV, 1);
	put_srv(&b, "a.test", 7, 1, 2, 3, "ho st.test");
	assert_int_equal(parse(&b, found, 4), -EBADMSG);
}

/* ---- The resolver ---- */

static const struct record {
	const char *name;
	uint16_t type;
	uint32_t ttl;
	const char *value;
	uint16_t priority, weight, port;
} records[] = {
	{"host.test", A, 20, "127.0.0.11"},
	{"host.test", A, 20, "127.0.0.12"},
	{"host.test", AAAA, 12, "::1"},
	{"_s._tcp.test", SRV, 9, "host.test", 1, 5, 9001},
	{"_s._tcp.test", SRV, 9, "only4.test", 2, 0, 9002},
	{"_s._tcp.test", SRV, 9, "missing.test", 2, 0, 9003},
	{"only4.test", A, 4, "127.0.0.14"},
};

struct server {
	uv_loop_t loop;
	struct wheel *wheel;
	struct dns *dns;
	uv_udp_t udp;
	char address[32];
	bool is_mute;
	unsigned asked;
	int err;
	struct dns_endpoint found[8];
	size_t n;
	uint32_t ttl;
};

static void put_answer(struct buf *b, const struct record *r)
{
	uint8_t ip[16];

	if (r->type == SRV) {
		put_srv(b, r->name, r->ttl, r->priority, r->weight, r->port, r->value);
		return;
	}
	size_t data = put_record(b, r->name, r->type, r->ttl);
	inet_pton(r->type == A ? AF_INET : AF_INET6, r->value, ip);
	buf_add(b, ip, r->type == A ? 4 : 16);
	put_length(b, data);
}

static bool is_asked(const struct record *r, const char *name, uint16_t type)
{
	return r->type == type && !strcmp(r->name, name);
}

static void read_question(const uint8_t *p, char name[static 256], uint16_t *ret_type)
{
	size_t at = 12, n = 0;

	for (; p[at]; at += (size_t)p[at] + 1) {
		if (n)
			name[n++] = '.';
		memcpy(name + n, p + at + 1, p[at]);
		n += p[at];
	}
	name[n] = '\0';
	*ret_type = (uint16_t)(p[at + 1] << 8 | p[at + 2]);
}

static void alloc(uv_handle_t *h, size_t n, uv_buf_t *ret)
{
	static char memory[2048];

	*ret = uv_buf_init(memory, sizeof(memory));
}

static void on_question(uv_udp_t *udp, ssize_t n, const uv_buf_t *in, const struct sockaddr *from, unsigned flags)
{
	struct server *s = container_of(udp, struct server, udp);
	const uint8_t *p = (const uint8_t *)in->base;
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	unsigned answers = 0, names = 0;
	char name[256];
	uint16_t type;

	if (n < 12 || !from)
		return;
	s->asked++;
	if (s->is_mute)
		return;
	read_question(p, name, &type);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		answers += is_asked(&records[i], name, type);
		names += !strcmp(records[i].name, name);
	}
	begin(&b, (uint16_t)(p[0] << 8 | p[1]), names ? 0x8180 : 0x8183, name, type, answers);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		if (is_asked(&records[i], name, type))
			put_answer(&b, &records[i]);
	uv_buf_t out = uv_buf_init(b.p, (unsigned)b.n);
	uv_udp_try_send(udp, &out, 1, from);
}

static int setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_in at;
	struct error err;
	int size = sizeof(at);

	uv_loop_init(&s->loop);
	s->wheel = wheel_new(&s->loop);
	uv_ip4_addr("127.0.0.1", 0, &at);
	uv_udp_init(&s->loop, &s->udp);
	uv_udp_bind(&s->udp, (struct sockaddr *)&at, 0);
	uv_udp_getsockname(&s->udp, (struct sockaddr *)&at, &size);
	uv_udp_recv_start(&s->udp, alloc, on_question);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(at.sin_port));
	assert_int_equal(dns_new(&s->loop, s->wheel, s->address, &s->dns, &err), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct server *s = *state;

	dns_free(s->dns);
	uv_close((uv_handle_t *)&s->udp, NULL);
	wheel_free(s->wheel);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
	free(s);
	return 0;
}

static void on_answer(void *arg, int err, const struct dns_answer *a)
{
	struct server *s = arg;

	s->err = err;
	s->n = MIN(a->n, ARRAY_SIZE(s->found));
	memcpy(s->found, a->items, s->n * sizeof(s->found[0]));
	s->ttl = a->ttl;
	uv_stop(&s->loop);
}

static void ask(struct server *s, enum dns_kind kind, const char *name)
{
	s->err = 1;
	dns_lookup(s->dns, kind, name, 8080, on_answer, s);
	assert_int_equal(s->err, 1); /* never from inside the call */
	uv_run(&s->loop, UV_RUN_DEFAULT);
}

static void a_host_has_all_its_addresses_and_the_shortest_ttl(void **state)
{
	struct server *s = *state;
	unsigned v6 = 0;

	ask(s, DNS_HOST, "host.test");
	assert_int_equal(s->err, 0);
	assert_int_equal(s->n, 3);
	assert_int_equal(s->ttl, 12);
	for (size_t i = 0; i < s->n; i++) {
		v6 += s->found[i].ip.ss_family == AF_INET6;
		assert_int_equal(ntohs(((struct sockaddr_in *)&s->found[i].ip)->sin_port), 8080);
	}
	assert_int_equal(v6, 1);
}

static void a_service_has_its_targets_addresses_with_port_weight_and_priority(void **state)
{
	struct server *s = *state;
	unsigned first = 0;

	ask(s, DNS_SRV, "_s._tcp.test");
	assert_int_equal(s->err, 0); /* one target is missing: the others count */
	assert_int_equal(s->n, 4);
	assert_int_equal(s->ttl, 4);
	for (size_t i = 0; i < s->n; i++) {
		const struct dns_endpoint *e = &s->found[i];
		unsigned port = ntohs(((const struct sockaddr_in *)&e->ip)->sin_port);

		assert_int_equal(e->priority, port == 9001 ? 1 : 2);
		assert_int_equal(e->weight, port == 9001 ? 5 : 1);
		first += port == 9001;
	}
	assert_int_equal(first, 3);
}

static void what_is_not_there_is_told_apart_from_no_answer(void **state)
{
	struct server *s = *state;

	ask(s, DNS_HOST, "nothing.test");
	assert_int_equal(s->err, -ENOENT);
	ask(s, DNS_SRV, "host.test");
	assert_int_equal(s->err, -ENOENT);
	s->is_mute = true;
	ask(s, DNS_HOST, "host.test");
	assert_int_equal(s->err, -ETIMEDOUT);
}

static void a_cancelled_question_is_never_answered(void **state)
{
	struct server *s = *state;

	s->err = 1;
	dns_cancel(dns_lookup(s->dns, DNS_HOST, "host.test", 80, on_answer, s));
	while (s->asked < 2)
		uv_run(&s->loop, UV_RUN_ONCE);
	ask(s, DNS_HOST, "only4.test"); /* comes behind it */
	assert_int_equal(s->n, 1);
}

static void a_resolver_can_go_with_questions_under_way(void **state)
{
	struct server *s = *state;

	s->is_mute = true;
	dns_lookup(s->dns, DNS_HOST, "host.test", 80, on_answer, s);
	dns_lookup(s->dns, DNS_SRV, "_s._tcp.test", 80, on_answer, s);
	while (s->asked < 3)
		uv_run(&s->loop, UV_RUN_ONCE);
}

static void wrong_servers_are_an_error_that_says_so(void **state)
{
	struct server *s = *state;
	struct dns *d;
	struct error err;

	assert_int_equal(dns_new(&s->loop, s->wheel, "no server", &d, &err), -EINVAL);
	assert_non_null(strstr(err.message, "no DNS servers"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(srv_records_come_with_their_ttl),
		cmocka_unit_test(an_alias_is_followed_and_its_ttl_counts),
		cmocka_unit_test(names_that_point_back_are_read),
		cmocka_unit_test(names_that_go_round_in_circles_are_refused),
		cmocka_unit_test(a_message_cut_anywhere_is_refused),
		cmocka_unit_test(odd_bytes_in_a_name_are_refused),
		T(a_host_has_all_its_addresses_and_the_shortest_ttl),
		T(a_service_has_its_targets_addresses_with_port_weight_and_priority),
		T(what_is_not_there_is_told_apart_from_no_answer),
		T(a_cancelled_question_is_never_answered),
		T(a_resolver_can_go_with_questions_under_way),
		T(wrong_servers_are_an_error_that_says_so),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
