/* The policies over HTTP: the list, a check that explains its verdict, changes, a backtest over past commands, and the
 * approvals. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "egress/hosts.h"
#include "policy/store.h"
#include "service/confirmation.h"
#include "target.h"

#define CHECK_ITEMS_MAX 256
#define CHECK_BYTES_MAX (256 << 10)
#define BACKTEST_MAX 5000
#define BACKTEST_SHOWN 200

/* ---- Policies ---- */

static void add_policy(struct exec *e, yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct policy *p, bool with_text)
{
	const struct policies *ps = e->policies;
	size_t i = 0;

	while (ps->items[i] != p)
		i++;
	json_add_str(doc, obj, "name", p->name);
	json_add_str(doc, obj, "description", p->description);
	yyjson_mut_obj_add_sint(doc, obj, "version", p->version);
	yyjson_mut_obj_add_bool(doc, obj, "built_in", p->version == 0);
	yyjson_mut_obj_add_bool(doc, obj, "always", p == ps->always);
	yyjson_mut_obj_add_uint(doc, obj, "rules", p->n_rules);
	json_add_time(doc, obj, "changed_at", ps->changed_us[i]);
	json_add_str(doc, obj, "changed_by", ps->changed_by[i][0] ? ps->changed_by[i] : NULL);
	if (with_text)
		json_add_raw(doc, obj, "policy", p->text.p);
}

void policies_list(struct exchange *x)
{
	struct exec *e = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (size_t i = 0; i < e->policies->n; i++)
		add_policy(e, doc, yyjson_mut_arr_add_obj(doc, items), e->policies->items[i], false);
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_json(x, 200, doc);
}

static void reply_policy(struct exchange *x, int status, const struct policy *p)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	add_policy(x->self, doc, obj, p, true);
	reply_header(x, "ETag", arena_printf(x->arena, "\"%lld\"", (long long)p->version));
	reply_json(x, status, doc);
}

/* Returns NULL after answering 404. */
static struct policy *find_policy(struct exchange *x)
{
	struct policy *p = policies_find(x->self, x->params[0].p);

	if (!p)
		reply_problem(x, 404, "not_found", "There is no policy of this name. GET /api/policies lists them.");
	return p;
}

void policies_get(struct exchange *x)
{
	struct policy *p = find_policy(x);

	if (p)
		reply_policy(x, 200, p);
}

/* Returns false after answering 412. */
static bool check_version(struct exchange *x, const struct policy *old)
{
	struct str wanted = http_header_get(&x->req->headers, "If-Match");

	if (!wanted.p || str_is(wanted, arena_printf(x->arena, "\"%lld\"", (long long)(old ? old->version : 0))))
		return true;
	reply_problem(x, 412, "version_mismatch", "The policy has changed meanwhile. Read it again.");
	return false;
}

void policies_replace(struct exchange *x)
{
	struct exec *e = x->self;
	const char *name = x->params[0].p;
	struct policy *old = policies_find(e, name), *p;
	struct error err = {0};
	int r;

	if (x->who.service[0]) {
		reply_problem(x, 403, "forbidden", "Only a person changes a policy.");
		return;
	}
	if (!policy_name_is_valid(name) || strcmp(name, "workspace") == 0) {
		reply_problem(x, 422, "invalid_field", "A policy's name has a-z, 0-9, '-' and '_', at most %d.",
			      POLICY_NAME_MAX);
		return;
	}
	if (old && old->version == 0) {
		reply_problem(x, 409, "built_in", "This policy is built in. Store another one under another name.");
		return;
	}
	if (!check_version(x, old))
		return;
	p = policy_load(name, json_val_text(x->arena, x->body), &err);
	if (!p) {
		reply_error(x, 422, &err);
		return;
	}
	r = policies_put(e, p, x->who.user_id);
	if (r < 0) {
		policy_unref(p);
		reply_problem(x, r == -ENOSPC ? 507 : 500, r == -ENOSPC ? "storage_full" : "internal",
			      "The policy could not be stored: %s.", strerror(-r));
		return;
	}
	log_event(LOG_INFO, "policy stored", "request_id", x->request_id, "policy", name, "user", x->who.user_id, NULL);
	reply_policy(x, old ? 200 : 201, p);
}

/* ---- Verdicts ---- */

