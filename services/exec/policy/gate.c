/* POST /api/commands meets the policies here. What needs a person's approval is bound by a hash to everything that
 * matters: command, folder, environment, input, profile, target, the policies' versions, and the contents of the files
 * of the workspace that it names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "egress/hosts.h"
#include "io/cares_api.h"
#include "policy/bind.h"
#include "policy/plan.h"
#include "policy/store.h"
#include "shared.h"
#include "target.h"

#define TEXT_MAX (32 << 10)

/* ---- The hash ---- */

static void add(struct buf *b, const char *name, struct str value)
{
	buf_printf(b, "%s %zu:", name, value.n);
	buf_add(b, value.p ? value.p : "", value.n);
	buf_add_char(b, '\n');
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_env(struct buf *b, struct arena *a, char *const *env)
{
	size_t n = 0;
	const char **sorted;

	while (env[n])
		n++;
	sorted = arena_alloc(a, (n + 1) * sizeof(*sorted));
	memcpy(sorted, env, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_text);
	for (size_t i = 0; i < n; i++)
		add(b, "env", str_of(sorted[i]));
}

/* Returns false when the approval could not be bound to all that matters. */
static bool add_workspace(struct buf *b, struct arena *a, const struct exec *e, const struct spec *s,
			  const struct verdict *v)
{
	int dir = openat(e->journal.workspaces_fd, s->workspace, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool ok = dir < 0 || bind_workspace(b, a, dir, s->cwd, v);

	if (dir >= 0)
		close(dir);
	return ok;
}

static bool hash_request(const struct exec *e, struct arena *a, const struct spec *s, const struct verdict *v,
			 const struct applied *set, enum profile profile, char ret[static SHA256_HEX_SIZE])
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	char hex[SHA256_HEX_SIZE];
	bool is_bound;

	add(&b, "ogent-approval-1 user", str_of(s->user_id));
	add(&b, "policies", str_of(set->names));
	add(&b, "profile", str_of(profile_name(profile)));
	for (size_t i = 0; s->hosts && i < s->hosts->n; i++) {
		char host[EGRESS_NAME_SIZE + 16];

		egress_rule_format(&s->hosts->items[i], host, sizeof(host));
		add(&b, "host", str_of(host));
	}
	add(&b, "target", str_of(s->target));
	add(&b, "workspace", str_of(s->workspace));
	add(&b, "sandbox", str_of(s->session[0] ? "session" : "own"));
	add(&b, "cwd", str_of(s->cwd));
	for (char **arg = s->argv; arg && *arg; arg++)
		add(&b, "arg", str_of(*arg));
	if (s->script)
		add(&b, "script", str_of(s->script));
	add_env(&b, a, s->env);
	sha256_hex(s->input.p ? s->input.p : "", s->input.n, hex);
	add(&b, "stdin", str_of(hex));
	buf_printf(&b, "open %d tty %u\n", s->has_input, s->tty.rows);
	is_bound = !s->workspace[0] || s->target[0] || add_workspace(&b, a, e, s, v);
	sha256_hex(b.p, b.n, ret);
	return is_bound;
}

/* ---- What a person sees ---- */

static const char *shown_text(struct arena *a, const struct spec *s)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	bool is_first = true;

	for (char **e = s->env; e && *e; e++) {
		text_show(&b, str_of(*e));
		buf_add_char(&b, ' ');
	}
	for (char **arg = s->argv; arg && *arg; arg++) {
		_cleanup_(buf_deinit) struct buf quoted = BUF_INIT;

		json_quote(&quoted, str_of(*arg));
		if (!is_first)
			buf_add_char(&b, ' ');
		is_first = false;
		/* With blanks or anything unusual: so that the borders of arguments can be seen. */
		if ((*arg)[0] &&
		    strspn(*arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%") ==
			    strlen(*arg))
			buf_add_str(&b, *arg);
		else
			text_show(&b, buf_str(&quoted));
	}
	if (s->script)
		text_show(&b, str_of(s->script));
	if (b.n > TEXT_MAX) {
		size_t left_out = b.n - TEXT_MAX;

		b.n = TEXT_MAX;
		buf_printf(&b, "\xe2\x80\xa6 (%zu more bytes)", left_out);
	}
	return arena_strndup(a, b.p ? b.p : "", b.n);
}

/* ---- Answers ---- */

static const char *where(struct arena *a, const struct part *p)
{
	return arena_printf(a, "%s%s `%.120s`", p->command >= 0 ? arena_printf(a, "command %d, ", p->command + 1) : "",
			    p->kind, p->text);
}

static void add_decider(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct verdict *v)
{
	const struct part *p = v->decider;

	json_add_str(doc, obj, "verdict", decision_name(v->decision));
	json_add_str(doc, obj, "policy", p->policy);
	json_add_str(doc, obj, "rule", p->rule);
	json_add_str(doc, obj, "reason", p->reason);
	json_add_str(doc, obj, "segment", p->text);
}

static void refuse(struct exchange *x, const struct verdict *v)
{
	const struct part *p = v->decider;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	add_decider(doc, obj, v);
	reply_problem_with(x, 403, "policy_denied", json_text(x->arena, doc),
			   "The policy %s does not allow this command and it was not run: %s (rule %s, %s)", p->policy,
			   p->reason, p->rule, where(x->arena, p));
}

static void ask(struct exec *e, struct exchange *x, const struct verdict *v, const struct spec *s, enum profile profile,
		const char *hash)
{
	const struct part *p = v->decider;
	struct approval ap = {0};
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *approval;

	memcpy(ap.hash, hash, sizeof(ap.hash));
	snprintf(ap.user_id, sizeof(ap.user_id), "%s", s->user_id);
	snprintf(ap.policy, sizeof(ap.policy), "%s", p->policy);
	snprintf(ap.profile, sizeof(ap.profile), "%s", profile_name(profile));
	ap.text = arena_strdup(x->arena, shown_text(x->arena, s));
	ap.reason = arena_printf(x->arena, "%s (rule %s, %s)", p->reason, p->rule, where(x->arena, p));
	approval_ask(e, &ap);
	add_decider(doc, obj, v);
	approval = yyjson_mut_obj_add_obj(doc, obj, "approval");
	json_add_str(doc, approval, "hash", hash);
	json_add_str(doc, approval, "text", ap.text);
	json_add_str(doc, approval, "profile", ap.profile);
	reply_problem_with(x, 403, "approval_required", json_text(x->arena, doc),
			   "This command was not run: it needs a person's approval first. %s (policy %s, rule %s, %s; "
			   "approval %.12s)",
			   p->reason, p->policy, p->rule, where(x->arena, p), hash);
}

/* ---- The gate ---- */

/* git's helpers, which a repository's settings can name, for a git that a rule allowed. */
static const char *const git_settings[][2] = {
	{"core.fsmonitor", "false"},        {"core.hooksPath", "/dev/null"},     {"core.pager", "cat"},
	{"core.sshCommand", "false"},       {"log.showSignature", "false"},      {"gpg.program", "false"},
	{"gpg.ssh.program", "false"},       {"gpg.x509.program", "false"},       {"core.alternateRefsCommand", "false"},
	{"credential.helper", ""},          {"diff.ignoreSubmodules", "all"},    {"submodule.recurse", "false"},
	{"uploadpack.packObjectsHook", ""}, {"safe.bareRepository", "explicit"}, {"status.submoduleSummary", "false"},
	{"core.gitProxy", "false"},         {"core.askPass", "false"},           {"core.editor", "false"}};

static void quiet_git(struct arena *a, struct spec *s)
{
	size_t n = 0, k = ARRAY_SIZE(git_settings);
	char **env;

	while (s->env[n])
		n++;
	env = arena_alloc(a, (n + 2 * k + 9) * sizeof(*env));
	memcpy(env, s->env, n * sizeof(*env));
	env[n++] = arena_printf(a, "GIT_CONFIG_COUNT=%zu", k);
	for (size_t i = 0; i < k; i++) {
		env[n++] = arena_printf(a, "GIT_CONFIG_KEY_%zu=%s", i, git_settings[i][0]);
		env[n++] = arena_printf(a, "GIT_CONFIG_VALUE_%zu=%s", i, git_settings[i][1]);
	}
	env[n++] = arena_strdup(a, "GIT_ALLOW_PROTOCOL=none");
	env[n++] = arena_strdup(a, "GIT_NO_LAZY_FETCH=1");
	env[n++] = arena_strdup(a, "GIT_OPTIONAL_LOCKS=0");
	env[n++] = arena_strdup(a, "GIT_TERMINAL_PROMPT=0");
	/* On a terminal pager.log of the settings would go before core.pager. */
	env[n++] = arena_strdup(a, "GIT_PAGER=cat");
	env[n++] = arena_strdup(a, "GIT_CONFIG_GLOBAL=/dev/null");
	s->env = env;
}

static bool read_profile(struct exchange *x, enum profile *ret)
{
	*ret = profile_of(json_get_str(x->body, "profile", "sandbox"));
	if (*ret != PROFILE_UNKNOWN)
		return true;
	reply_problem(x, 422, "invalid_field", "profile is sandbox or network.");
	return false;
}

static bool all_cover(const struct applied *set, const struct egress_rule *rule)
{
	struct egress_rules one = {.n = 1};
	const struct egress_rule *missing;

	one.items[0] = *rule;
	for (size_t i = 0; i < set->n; i++)
		if (set->policies[i]->hosts && !egress_covers(set->policies[i]->hosts, &one, &missing))
			return false;
	return true;
}

/* What every command may reach without asking for it: the hosts of the policy that it named, or of the one for all, as
 * far as no other forbids them. */
static const struct egress_rules *standing_hosts(struct arena *a, const struct applied *set)
{
	const struct policy *from = NULL;
	struct egress_rules *ret;

	for (size_t i = 0; i < set->n; i++)
		if (set->policies[i]->hosts && !set->policies[i]->is_workspaces)
			from = set->policies[i];
	if (!from)
		return NULL;
	ret = arena_alloc(a, sizeof(*ret));
	ret->n = 0;
	for (size_t i = 0; i < from->hosts->n; i++)
		if (all_cover(set, &from->hosts->items[i]))
			ret->items[ret->n++] = from->hosts->items[i];
	return ret->n ? ret : NULL;
}

static bool read_hosts(struct exec *e, struct exchange *x, struct arena *a, const struct applied *set, struct spec *s)
{
	yyjson_val *arr = yyjson_obj_get(x->body, "hosts");
	struct egress_rules *asked = NULL;
	struct error err = {0};

	if (hosts_read(a, arr, "hosts", &asked, &err) < 0) {
		reply_error(x, 422, &err);
		return false;
	}
	if (asked && s->target[0]) {
		reply_problem(x, 501, "not_on_this_target",
			      "Hosts can be opened on this machine only; the option exec_ssh_network gives a target "
			      "its own network.");
		return false;
	}
	s->hosts = arr ? asked : s->target[0] ? NULL : standing_hosts(a, set);
	s->inner = e->network_inner;
	s->dns = e->network_dns;
	if (!s->hosts)
		return true;
	if (!e->spawner.report.layers[LAYER_NETNS].ok)
		reply_problem(x, 503, "sandbox_unavailable",
			      "Hosts can be opened only where commands have a network of their own: %s",
			      e->spawner.report.layers[LAYER_NETNS].detail);
	else if (!cares_api_load())
		reply_problem(x, 503, "unavailable",
			      "Hosts can be opened only with the library c-ares. Install it (libc-ares2).");
	else
		return true;
	return false;
}

/* What the policies together say: the least of it. A workspace's own can only take away. */
static enum sharing sharing_of(const struct applied *set)
{
	enum sharing r = SHARING_UNSAID;

	for (size_t i = 0; i < set->n; i++) {
		enum sharing one = set->policies[i]->sharing;

		if (one == SHARING_UNSAID || (set->policies[i]->is_workspaces && one != SHARING_OWN))
			continue;
		r = r == SHARING_UNSAID ? one : MIN(r, one);
	}
	return r == SHARING_UNSAID ? SHARING_OWN : r;
}

/* Why the command cannot share a sandbox; NULL: it can. */
static const char *no_sharing(const struct exec *e, const struct spec *s, enum profile profile)
{
	if (s->target[0])
		return "on a target over SSH each command has a sandbox of its own";
	if (!s->workspace[0])
		return "it has no workspace";
	if (profile == PROFILE_NETWORK || s->hosts)
		return "a command that reaches a network has a sandbox of its own";
	if (!e->spawner.report.layers[LAYER_PIDNS].ok || !e->spawner.report.layers[LAYER_USERNS].ok)
		return "this machine gives no namespaces";
	return NULL;
}

/* A sandbox of its own, or that of the session? Returns false after answering. */
static bool choose_sandbox(struct exec *e, struct exchange *x, struct arena *a, const struct applied *set,
			   enum profile profile, struct spec *s)
{
	const char *wanted = json_get_str(x->body, "sandbox", ""), *why = no_sharing(e, s, profile);
	enum sharing allowed = sharing_of(set);

	if (wanted[0] && strcmp(wanted, "own") != 0 && strcmp(wanted, "session") != 0) {
		reply_problem(x, 422, "invalid_field", "sandbox is own or session.");
		return false;
	}
	if (strcmp(wanted, "session") == 0 && allowed < SHARING_EITHER) {
		reply_problem(x, 403, "policy_denied",
			      "The policy does not let commands share a sandbox (its member \"sandbox\").");
		return false;
	}
	if (strcmp(wanted, "session") == 0 && why) {
		reply_problem(x, 422, "no_shared_sandbox", "This command cannot share a sandbox: %s.", why);
		return false;
	}
	if (why || strcmp(wanted, "own") == 0 || (!wanted[0] && allowed != SHARING_SESSION))
		return true;
	s->session = shared_name(a, s->workspace, s->user_id);
	s->session_idle_ms = e->session_idle_ms;
	s->sessions_max = e->sessions_max;
	return true;
}

static bool apply(struct exec *e, struct exchange *x, const struct spec *s, struct applied *ret)
{
	const char *name = json_get_str(x->body, "policy", "");
	struct error err = {0};
	int r = policies_apply(e, x->arena, name, s->workspace, s->target[0], ret, &err);

	if (r == -ENOENT)
		reply_problem(x, 422, "unknown_policy", "There is no policy \"%s\". GET /api/policies lists them.",
			      name);
	else if (r < 0)
		reply_problem(x, 403, "policy_denied", "%s", err.message);
	return r == 0;
}

/* Asked about: was it approved? */
static bool is_approved(struct exec *e, struct exchange *x, struct spec *s, const struct verdict *v,
			const struct applied *set, enum profile profile)
{
	char hash[SHA256_HEX_SIZE];
	int r;

	if (!hash_request(e, x->arena, s, v, set, profile, hash)) {
		reply_problem(
			x, 403, "policy_denied",
			"This command needs a person's approval, and names too many folders for one to be bound to "
			"what is in them. Split it.");
		return false;
	}
	r = profile == PROFILE_NONE ? -ENOENT : approval_use(e, hash);
	if (r == 0) {
		log_event(LOG_INFO, "an approved command runs", "request_id", x->request_id, "command", s->id,
			  "approval", hash, "user", s->user_id, NULL);
		return true;
	}
	if (r == -ENOENT)
		ask(e, x, v, s, profile, hash);
	else
		reply_problem(x, 500, "internal", "The approval could not be used up: %s.", strerror(-r));
	return false;
}

void policy_judge_in(struct exec *e, struct arena *a, const struct applied *set, struct policy_request *req,
		     const char *workspace, struct verdict *ret)
{
	const struct policy *const *policies = (const struct policy *const *)set->policies;

	policy_judge(a, policies, set->n, req, ret);
	if (!ret->reads_tree)
		return;
	req->distrusts_git = req->is_remote || !repositories_are_harmless(e, a, workspace, req->cwd,
									  ret->is_script ? &ret->script : NULL);
	if (req->distrusts_git)
		policy_judge(a, policies, set->n, req, ret);
}

bool policy_gate(struct exec *e, struct exchange *x, struct arena *a, struct spec *s)
{
	struct policy_request req = {.argv = s->argv, .cwd = s->cwd, .env = s->env, .is_remote = s->target[0]};
	struct applied set;
	struct verdict v;

	if (!read_profile(x, &req.profile) || !apply(e, x, s, &set) || !read_hosts(e, x, a, &set, s) ||
	    !choose_sandbox(e, x, a, &set, req.profile, s))
		return false;
	req.hosts = s->hosts;
	if (s->script)
		req.script = str_of(s->script);
	policy_judge_in(e, x->arena, &set, &req, s->workspace, &v);
	/* The key of a command that was accepted before leads to it, whatever is allowed today. */
	s->is_replay = v.decision != DECISION_ALLOW && journal_has_key(&e->journal, s->key);
	if (v.decision != DECISION_ALLOW && !s->is_replay) {
		if (v.decision == DECISION_DENY)
			refuse(x, &v);
		if (v.decision == DECISION_DENY || !is_approved(e, x, s, &v, &set, req.profile))
			return false;
	}
	s->network = req.profile == PROFILE_NETWORK;
	if (v.is_provable)
		s->plan = plan_make(a, &v.script, v.is_confined);
	if (v.reads_git)
		quiet_git(a, s);
	return true;
}
