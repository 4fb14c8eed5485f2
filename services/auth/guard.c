#include "guard.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/encode.h"

#define DEVICE_PREFIX "ogd_"
#define DEVICE_ID_BYTES 16
#define DEVICE_MAC_BYTES 16
#define DEVICE_LIFE_S (365 * 24 * 3600)

/* ---- The device's cookie: id (16) | HMAC of it and the account's address, cut to 128 bits ---- */

static void device_mac(const struct auth *auth, const uint8_t *id, const char *email_key,
		       uint8_t ret[static DEVICE_MAC_BYTES])
{
	static const char context[] = "ogent device";
	uint8_t full[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, auth->refresh_key.bytes, sizeof(auth->refresh_key.bytes));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)context, sizeof(context));
	crypto_auth_hmacsha256_update(&st, id, DEVICE_ID_BYTES);
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)email_key, strlen(email_key));
	crypto_auth_hmacsha256_final(&st, full);
	memcpy(ret, full, DEVICE_MAC_BYTES);
}

static const char *device_cookie_name(const struct client *client)
{
	return client->is_https ? "__Host-ogent_device" : "ogent_device";
}

/* Whether the request has the cookie for this account; its id in hex. */
static bool device_read(struct exchange *x, const struct client *client, const char *email_key,
			char ret_id[static 2 * DEVICE_ID_BYTES + 1])
{
	struct str value = str_of(client_named_cookie(x, device_cookie_name(client)));
	uint8_t raw[DEVICE_ID_BYTES + DEVICE_MAC_BYTES], expected[DEVICE_MAC_BYTES];
	struct str prefix = STR(DEVICE_PREFIX);

	if (!value.p || !str_has_prefix(value, prefix))
		return false;
	value = (struct str){value.p + prefix.n, value.n - prefix.n};
	if (base64url_decode(value, raw, sizeof(raw)) != sizeof(raw))
		return false;
	device_mac(x->self, raw, email_key, expected);
	if (sodium_memcmp(expected, raw + DEVICE_ID_BYTES, DEVICE_MAC_BYTES) != 0)
		return false;
	hex_encode(raw, DEVICE_ID_BYTES, ret_id);
	return true;
}

void guard_set_device(struct exchange *x, const struct client *client, const char *email_key)
{
	uint8_t raw[DEVICE_ID_BYTES + DEVICE_MAC_BYTES];
	char id[2 * DEVICE_ID_BYTES + 1];
	struct buf text = BUF_INIT;

	if (!client->is_web || device_read(x, client, email_key, id))
		return;
	randombytes_buf(raw, DEVICE_ID_BYTES);
	device_mac(x->self, raw, email_key, raw + DEVICE_ID_BYTES);
	buf_add_str(&text, DEVICE_PREFIX);
	base64url_encode(&text, raw, sizeof(raw));
	reply_header_add(x, "Set-Cookie",
			 arena_printf(x->arena, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s",
				      device_cookie_name(client), text.p, DEVICE_LIFE_S,
				      client->is_https ? "; Secure" : ""));
	buf_deinit(&text);
}

/* ---- Counting ---- */

/* The throttle that counts for this device and account. */
static struct throttle *own_throttle(const struct auth *auth, const struct guard *g, struct str *ret_name)
{
	*ret_name = str_of(g->is_known ? g->own_name : g->email_key);
	return g->is_known ? auth->by_pair : auth->by_account;
}

static void find_out(struct exchange *x, struct guard *g)
{
	const struct auth *auth = x->self;
	char id[2 * DEVICE_ID_BYTES + 1];

	g->has_cookie = device_read(x, &g->client, g->email_key, id);
	if (g->has_cookie)
		snprintf(g->own_name, sizeof(g->own_name), "device %s", id);
	else
		snprintf(g->own_name, sizeof(g->own_name), "%s %s", g->client.address, g->email_key);
	g->is_known = g->has_cookie || throttle_has_passed(auth->by_pair, str_of(g->own_name), clock_mono_ms());
}

/* Returns 0 or the milliseconds to wait. */
static uint64_t begin(const struct auth *auth, struct guard *g)
{
	uint64_t wait = 0;
	struct throttle *own;
	struct str name;

	if (!g->has_cookie)
		wait = throttle_begin(auth->by_address, str_of(g->client.address), clock_mono_ms());
	if (wait > 0)
		return wait;
	own = own_throttle(auth, g, &name);
	wait = throttle_begin(own, name, clock_mono_ms());
	if (wait > 0 && !g->has_cookie)
		throttle_end(auth->by_address, str_of(g->client.address), THROTTLE_UNKNOWN, clock_mono_ms());
	return wait;
}

bool guard_begin(struct exchange *x, struct guard *g)
{
	const struct auth *auth = x->self;
	uint64_t wait;

	find_out(x, g);
	wait = begin(auth, g);
	if (wait == 0)
		return true;
	metric_add(auth->metrics.logins_throttled, 1);
	reply_throttled(x, wait, "Too many failed attempts; wait and try again.");
	return false;
}

void reply_throttled(struct exchange *x, uint64_t wait_ms, const char *detail)
{
	reply_header(x, "Retry-After", arena_printf(x->arena, "%u", (unsigned)((wait_ms + 999) / 1000)));
	reply_problem(x, 429, "too_many_attempts", "%s", detail);
}

void guard_end(const struct auth *auth, struct guard *g, enum throttle_outcome outcome)
{
	struct str name;
	struct throttle *own = own_throttle(auth, g, &name);

	throttle_end(own, name, outcome, clock_mono_ms());
	if (!g->has_cookie)
		throttle_end(auth->by_address, str_of(g->client.address), outcome, clock_mono_ms());
	if (outcome == THROTTLE_PASSED && !g->is_known)
		throttle_end(auth->by_pair, str_of(g->own_name), outcome, clock_mono_ms());
}

struct failure {
	struct db_job job;
	char user_id[ID_SIZE];
};

static int failure_run(struct db_conn *c, struct db_job *job)
{
	struct failure *f = container_of(job, struct failure, job);
	int64_t r = db_exec(c, "update users set failed_logins = failed_logins + 1 where id = ?", DB_TEXT(f->user_id));

	return (int)MIN(r, 0);
}

static void failure_done(struct db_job *job, int result)
{
	free(container_of(job, struct failure, job));
}

void guard_count_failure(struct auth *auth, const char *user_id)
{
	struct failure *f = xcalloc(1, sizeof(*f));

	snprintf(f->user_id, sizeof(f->user_id), "%s", user_id);
	f->job = (struct db_job){.run = failure_run, .done = failure_done};
	db_write(auth->db, &f->job);
}
