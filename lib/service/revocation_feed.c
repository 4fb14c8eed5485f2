/* Follows auth's feed of revocations: one request that auth answers when there is something new, or after a while with
 * nothing. After a broken connection it goes on behind the last number that came. Numbers that went back (a restored
 * database) begin anew; what is known stays known. */
#include "service/internal.h"
#include "service/revocation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"

#define WAIT_MS 10000 /* auth holds the request so long */
#define ANSWER_MS 12000
#define ANSWER_MAX (1 << 20)
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 400      /* a connection that auth's restart broke is back within half a second */
#define RETRY_MISSING_MS 2000 /* an auth that does not have it */
#define STALE_US (15 * INT64_C(1000000))
#define SWEEP_MS 60000

struct revocation_feed {
	struct service *service;
	struct revocations *set;
	struct http_pool *auth;
	bool owns_pool;
	struct http_fetch *fetch; /* under way, or NULL */
	struct deadline next, sweep;
	struct arena *arena;
	uint64_t retry_ms;
	int64_t number;      /* the newest that is known */
	uint64_t heard_us;   /* monotonic: the last good answer; 0 = none */
	bool was_told_stale; /* in the log */
	bool is_missing;     /* this auth has no feed */
};

static void ask(struct revocation_feed *f);

/* ---- Answers ---- */