static void add_part(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct part *p)
{
	json_add_str(doc, obj, "kind", p->kind);
	json_add_str(doc, obj, "text", p->text);
	json_add_str(doc, obj, "verdict", decision_name(p->decision));
	json_add_str(doc, obj, "policy", p->policy);
	json_add_str(doc, obj, "rule", p->rule);
	json_add_str(doc, obj, "reason", p->reason);
	json_add_str(doc, obj, "program", p->program);
	json_add_str(doc, obj, "class", p->class);
	if (p->command >= 0)
		yyjson_mut_obj_add_int(doc, obj, "command", p->command);
	else
		yyjson_mut_obj_add_null(doc, obj, "command");
}

static void add_word(yyjson_mut_doc *doc, yyjson_mut_val *arr, const struct script_word *w)
{
	yyjson_mut_val *obj = yyjson_mut_arr_add_obj(doc, arr);

	yyjson_mut_obj_add_strncpy(doc, obj, "text", w->text.p, w->text.n);
	yyjson_mut_obj_add_bool(doc, obj, "proven", w->is_proven);
}

/* How the script was read. */
static void add_parse(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct script *s)
{
	static const char *const ops[] = {"", ";", "&&", "||", "|"};
	static const char *const kinds[] = {"<", ">", ">>", ">&", "other"};
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, "commands");

	for (unsigned i = 0; i < MIN(s->n, VERDICT_PARTS_MAX); i++) {
		const struct script_command *c = &s->commands[i];
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, arr);
		yyjson_mut_val *words = yyjson_mut_obj_add_arr(doc, item, "words"), *redirects;

		for (unsigned w = 0; w < c->n_words; w++)
			add_word(doc, words, &c->words[w]);
		redirects = yyjson_mut_obj_add_arr(doc, item, "redirects");
		for (unsigned r = 0; r < c->n_redirects; r++) {
			yyjson_mut_val *redirect = yyjson_mut_arr_add_obj(doc, redirects);

			yyjson_mut_obj_add_int(doc, redirect, "fd", c->redirects[r].fd);
			json_add_str(doc, redirect, "kind", kinds[c->redirects[r].kind]);
			yyjson_mut_obj_add_strncpy(doc, redirect, "target", c->redirects[r].target.text.p ?: "",
						   c->redirects[r].target.text.n);
		}
		json_add_str(doc, item, "then", ops[c->op]);
	}
}

void verdict_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct verdict *v, bool with_parts)
{
	yyjson_mut_val *arr;

	json_add_str(doc, obj, "verdict", decision_name(v->decision));
	json_add_str(doc, obj, "policy", v->decider->policy);
	json_add_str(doc, obj, "rule", v->decider->rule);
	json_add_str(doc, obj, "reason", v->decider->reason);
	json_add_str(doc, obj, "segment", v->decider->text);
	yyjson_mut_obj_add_bool(doc, obj, "provable", !v->is_script || v->is_provable);
	json_add_str(doc, obj, "opaque", v->is_script ? v->script.opaque : NULL);
	if (!with_parts)
		return;
	arr = yyjson_mut_obj_add_arr(doc, obj, "parts");
	for (unsigned i = 0; i < v->n; i++)
		add_part(doc, yyjson_mut_arr_add_obj(doc, arr), &v->parts[i]);
	if (v->is_script)
		add_parse(doc, obj, &v->script);
}

/* ---- The check ---- */

static const struct json_field check_fields[] = {
	{"argv", JSON_ARRAY, false, 1, 0},
	{"script", JSON_STRING, false, 1, 0},
	{"cwd", JSON_STRING, false, 0, 4000},
	{"env", JSON_OBJECT, false, 0, 0},
	{"policy", JSON_STRING, false, 1, 40},
	{"profile", JSON_STRING, false, 1, 16},
	{"workspace", JSON_STRING, false, 1, 64},
	{"target", JSON_STRING, false, 1, 32},
	{"hosts", JSON_ARRAY, false, 0, EGRESS_RULES_MAX},
};

static int invalid(struct error *err, const char *text)
{
	return error_set(err, "invalid_field", "%s", text);
}

static int read_strings(struct arena *a, yyjson_val *arr, char *const **ret, struct error *err)
{
	char **list = arena_alloc(a, (yyjson_arr_size(arr) + 1) * sizeof(*list));
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(arr, i, max, item)
	{
		if (!yyjson_is_str(item))
			return invalid(err, "argv must be an array of strings.");
		list[i] = (char *)(uintptr_t)yyjson_get_str(item);
	}
	*ret = list;
	return list[0] && list[0][0] ? 0 : invalid(err, "The first item of argv names the program.");
}

