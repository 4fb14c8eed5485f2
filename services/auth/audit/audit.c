/* What other files call: events of an exchange, the queue of what has no transaction. */
#include "audit/audit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "audit/chain.h"
#include "auth.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "client.h"
#include "events/events.h"
#include "service/secret_file.h"

#define KEY_FILE "auth-audit.key"
#define FLUSH_MS 100
#define RETRY_MS 1000
#define QUEUE_MAX 4096
#define BATCH_MAX 256

/* A copy of an event; its strings stand behind it. */
struct noted {
	struct list link; /* in audit.waiting, or in the batch that is being written */
	int64_t at;
	struct audit_event event;
};

struct audit {
	struct auth *auth;
	struct audit_key key;
	struct list waiting, batch; /* struct noted, link */
	unsigned n_waiting;
	bool is_writing, is_closing;
	struct deadline flush;
	struct db_job job, last; /* `last` has all that waits when the service ends */
	struct metric *lost;
};

/* ---- Events ---- */

void audit_event_of(struct exchange *x, const char *event, struct audit_event *ret)
{
	const struct identity *who = &x->who;
	bool is_known = who->user_id != NULL, is_service = is_known && *who->service;
	struct client client = {0};

	if (x->req)
		client_read(x, &client);
	*ret = (struct audit_event){
		.event = event,
		.actor_kind = is_service ? "service"
			      : is_known ? "user"
					 : "anonymous",
		.actor_id = is_service ? who->service
			    : is_known ? who->user_id
				       : "",
		.actor_name = is_known && who->name ? who->name : "",
		.address = arena_strdup(x->arena, client.address),
		.session_id = is_known ? who->session_id : "",
		.request_id = x->request_id,
	};
}

const char *audit_detail(struct arena *a, ...)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	const char *name, *value;
	va_list ap;

	va_start(ap, a);
	while ((name = va_arg(ap, const char *))) {
		value = va_arg(ap, const char *);
		yyjson_mut_obj_add(obj, yyjson_mut_strcpy(doc, name),
				   value ? yyjson_mut_strcpy(doc, value) : yyjson_mut_null(doc));
	}
	va_end(ap);
	return json_text(a, doc).p;
}

const struct audit_key *audit_key_of(const struct auth *auth)
{
	return &auth->audit->key;
}

static void log_note(const struct audit_event *e)
{
	log_event(LOG_INFO, "audit", "event", e->event, "outcome", audit_outcomes[e->outcome], "actor",
		  e->actor_id ? e->actor_id : "", "target", e->target ? e->target : "", "address",
		  e->address ? e->address : "", "request_id", e->request_id ? e->request_id : "", NULL);
}

int audit_add(struct db_conn *c, const struct auth *auth, const struct audit_event *e)
{
	int64_t at = clock_now_us();
	int r = events_add(c, auth, e, at);

	if (r == 0)
		r = audit_append(c, &auth->audit->key, e, at);

	if (r == 0)
		log_note(e);
	return r;
}

/* ---- The queue ---- */

static const char *put(char **at, const char *text)
{
	size_t n = text ? strlen(text) + 1 : 0;
	char *to = *at;

	if (!n)
		return NULL;
	memcpy(to, text, n);
	*at += n;
	return to;
}