static int read_kind(const char *name, enum revocation_kind *ret)
{
	static const char *const names[] = {"session", "token", "user"};

	for (size_t i = 0; name && i < ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i])) {
			*ret = (enum revocation_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* NULL: none are told. */
static const char *const *read_permissions(yyjson_val *list, struct arena *a)
{
	const char **ret = yyjson_is_arr(list) ? arena_alloc(a, (yyjson_arr_size(list) + 1) * sizeof(*ret)) : NULL;
	size_t i, n, found = 0;
	yyjson_val *item;

	yyjson_arr_foreach(list, i, n, item)
	{
		if (yyjson_is_str(item))
			ret[found++] = yyjson_get_str(item);
	}
	if (ret)
		ret[found] = NULL;
	return ret;
}

static int read_item(yyjson_val *v, struct arena *a, struct revocation *ret)
{
	*ret = (struct revocation){
		.number = json_get_int(v, "number", 0),
		.subject = json_get_str(v, "subject", NULL),
		.rights = json_get_int(v, "rights", 0),
		.permissions = read_permissions(yyjson_obj_get(v, "permissions"), a),
		.reason = json_get_str(v, "reason", ""),
		.at_us = json_get_int(v, "at_us", 0),
	};
	return ret->number > 0 && ret->subject ? read_kind(json_get_str(v, "kind", NULL), &ret->kind) : -EINVAL;
}

static void tell(struct revocation_feed *f, const struct revocation *list, size_t n)
{
	struct hook *h;

	sse_cut_revoked(f->service);
	for (size_t i = 0; i < n; i++)
		list_foreach (h, &f->service->on_revoked, struct hook, link)
			h->revoked(h->arg, &list[i]);
}

/* Returns 0 or -EINVAL: then nothing of it counts. */
static int take(struct revocation_feed *f, struct str body)
{
	yyjson_doc *doc = json_parse(f->arena, body.p, body.n, NULL);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL, *items = json_get_arr(root, "items"), *item;
	int64_t newest = json_get_int(root, "newest", -1), window_s = json_get_int(root, "window_s", 0);
	size_t n = 0, i, max;

	if (!items || newest < 0 || window_s <= 0)
		return -EINVAL;

	struct revocation *list = arena_alloc(f->arena, (yyjson_arr_size(items) + 1) * sizeof(*list));
	yyjson_arr_foreach(items, i, max, item)
	{
		if (read_item(item, f->arena, &list[n++]))
			return -EINVAL;
	}
	if (n) {
		f->number = list[n - 1].number;
		revocations_add(f->set, list, n, window_s);
		tell(f, list, n);
	} else {
		f->number = newest < f->number ? 0 : newest;
	}
	return 0;
}

static void later(struct revocation_feed *f, uint64_t ms)
{
	deadline_set(f->service->wheel, &f->next, ms);
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct revocation_feed *f = arg;

	f->fetch = NULL;
	if (err == -ECANCELED)
		return;
	if (!err && status == 200 && take(f, body) == 0) {
		if (f->was_told_stale)
			log_info("revocations are followed again");
		f->was_told_stale = false;
		f->heard_us = clock_mono_us();
		f->retry_ms = RETRY_MIN_MS;
		ask(f);
		return;
	}
	log_debug("revocations: %s %d", err ? strerror(-err) : "answered with", status);
	if (f->heard_us && !f->was_told_stale && clock_mono_us() - f->heard_us > STALE_US) {
		f->was_told_stale = true;
		log_warn("what auth revokes is not heard: it does not answer");
	}
	f->is_missing = !err && status == 404;
	later(f, f->is_missing ? RETRY_MISSING_MS : f->retry_ms);
	f->retry_ms = MIN(f->retry_ms * 2, (uint64_t)RETRY_MAX_MS);
}

static void ask(struct revocation_feed *f)
{
	char target[64];

	arena_reset(f->arena);
	/* The first answer comes at once: the service is not ready before. */
	snprintf(target, sizeof(target), "/revocations?after=%" PRId64 "&wait_ms=%d", f->number,
		 f->heard_us ? WAIT_MS : 0);
	f->fetch =
		http_fetch(f->auth, "GET", target, service_peer_headers(f->service, "auth", "", NULL, NULL, f->arena),
			   NULL, (struct str){0}, ANSWER_MAX, ANSWER_MS, on_answer, f);
}

static void on_next(struct deadline *d)
{
	struct revocation_feed *f = container_of(d, struct revocation_feed, next);

	if (!f->fetch)
		ask(f);
}

static void on_sweep(struct deadline *d)
{
	struct revocation_feed *f = container_of(d, struct revocation_feed, sweep);

	revocations_sweep(f->set, clock_now_us());
	deadline_set(f->service->wheel, d, SWEEP_MS);
}

/* ---- What others see ---- */

static double age_s(const struct revocation_feed *f)
{
	return f->heard_us ? (double)(clock_mono_us() - f->heard_us) / 1e6 : -1;
}

static double metric_age(void *arg)
{
	return age_s(arg);
}

static double metric_count(void *arg)
{
	return (double)revocations_count(((struct revocation_feed *)arg)->set);
}

/* A service that starts knows first what is revoked. */
static const char *not_heard(void *arg)
{
	const struct revocation_feed *f = arg;

	return f->heard_us || f->is_missing ? NULL : "what the auth service has revoked was not read yet";
}

static void add_health(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	struct revocation_feed *f = arg;
	yyjson_mut_val *own = yyjson_mut_obj_add_obj(doc, obj, "revocations");

	yyjson_mut_obj_add_int(doc, own, "newest", f->number);
	if (f->heard_us)
		yyjson_mut_obj_add_int(doc, own, "age_ms", (int64_t)((clock_mono_us() - f->heard_us) / 1000));
	else
		yyjson_mut_obj_add_null(doc, own, "age_ms");
}

/* ---- Start and end ---- */

struct revocation_feed *revocation_feed_new(struct service *s, struct revocations *set)
{
	struct revocation_feed *f = xcalloc(1, sizeof(*f));
	bool is_auth = !strcmp(s->role, "auth");

	f->service = s;
	f->set = set;
	f->arena = arena_new();
	f->retry_ms = RETRY_MIN_MS;
	if (is_auth) { /* where it listens itself */
		char *address = service_address(s, s->role, "listen");

		f->auth = http_pool_new(&s->loop, s->wheel, address, NULL);
		f->owns_pool = true;
		free(address);
	} else {
		f->auth = service_peer(s, "auth");
	}
	deadline_init(&f->next, on_next);
	deadline_init(&f->sweep, on_sweep);
	deadline_set(s->wheel, &f->sweep, SWEEP_MS);
	metric_gauge_fn("ogent_revocations_age_seconds",
			"Since the last word of auth about what it revoked; 10 s are usual, -1: none yet", "",
			metric_age, f);
	metric_gauge_fn("ogent_revocations", "Sessions, users and tokens that are refused though not expired", "",
			metric_count, f);
	service_health_info(s, add_health, f);
	service_ready_check(s, "revocations", not_heard, f);
	return f;
}

struct http_pool *revocation_feed_pool(struct revocation_feed *f)
{
	return f->auth;
}

void revocation_feed_start(struct revocation_feed *f)
{
	if (f)
		ask(f);
}

void revocation_feed_stop(struct revocation_feed *f)
{
	if (!f)
		return;
	deadline_clear(&f->next);
	deadline_clear(&f->sweep);
	if (f->fetch)
		http_fetch_cancel(f->fetch);
	if (f->owns_pool)
		http_pool_free(f->auth);
}

void revocation_feed_free(struct revocation_feed *f)
{
	if (!f)
		return;
	arena_free(f->arena);
	free(f);
}

void revocation_on_change(struct service *s, void (*fn)(void *arg, const struct revocation *what), void *arg)
{
	struct hook *h = xcalloc(1, sizeof(*h));

	h->revoked = fn;
	h->arg = arg;
	list_append(&s->on_revoked, &h->link);
}

struct revocations *service_revocations(struct service *s)
{
	return s->revocations;
}