static int read_env(struct arena *a, yyjson_val *obj, char *const **ret, struct error *err)
{
	char **list = arena_alloc(a, (yyjson_obj_size(obj) + 1) * sizeof(*list));
	yyjson_val *key, *value;
	size_t i, max;

	yyjson_obj_foreach(obj, i, max, key, value)
	{
		if (!yyjson_is_str(value))
			return invalid(err, "env maps names to strings.");
		list[i] = arena_printf(a, "%s=%s", yyjson_get_str(key), yyjson_get_str(value));
	}
	*ret = list;
	return 0;
}

static int read_check(struct exec *e, struct arena *a, yyjson_val *body, struct policy_request *req,
		      struct applied *set, struct error *err)
{
	yyjson_val *script = yyjson_obj_get(body, "script"), *argv = yyjson_obj_get(body, "argv");
	const char *target = json_get_str(body, "target", TARGET_LOCAL),
		   *workspace = json_get_str(body, "workspace", "");
	struct egress_rules *hosts;
	int r = json_check(body, check_fields, ARRAY_SIZE(check_fields), err);

	if (r < 0)
		return r;
	if (!script == !argv)
		return invalid(err, "Send either argv or script.");
	*req = (struct policy_request){.cwd = json_get_str(body, "cwd", ""),
				       .script = {yyjson_get_str(script), yyjson_get_len(script)},
				       .profile = profile_of(json_get_str(body, "profile", "sandbox")),
				       .is_remote = strcmp(target, TARGET_LOCAL) != 0};
	if (req->profile == PROFILE_UNKNOWN)
		return invalid(err, "profile is sandbox or network.");
	if (workspace[0] && !workspace_is_valid(str_of(workspace)))
		return invalid(err, "workspace has letters, digits, '-' and '_' only, at most 64.");
	r = hosts_read(a, yyjson_obj_get(body, "hosts"), "hosts", &hosts, err);
	req->hosts = hosts;
	if (r == 0 && argv)
		r = read_strings(a, argv, &req->argv, err);
	if (r == 0)
		r = read_env(a, yyjson_obj_get(body, "env"), &req->env, err);
	if (r == 0)
		r = policies_apply(e, a, json_get_str(body, "policy", ""), workspace, req->is_remote, set, err);
	return r == -ENOENT
		       ? error_set(err, "unknown_policy", "There is no policy \"%.60s\". GET /api/policies lists them.",
				   json_get_str(body, "policy", ""))
		       : r;
}

static int check_one(struct exec *e, struct arena *a, yyjson_val *body, yyjson_mut_doc *doc, yyjson_mut_val *obj,
		     struct error *err)
{
	struct policy_request req;
	struct applied set;
	struct verdict v;
	int r = read_check(e, a, body, &req, &set, err);

	if (r < 0)
		return r;
	policy_judge_in(e, a, &set, &req, json_get_str(body, "workspace", ""), &v);
	verdict_add_json(doc, obj, &v, true);
	return 0;
}

static int check_many(struct exchange *x, yyjson_val *items, yyjson_mut_doc *doc, yyjson_mut_val *obj,
		      struct error *err)
{
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(doc, obj, "items");
	uint64_t start = clock_mono_us();
	yyjson_val *item;
	size_t i, max, bytes = 0;

	if (!yyjson_is_arr(items) || yyjson_arr_size(items) > CHECK_ITEMS_MAX || yyjson_obj_size(x->body) != 1)
		return invalid(err, "items is a list of at most 256 checks and stands alone.");
	yyjson_arr_foreach(items, i, max, item)
	{
		if (!yyjson_is_obj(item))
			return invalid(err, "items is a list of objects.");
		bytes += yyjson_get_len(yyjson_obj_get(item, "script"));
		if (bytes > CHECK_BYTES_MAX)
			return invalid(err, "The scripts of items have more than 256 KiB together.");
		if (check_one(x->self, x->arena, item, doc, yyjson_mut_arr_add_obj(doc, arr), err) < 0)
			return -EINVAL;
	}
	yyjson_mut_obj_add_uint(doc, obj, "elapsed_us", clock_mono_us() - start);
	return 0;
}

void policies_check(struct exchange *x)
{
	yyjson_val *items = yyjson_obj_get(x->body, "items");
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	struct error err = {0};
	int r = items ? check_many(x, items, doc, obj, &err) : check_one(x->self, x->arena, x->body, doc, obj, &err);

	if (r < 0)
		reply_error(x, 422, &err);
	else
		reply_json(x, 200, doc);
}