static size_t length(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static struct noted *copy(const struct audit_event *e)
{
	struct noted *n = xmalloc(sizeof(*n) + length(e->event) + length(e->actor_kind) + length(e->actor_id) +
				  length(e->actor_name) + length(e->target) + length(e->address) +
				  length(e->session_id) + length(e->request_id) + length(e->detail));
	char *at = (char *)(n + 1);

	n->at = clock_now_us();
	n->event = (struct audit_event){
		.event = put(&at, e->event),
		.outcome = e->outcome,
		.actor_kind = put(&at, e->actor_kind),
		.actor_id = put(&at, e->actor_id),
		.actor_name = put(&at, e->actor_name),
		.target = put(&at, e->target),
		.address = put(&at, e->address),
		.session_id = put(&at, e->session_id),
		.request_id = put(&at, e->request_id),
		.detail = put(&at, e->detail),
	};
	return n;
}

static int write_list(struct db_conn *c, const struct audit *a, const struct list *list)
{
	struct noted *n;
	int r = 0;

	list_foreach (n, list, struct noted, link) {
		r = events_add(c, a->auth, &n->event, n->at);
		if (r == 0)
			r = audit_append(c, &a->key, &n->event, n->at);
		if (r < 0)
			break;
	}
	return r;
}

static int write_run(struct db_conn *c, struct db_job *job)
{
	struct audit *a = container_of(job, struct audit, job);

	return write_list(c, a, &a->batch);
}

static void free_list(struct list *list)
{
	while (!list_is_empty(list)) {
		struct noted *n = list_first(list, struct noted, link);

		list_remove(&n->link);
		free(n);
	}
}

static void again(struct audit *a, uint64_t ms)
{
	if (!a->is_closing && (a->n_waiting || !list_is_empty(&a->batch)))
		deadline_set(service_wheel(a->auth->service), &a->flush, ms);
}

static void write_done(struct db_job *job, int result)
{
	struct audit *a = container_of(job, struct audit, job);

	a->is_writing = false;
	if (result == 0)
		free_list(&a->batch);
	else
		log_warn("the audit log could not be written: %s", strerror(-result));
	again(a, result ? RETRY_MS : FLUSH_MS);
}

/* The batch that failed comes again as it is, so that the order stays. */
static void write_batch(struct audit *a)
{
	if (list_is_empty(&a->batch)) {
		for (unsigned i = 0; i < BATCH_MAX && a->n_waiting; i++, a->n_waiting--) {
			struct noted *n = list_first(&a->waiting, struct noted, link);

			list_remove(&n->link);
			list_append(&a->batch, &n->link);
		}
	}
	a->is_writing = true;
	a->job = (struct db_job){.run = write_run, .done = write_done};
	db_write(a->auth->db, &a->job);
}

static void on_flush(struct deadline *d)
{
	struct audit *a = container_of(d, struct audit, flush);

	if (!a->is_writing)
		write_batch(a);
}

void audit_note(struct auth *auth, const struct audit_event *e)
{
	struct audit *a = auth->audit;

	log_note(e);
	if (a->n_waiting >= QUEUE_MAX) {
		metric_add(a->lost, 1);
		return;
	}
	list_append(&a->waiting, &copy(e)->link);
	if (a->n_waiting++ == 0 && !a->is_writing)
		deadline_set(service_wheel(auth->service), &a->flush, FLUSH_MS);
}

void audit_act(struct exchange *x, const char *event, enum audit_outcome outcome, const char *actor_id,
	       const char *target_kind, const char *target_id)
{
	struct audit_event e;

	audit_event_of(x, event, &e);
	e.outcome = outcome;
	if (actor_id) {
		e.actor_kind = "user";
		e.actor_id = actor_id;
	}
	if (target_id)
		e.target = arena_printf(x->arena, "%s:%s", target_kind, target_id);
	audit_note(x->self, &e);
}

/* ---- Start and end ---- */

int audit_open(struct auth *auth, struct error *err)
{
	struct audit *a = xcalloc(1, sizeof(*a));

	auth->audit = a;
	a->auth = auth;
	list_init(&a->waiting);
	list_init(&a->batch);
	deadline_init(&a->flush, on_flush);
	a->lost = metric_counter("ogent_auth_audit_lost_total",
				 "Events that were not written to the audit log: too many waited", "");
	return secret_file_key(auth->secrets_dir, KEY_FILE, a->key.bytes, sizeof(a->key.bytes), err);
}

/* A batch that failed stands before what came later. */
static void take_failed(struct audit *a)
{
	list_splice(&a->batch, &a->waiting);
	list_splice(&a->waiting, &a->batch);
}

static int last_run(struct db_conn *c, struct db_job *job)
{
	struct audit *a = container_of(job, struct audit, last);

	return write_list(c, a, &a->waiting);
}

static void last_done(struct db_job *job, int result)
{
	if (result < 0)
		log_warn("the end of the audit log could not be written: %s", strerror(-result));
}

void audit_close(struct auth *auth)
{
	struct audit *a = auth->audit;

	if (!a)
		return;
	a->is_closing = true;
	deadline_clear(&a->flush);
	if (!a->is_writing)
		take_failed(a);
	if (list_is_empty(&a->waiting))
		return;
	a->last = (struct db_job){.run = last_run, .done = last_done};
	db_write(auth->db, &a->last);
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	free_list(&a->waiting);
	free_list(&a->batch);
	sodium_memzero(&a->key, sizeof(a->key));
	free(a);
}
