/* GET /api/retention: what is kept for how long, and what of it would go by now. */
#include <errno.h>
#include <stdlib.h>

#include "agent/handlers.h"
#include "agent/retention_rules.h"

/* Of one kind, so that the answer comes soon. */
#define PAGES_MAX 10000

struct preview {
	struct answer answer;
	struct retention_rules rules;
	bool is_tried[RETAIN_KINDS]; /* by the request, not by the options */
};

struct preview_count {
	int64_t n, oldest;
	bool is_least;
};

static int count(struct db_conn *c, const struct retention_rules *rules, struct retention_look *look,
		 struct preview_count *ret)
{
	int64_t now = clock_now_us();
	int r = 0;

	*ret = (struct preview_count){0};
	look->after[0] = '\0';
	look->has_more = true;
	for (int page = 0; r == 0 && look->has_more && page < PAGES_MAX; page++) {
		r = retention_find(c, rules, now, look);
		for (size_t i = 0; i < look->n; i++)
			ret->oldest = ret->oldest ? MIN(ret->oldest, look->found[i].at) : look->found[i].at;
		ret->n += (int64_t)look->n;
	}
	ret->is_least = look->has_more;
	return r;
}

static int64_t count_agents(const struct retention_rules *rules, enum retention_kind kind)
{
	int64_t n = 0;

	for (const struct retention_of_agent *a = rules->agents; a && kind < RETAIN_OF_AGENTS; a = a->next)
		n += a->days[kind] > 0;
	return n;
}

static int preview_run(struct db_conn *c, struct exchange_job *job)
{
	struct preview *p = (struct preview *)job;
	struct arena *a = job->x->arena;
	struct retention_look *look = arena_new_of(a, struct retention_look);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	int r = retention_rules_load(c, a, &p->rules);

	for (size_t i = 0; r == 0 && i < RETAIN_KINDS; i++) {
		struct preview_count n;
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, items);

		look->kind = i;
		r = count(c, &p->rules, look, &n);
		json_add_str(doc, item, "kind", retention_kind_names[i]);
		json_add_str(doc, item, "option", retention_options[i]);
		yyjson_mut_obj_add_int(doc, item, "days", p->rules.days[i]);
		yyjson_mut_obj_add_bool(doc, item, "tried", p->is_tried[i]);
		yyjson_mut_obj_add_int(doc, item, "agents", count_agents(&p->rules, i));
		yyjson_mut_obj_add_int(doc, item, "count", n.n);
		yyjson_mut_obj_add_bool(doc, item, "at_least", n.is_least);
		add_time(doc, item, "oldest_at", n.oldest);
	}
	return r < 0 ? r : answer_json(&p->answer, 200, doc);
}

/* ?event_days=30: as if the option was that. Returns false after answering. */
static bool read_days(struct exchange *x, struct preview *p)
{
	for (size_t i = 0; i < RETAIN_KINDS; i++) {
		const char *text = http_query_get(x->arena, x->req->query, retention_options[i]);
		char *end;

		if (!text)
			continue;
		p->rules.days[i] = strtoll(text, &end, 10);
		p->is_tried[i] = true;
		if (!*text || *end || p->rules.days[i] < 0 || p->rules.days[i] > RETENTION_DAYS_MAX) {
			reply_problem(x, 400, "bad_request", "%s is a number of days from 0 to %d.",
				      retention_options[i], RETENTION_DAYS_MAX);
			return false;
		}
	}
	return true;
}

void retention_preview(struct exchange *x)
{
	struct agent *agent = x->self;
	struct preview *p = arena_new_of(x->arena, struct preview);

	retention_rules_of(service_options(agent->service), &p->rules);
	if (read_days(x, p))
		answer_read(x, &p->answer, preview_run);
}