/* ---- The backtest ---- */

struct backtest {
	struct job job;
	struct exchange *x;
	struct policy *before, *after; /* after is its own when `is_candidate` */
	bool is_candidate;
	int64_t limit;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj, *changes;
	unsigned judged, changed, counts[2][3];
	int result;
};

static void judge_past(struct arena *a, const struct policy *p, const struct spec *s, struct verdict *ret)
{
	struct policy_request req = {.argv = s->argv,
				     .cwd = s->cwd,
				     .env = s->env,
				     .profile = s->network ? PROFILE_NETWORK : PROFILE_SANDBOX,
				     .hosts = s->hosts,
				     .is_remote = s->target[0]};

	if (s->script)
		req.script = str_of(s->script);
	policy_judge(a, &p, 1, &req, ret);
}

static void add_change(struct backtest *b, const struct spec *s, const struct verdict *before,
		       const struct verdict *after)
{
	yyjson_mut_val *item;

	if (++b->changed > BACKTEST_SHOWN)
		return;
	item = yyjson_mut_arr_add_obj(b->doc, b->changes);
	json_add_str(b->doc, item, "command_id", s->id);
	verdict_add_json(b->doc, yyjson_mut_obj_add_obj(b->doc, item, "before"), before, false);
	verdict_add_json(b->doc, yyjson_mut_obj_add_obj(b->doc, item, "after"), after, false);
}

static void backtest_run(struct job *job)
{
	struct backtest *b = container_of(job, struct backtest, job);
	struct exec *e = b->x->self;
	struct id_list ids;

	b->result = journal_list(&e->journal, NULL, b->x->arena, &ids);
	for (size_t i = 0; b->result == 0 && i < ids.n && b->judged < b->limit; i++) {
		_cleanup_(arena_free_p) struct arena *a = arena_new();
		struct journal_entry entry;
		struct verdict before, after;

		if (journal_load(&e->journal, ids.ids[i], a, &entry) < 0)
			continue;
		judge_past(a, b->before, &entry.spec, &before);
		judge_past(a, b->after, &entry.spec, &after);
		b->judged++;
		b->counts[0][before.decision]++;
		b->counts[1][after.decision]++;
		if (before.decision != after.decision)
			add_change(b, &entry.spec, &before, &after);
	}
}

static void add_counts(struct backtest *b, const char *name, const unsigned counts[3])
{
	yyjson_mut_val *obj = yyjson_mut_obj_add_obj(b->doc, b->obj, name);

	for (int d = 0; d < 3; d++)
		yyjson_mut_obj_add_uint(b->doc, obj, decision_name((enum decision)d), counts[d]);
}

static void backtest_done(struct job *job)
{
	struct backtest *b = container_of(job, struct backtest, job);
	struct exchange *x = b->x;

	yyjson_mut_obj_add_uint(b->doc, b->obj, "judged", b->judged);
	yyjson_mut_obj_add_uint(b->doc, b->obj, "changed", b->changed);
	add_counts(b, "before", b->counts[0]);
	add_counts(b, "after", b->counts[1]);
	policy_unref(b->before);
	policy_unref(b->after);
	if (b->result < 0)
		reply_problem(x, 500, "internal", "The commands cannot be listed: %s.", strerror(-b->result));
	else
		reply_json(x, 200, b->doc);
	exchange_drop(x);
}

static const struct json_field backtest_fields[] = {
	{"policy", JSON_OBJECT, true, 0, 0},
	{"limit", JSON_INT, false, 1, BACKTEST_MAX},
};

void policies_backtest(struct exchange *x)
{
	struct exec *e = x->self;
	struct policy *p = find_policy(x), *after;
	struct backtest *b = arena_new_of(x->arena, struct backtest);
	struct error err = {0};

	if (!p)
		return;
	if (json_check(x->body, backtest_fields, ARRAY_SIZE(backtest_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	after = policy_load(p->name, json_val_text(x->arena, json_get_obj(x->body, "policy")), &err);
	if (!after) {
		reply_error(x, 422, &err);
		return;
	}
	b->job = (struct job){.run = backtest_run, .done = backtest_done};
	b->x = x;
	b->before = policy_ref(p);
	b->after = after;
	b->limit = json_get_int(x->body, "limit", 1000);
	b->obj = json_new_obj(x->arena, &b->doc);
	b->changes = yyjson_mut_obj_add_arr(b->doc, b->obj, "items");
	if (job_submit(e->lane, &b->job) < 0) {
		policy_unref(b->before);
		policy_unref(b->after);
		reply_problem(x, 503, "unavailable", "There is too much to do. Try again in a moment.");
		return;
	}
	exchange_hold(x);
}

/* ---- Approvals ---- */

static void add_approval(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct approval *ap)
{
	json_add_str(doc, obj, "hash", ap->hash);
	json_add_str(doc, obj, "status", ap->approved_by[0] ? "approved" : "waiting");
	json_add_str(doc, obj, "text", ap->text);
	json_add_str(doc, obj, "reason", ap->reason);
	json_add_str(doc, obj, "policy", ap->policy);
	json_add_str(doc, obj, "profile", ap->profile);
	json_add_str(doc, obj, "user_id", ap->user_id);
	json_add_str(doc, obj, "approved_by", ap->approved_by[0] ? ap->approved_by : NULL);
	yyjson_mut_obj_add_uint(doc, obj, "uses", ap->uses);
	json_add_time(doc, obj, "created_at", ap->created_us);
	json_add_time(doc, obj, "expires_at", ap->expires_us);
}

void approvals_list(struct exchange *x)
{
	struct exec *e = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	approvals_prune(e);
	for (size_t i = e->policies->n_approvals; i > 0; i--)
		add_approval(doc, yyjson_mut_arr_add_obj(doc, items), &e->policies->approvals[i - 1]);
	yyjson_mut_obj_add_null(doc, obj, "next");
	reply_json(x, 200, doc);
}

static const struct json_field approval_fields[] = {
	{"hash", JSON_STRING, true, 64, 64},
	{"uses", JSON_INT, false, 1, 100},
	{"expires_in", JSON_INT, false, 1, APPROVAL_LASTS_MAX_S},
	{"confirmation", JSON_STRING, false, 1, 1024},
};

/* The approval that the body names, or NULL after answering. */
static struct approval *approval_asked(struct exchange *x)
{
	struct exec *e = x->self;
	struct approval *ap;

	approvals_prune(e);
	ap = approval_find(e, json_get_str(x->body, "hash", ""));
	if (!ap)
		reply_problem(x, 404, "not_found", "Nothing of this hash waits for an approval.");
	return ap;
}

/* It may have lapsed while auth was asked. */
static void approve_confirmed(void *arg)
{
	struct exchange *x = arg;
	struct exec *e = x->self;
	struct approval *ap = x->req ? approval_asked(x) : NULL;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj;
	int r;

	if (!ap)
		return;
	r = approval_give(e, ap, x->who.user_id, (unsigned)json_get_int(x->body, "uses", 1),
			  json_get_int(x->body, "expires_in", 600));
	if (r < 0) {
		reply_problem(x, 500, "internal", "The approval could not be stored: %s.", strerror(-r));
		return;
	}
	log_event(LOG_INFO, "command approved", "request_id", x->request_id, "approval", ap->hash, "user",
		  x->who.user_id, NULL);
	obj = json_new_obj(x->arena, &doc);
	add_approval(doc, obj, ap);
	reply_json(x, 201, doc);
}

/* A person's own token: no service decides, whoever it acts for. His second factor may be asked for. */
void approvals_post(struct exchange *x)
{
	char act[SHA256_HEX_SIZE], facts[96];
	struct approval *ap;
	struct error err = {0};

	if (x->who.service[0]) {
		reply_problem(x, 403, "forbidden", "Only a person approves a command.");
		return;
	}
	if (json_check(x->body, approval_fields, ARRAY_SIZE(approval_fields), &err) < 0) {
		reply_error(x, 422, &err);
		return;
	}
	ap = approval_asked(x);
	if (!ap)
		return;
	if (strcmp(ap->profile, profile_name(PROFILE_NONE)) == 0) {
		reply_problem(
			x, 422, "profile_unavailable",
			"Nothing runs outside of a sandbox here, whoever approves it. Ask for the profile network.");
		return;
	}
	/* Not for more uses, nor when the same is asked about anew. */
	snprintf(facts, sizeof(facts), "%lld %lld %lld", (long long)json_get_int(x->body, "uses", 1),
		 (long long)json_get_int(x->body, "expires_in", 600), (long long)ap->created_us);
	confirmation_act(act, "command", ap->hash, facts, NULL);
	confirmation_ask(x, act, json_get_str(x->body, "confirmation", NULL), approve_confirmed, x);
}
