#include "policy/judge.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>

#include "policy/programs.h"
#include "policy/resolve.h"

#define SHOWN_MAX 300

struct judging {
	struct arena *arena;
	const struct policy *const *policies;
	size_t n_policies;
	const struct policy_request *req;
	struct verdict *out;
	struct script_limits limits; /* the smallest of all */
	bool is_open;                /* all of them are */
	bool cwd_is_outside, cwd_is_hidden;
	int command; /* that is being judged */
	unsigned depth;
	unsigned guesses; /* that were judged */
	size_t guessed;   /* bytes of texts that only may be scripts */
};

/* What one policy says of one thing. */
struct opinion {
	enum decision decision;
	const char *rule, *reason;
};

static const char *const profile_names[] = {"sandbox", "network", "none"};

const char *profile_name(enum profile p)
{
	return profile_names[p];
}

enum profile profile_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(profile_names); i++)
		if (strcmp(name, profile_names[i]) == 0)
			return (enum profile)i;
	/* The sandbox as it is configured is the strict one. */
	return strcmp(name, "strict") == 0 ? PROFILE_SANDBOX : PROFILE_UNKNOWN;
}

/* ---- Parts ---- */

static const char *shown(struct judging *j, struct str text)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	bool is_cut = text.n > SHOWN_MAX;

	text_show(&b, (struct str){text.p, MIN(text.n, SHOWN_MAX)});
	if (is_cut)
		buf_add_str(&b, "\xe2\x80\xa6");
	return arena_strndup(j->arena, b.p ? b.p : "", b.n);
}

static void add_part(struct judging *j, struct part part)
{
	struct verdict *v = j->out;
	struct part *kept;

	part.command = j->command;
	if (v->n == VERDICT_PARTS_MAX && part.decision <= v->decision)
		return;
	kept = &v->parts[v->n == VERDICT_PARTS_MAX ? v->n - 1 : v->n++];
	if (v->decider == kept)
		v->decider = NULL;
	*kept = part;
	if (!v->decider || part.decision > v->decision) {
		v->decision = MAX(part.decision, v->decision);
		v->decider = kept;
	}
}

static void take(const struct policy *p, struct opinion o, struct part *part, bool *has)
{
	if (o.decision == DECISION_ASK && p->ask_is_deny)
		o.decision = DECISION_DENY;
	if (*has && o.decision <= part->decision)
		return;
	*has = true;
	part->decision = o.decision;
	part->policy = p->name;
	part->rule = o.rule;
	part->reason = o.reason;
}

/* A thing on which a member of the policy decides. */
static void judge_member(struct judging *j, const char *kind, struct str text, size_t member, const char *name,
			 const char *reason)
{
	struct part part = {.kind = kind, .text = shown(j, text)};
	bool has = false;

	for (size_t i = 0; i < j->n_policies; i++) {
		const struct policy *p = j->policies[i];
		enum decision d = *(const enum decision *)(const void *)((const char *)p + member);

		take(p, (struct opinion){d, name, reason}, &part, &has);
	}
	add_part(j, part);
}

#define JUDGE(j, kind, text, member, reason) \
	judge_member(j, kind, text, offsetof(struct policy, member), #member, reason)

static void add_over(struct judging *j, const char *what)
{
	add_part(j, (struct part){.decision = DECISION_DENY,
				  .kind = "limit",
				  .text = what,
				  .policy = j->policies[0]->name,
				  .rule = arena_printf(j->arena, "limits.%s", what),
				  .reason = "It is larger than the policy's limit."});
}

/* ---- Programs ---- */

static struct str base_of(struct str path)
{
	for (size_t i = path.n; i > 0; i--)
		if (path.p[i - 1] == '/')
			return (struct str){path.p + i, path.n - i};
	return path;
}

/* For rules that forbid: python3 stands for python3.11 too. */
static bool is_same_name(struct str base, const char *rule_name)
{
	struct str wanted = base_of(str_of(rule_name));

	if (!str_has_prefix(base, wanted))
		return false;
	for (size_t i = wanted.n; i < base.n; i++)
		if (!isdigit((unsigned char)base.p[i]) && base.p[i] != '.' && base.p[i] != '-')
			return false;
	return true;
}

struct program {
	const struct arg *args;
	unsigned n;
	struct resolved at;
	enum program_class class;
	bool is_proven, is_git;
	struct program_inside inside; /* the first look */
};

static bool names_it(const struct rule *r, const struct program *p)
{
	for (const char **name = r->programs; *name; name++) {
		if (r->decision != DECISION_ALLOW) {
			if (is_same_name(base_of(p->args[0].text), *name) ||
			    (p->at.final && is_same_name(base_of(str_of(p->at.final)), *name)))
				return true;
			continue;
		}
		if (p->at.is_trusted &&
		    ((*name)[0] == '/' ? strcmp(p->at.path, *name) == 0 : str_is(base_of(str_of(p->at.path)), *name)))
			return true;
	}
	return false;
}

static bool has_item(const char **list, struct str text)
{
	for (; list && *list; list++)
		if (str_is(text, *list))
			return true;
	return false;
}

static bool fits(const char **patterns, struct str text)
{
	for (; *patterns; patterns++) {
		struct str p = str_of(*patterns);

		if (str_eq(p, text) || (p.n && p.p[p.n - 1] == '*' && str_has_prefix(text, (struct str){p.p, p.n - 1})))
			return true;
	}
	return false;
}

static bool has_option(const char **options, const struct program *p)
{
	for (; options && *options; options++)
		for (unsigned i = 1; i < p->n; i++)
			if (arg_is_option(p->args[i].text, *options) || str_is(p->args[i].text, *options))
				return true;
	return false;
}

static bool is_hidden(const char *path)
{
	return path[0] == '.' || strstr(path, "/.");
}

/* An option with a path in it may lead anywhere. */
static bool holds_path(struct str option)
{
	return memchr(option.p, '/', option.n) || memmem(option.p, option.n, "=.", 2) ||
	       (option.n > 2 && option.p[1] != '-' && memchr(option.p, '.', option.n));
}

/* Arguments that are no options lie in the workspace's folders that the rule names. */
static bool stays_below(const struct judging *j, const struct rule *r, const struct program *p)
{
	for (unsigned i = 1; r->paths && i < p->n; i++) {
		struct str a = p->args[i].text;
		const char *rel;
		bool is_below = false;

		if (a.n > 0 && a.p[0] == '-' && holds_path(a))
			return false;
		if (a.n > 0 && a.p[0] == '-')
			continue;
		rel = j->cwd_is_outside || j->cwd_is_hidden ? NULL : workspace_relative(j->arena, j->req->cwd, a);
		if (!rel || is_hidden(rel))
			return false;
		for (const char **path = r->paths; *path && !is_below; path++) {
			struct str top = str_of(*path), full = str_of(arena_printf(j->arena, "/workspace/%s", rel));

			is_below = str_has_prefix(full, top) && (full.n == top.n || full.p[top.n] == '/');
		}
		if (!is_below)
			return false;
	}
	return true;
}

static bool reads_tree(const struct program *p)
{
	return p->is_git && str_is(program_subcommand(p->args, p->n), "status");
}

static bool allows(const struct judging *j, const struct rule *r, const struct program *p)
{
	if (!p->is_proven || (p->class != PROGRAM_PLAIN && !(p->is_git && r->subcommands)))
		return false;
	if (reads_tree(p) && j->req->distrusts_git)
		return false;
	if (r->args_max >= 0 && p->n - 1 > (unsigned)r->args_max)
		return false;
	for (unsigned i = 1; r->only && i < p->n; i++)
		if (!fits(r->only, p->args[i].text))
			return false;
	if (has_option(r->lacks, p) || (r->has && !has_option(r->has, p)))
		return false;
	return stays_below(j, r, p);
}

static bool rule_matches(const struct judging *j, const struct rule *r, const struct program *p)
{
	if (!names_it(r, p))
		return false;
	if (r->subcommands && !has_item(r->subcommands, program_subcommand(p->args, p->n)))
		return false;
	/* git -c … log: settings in front are no part of what was allowed. */
	if (r->decision == DECISION_ALLOW)
		return !(r->subcommands && p->inside.hazard) && allows(j, r, p);
	return !r->has || has_option(r->has, p);
}

static struct opinion without_rule(const struct policy *policy, const struct program *p)
{
	if (!p->at.path)
		return (struct opinion){MAX(policy->untrusted, policy->standard), "untrusted",
					"There is no such program in the system's folders."};
	if (!p->at.is_trusted)
		return (struct opinion){MAX(policy->untrusted, policy->standard), "untrusted",
					"It is not in a folder that only the system can write."};
	if (p->class == PROGRAM_WRAPPER && (p->inside.inner || p->inside.n_env))
		return (struct opinion){DECISION_ALLOW, "wrapper", "It is judged by the program that it runs."};
	if (p->class == PROGRAM_CODE)
		return (struct opinion){MAX(policy->code, policy->standard), "code",
					"It runs what it is given, or what it finds in files."};
	return (struct opinion){policy->standard, "default", "No rule speaks of this program."};
}

/* The strictest rule that speaks of it. */
static bool ask_rules(struct judging *j, const struct policy *policy, const struct program *p, struct opinion *ret)
{
	bool has = false;

	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *r = &policy->rules[i];

		if ((has && r->decision <= ret->decision) || !rule_matches(j, r, p))
			continue;
		has = true;
		*ret = (struct opinion){r->decision, r->id, r->reason ? r->reason : "The rule says so."};
		if (p->is_git && r->decision == DECISION_ALLOW) {
			j->out->reads_git = true;
			j->out->reads_tree |= reads_tree(p);
		}
	}
	return has;
}

static struct opinion ask_policy(struct judging *j, const struct policy *policy, const struct program *p)
{
	struct opinion o;

	return ask_rules(j, policy, p, &o) ? o : without_rule(policy, p);
}

static struct str join(struct judging *j, const struct arg *args, unsigned n)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	for (unsigned i = 0; i < n && b.n < 2 * SHOWN_MAX; i++) {
		if (i)
			buf_add_char(&b, ' ');
		buf_add(&b, args[i].text.p, args[i].text.n);
	}
	return arena_str(j->arena, (struct str){b.p ? b.p : "", b.n});
}

static void judge_script(struct judging *j, struct str text, struct script *ret);
static void judge_command(struct judging *j, const struct arg *args, unsigned n);

static void judge_env(struct judging *j, struct str assignment)
{
	struct str rest = assignment, name = str_cut(&rest, '=');

	while (name.n && (name.p[name.n - 1] == '+' || name.p[name.n - 1] == ']')) {
		const char *open = memchr(name.p, '[', name.n);

		name.n = open ? (size_t)(open - name.p) : name.n - 1;
	}
	if (env_is_hazard(name) || (rest.p && env_value_is_hazard(name, rest)))
		JUDGE(j, "environment", name, environment, "This variable can change what runs.");
}

#define GUESSES_MAX 128 /* are looked into: each may hold others */

static void judge_inside(struct judging *j, const struct program *p);

/* What may be a program, or only an argument of one, can make the verdict stricter by a rule that forbids it. */
static void judge_guess(struct judging *j, const struct arg *args, unsigned n)
{
	struct program p = {.args = args, .n = n, .class = program_class_of(args[0].text)};
	struct part part = {.kind = "command", .text = shown(j, join(j, args, n))};
	bool has = false;

	program_resolve(j->arena, args[0].text, j->req->is_remote, &p.at);
	for (size_t i = 0; i < j->n_policies; i++) {
		struct opinion o;

		if (ask_rules(j, j->policies[i], &p, &o) && o.decision != DECISION_ALLOW)
			take(j->policies[i], o, &part, &has);
	}
	if (has)
		add_part(j, part);
	if (p.class == PROGRAM_PLAIN || j->guesses++ > GUESSES_MAX)
		return;
	program_look_inside(args, n, 0, &p.inside);
	judge_inside(j, &p);
}

/* Nested guesses come to the same text again and again. */
static bool is_guessed_enough(struct judging *j, const struct program_inside *in)
{
	if (!in->is_guess)
		return false;
	j->guessed += in->inner_script.n;
	if (j->guessed <= 2 * (size_t)j->limits.bytes)
		return false;
	add_over(j, "depth");
	return true;
}

/* What env -S splits are arguments of env: options and variables may come first. */
static struct str with_env(struct judging *j, struct str text)
{
	return str_of(arena_printf(j->arena, "env %.*s", STR_ARG(text)));
}

/* What is in its arguments. */
static void judge_inside(struct judging *j, const struct program *p)
{
	struct program_inside in = p->inside;
	struct script script;

	if (++j->depth > j->limits.depth) {
		add_over(j, "depth");
		j->depth--;
		return;
	}
	for (;;) {
		if (in.hazard)
			JUDGE(j, "option", in.hazard_arg, hazard, "It can run or write something.");
		for (unsigned i = 0; i < in.n_env; i++)
			judge_env(j, in.env[i].text);
		if (in.n_inner && in.is_guess)
			judge_guess(j, in.inner, in.n_inner);
		else if (in.n_inner)
			judge_command(j, in.inner, in.n_inner);
		if (in.inner_script.p && !is_guessed_enough(j, &in))
			judge_script(j, in.is_split ? with_env(j, in.inner_script) : in.inner_script, &script);
		if (!in.at)
			break;
		program_look_inside(p->args, p->n, in.at, &in);
	}
	j->depth--;
}

/* busybox and the like are what they are called as. */
static enum program_class class_of(const struct program *p)
{
	enum program_class c = program_class_of(p->args[0].text);
	struct str final = base_of(str_of(p->at.final));

	if (c != PROGRAM_PLAIN || !p->at.final || str_is(final, "busybox") || str_is(final, "toybox") ||
	    str_is(final, "coreutils") || str_eq(final, base_of(p->args[0].text)))
		return c;
	return program_class_of(final);
}

static void keep_words(struct judging *j, const struct arg *args, unsigned n)
{
	struct verdict *v = j->out;

	for (unsigned i = 0; i < n; i++) {
		bool is_full = v->n_words >= 8 && (v->n_words & (v->n_words - 1)) == 0;

		if (v->n_words == 0 || is_full) {
			struct arg *more = arena_alloc(j->arena, MAX(2 * v->n_words, 8u) * sizeof(*more));

			if (v->n_words)
				memcpy(more, v->words, v->n_words * sizeof(*more));
			v->words = more;
		}
		v->words[v->n_words++] = args[i];
	}
}

static void keep_word(struct judging *j, const struct script_word *w)
{
	const struct arg arg = {w->text, w->is_proven};

	keep_words(j, &arg, 1);
}

static void judge_command(struct judging *j, const struct arg *args, unsigned n)
{
	struct program p = {.args = args, .n = n, .is_proven = true};
	struct part part = {.kind = "command", .text = shown(j, join(j, args, n))};
	bool has = false;

	for (unsigned i = 0; i < n; i++)
		p.is_proven &= args[i].is_proven;
	program_resolve(j->arena, args[0].text, j->req->is_remote, &p.at);
	p.is_git = str_is(base_of(args[0].text), "git");
	p.class = class_of(&p);
	program_look_inside(args, n, 0, &p.inside);
	part.program = p.at.path;
	part.class = program_class_name(p.class);
	for (size_t i = 0; i < j->n_policies; i++)
		take(j->policies[i], ask_policy(j, j->policies[i], &p), &part, &has);
	add_part(j, part);
	judge_inside(j, &p);
}

/* ---- Redirections ---- */

static bool is_below(struct str path, struct str top)
{
	return str_has_prefix(path, top) && (path.n == top.n || path.p[top.n] == '/');
}

/* Adds the parts of a path to *n bytes of ret. Returns false at "..". */
static bool add_parts(struct str path, char *ret, size_t *n)
{
	while (path.p) {
		struct str part = str_cut(&path, '/');

		if (part.n == 0 || str_is(part, "."))
			continue;
		if (str_is(part, ".."))
			return false;
		if (*n)
			ret[(*n)++] = '/';
		memcpy(ret + *n, part.p, part.n);
		*n += part.n;
	}
	ret[*n] = 0;
	return true;
}

/* A path from "/workspace" on without it, and whether it was below. */
static bool strip_workspace(struct str *path)
{
	if (path->n == 0 || path->p[0] != '/')
		return true;
	if (!is_below(*path, STR("/workspace")))
		return false;
	path->p += strlen("/workspace");
	path->n -= strlen("/workspace");
	return true;
}

const char *workspace_relative(struct arena *a, const char *cwd, struct str path)
{
	struct str base = str_of(cwd);
	bool is_absolute = path.n > 0 && path.p[0] == '/';
	char *ret = arena_alloc(a, base.n + path.n + 3);
	size_t n = 0;

	if (path.n == 0 || path.p[0] == '~' || !strip_workspace(&path) || (!is_absolute && !strip_workspace(&base)))
		return NULL;
	if (!is_absolute && !add_parts(base, ret, &n))
		return NULL;
	return add_parts(path, ret, &n) ? ret : NULL;
}

static void judge_redirect(struct judging *j, const struct script_redirect *r)
{
	struct str target = r->target.text;
	bool is_relative = target.n > 0 && target.p[0] != '/';
	const char *rel = r->target.is_proven ? workspace_relative(j->arena, j->req->cwd, target) : NULL;

	if (r->kind == REDIRECT_DUP || r->kind == REDIRECT_OTHER ||
	    (r->target.is_proven && str_is(target, "/dev/null")))
		return;
	if (r->kind == REDIRECT_READ) {
		JUDGE(j, "redirection", target, read, "It is read.");
		return;
	}
	if (is_relative && j->cwd_is_outside)
		rel = NULL;
	if (!rel)
		JUDGE(j, "redirection", target, outside, "It writes outside of the workspace.");
	else if (is_hidden(rel) || (is_relative && j->cwd_is_hidden))
		JUDGE(j, "redirection", target, hidden, "It writes a hidden file, which may change how programs work.");
	else
		JUDGE(j, "redirection", target, workspace, "It writes in the workspace.");
}

/* ---- Scripts ---- */

/* A change of folder that may or may not have happened: whatever it could make worse counts from here on. */
static void note_cd(struct judging *j, const struct script_command *c)
{
	const char *rel = NULL;

	if (c->n_words == 2 && c->words[1].is_proven)
		rel = workspace_relative(j->arena, j->req->cwd, c->words[1].text);
	j->cwd_is_outside |= !rel;
	j->cwd_is_hidden |= rel && is_hidden(rel);
}

static void judge_script_command(struct judging *j, const struct script_command *c)
{
	struct arg *args = arena_alloc(j->arena, MAX(c->n_words, 1u) * sizeof(*args));

	for (unsigned i = 0; i < c->n_words; i++)
		args[i] = (struct arg){c->words[i].text, c->words[i].is_proven};
	keep_words(j, args, c->n_words);
	for (unsigned i = 0; i < c->n_assignments; i++) {
		judge_env(j, c->assignments[i].text);
		keep_word(j, &c->assignments[i]);
	}
	for (unsigned i = 0; i < c->n_redirects; i++) {
		judge_redirect(j, &c->redirects[i]);
		keep_word(j, &c->redirects[i].target);
	}
	/* A long here document, of which nothing more can come. */
	if (c->n_words == 0 || c->is_keyword || (j->is_open && j->out->n >= VERDICT_PARTS_MAX))
		return;
	if (str_is(args[0].text, "cd"))
		note_cd(j, c);
	else
		judge_command(j, args, c->n_words);
}

static struct str cut(struct str text, size_t from, size_t n)
{
	from = MIN(from, text.n);
	return (struct str){text.p + from, MIN(text.n - from, n)};
}

/* A script of its own or one inside another. */
static void judge_script(struct judging *j, struct str text, struct script *ret)
{
	bool is_top = j->depth == 0;

	script_parse(j->arena, text, &j->limits, ret);
	/* Unclosed brackets in a long here document are no depth; where all is allowed they do not matter. */
	if (ret->over && !(j->is_open && strcmp(ret->over, "depth") == 0))
		add_over(j, ret->over);
	if (ret->is_invisible)
		JUDGE(j, "syntax", cut(text, ret->invisible_at, 4), invisible,
		      "It has a character that cannot be seen.");
	if (ret->opaque)
		JUDGE(j, "syntax", cut(text, ret->opaque_at, 40), opaque,
		      arena_printf(j->arena, "It is not provable what the shell makes of it: %s.", ret->opaque));
	for (unsigned i = 0; i < ret->n; i++) {
		if (is_top)
			j->command = (int)i;
		judge_script_command(j, &ret->commands[i]);
	}
	if (is_top)
		j->command = -1;
}

static void judge_argv(struct judging *j)
{
	struct arg *args;
	size_t n = 0, bytes = 0;

	while (j->req->argv[n])
		bytes += strlen(j->req->argv[n++]) + 1;
	if (bytes > 2 * (size_t)j->limits.bytes || n > j->limits.words) {
		add_over(j, n > j->limits.words ? "words" : "bytes");
		return;
	}
	args = arena_alloc(j->arena, n * sizeof(*args));
	for (size_t i = 0; i < n; i++) {
		struct str rest = str_of(j->req->argv[i]);

		args[i] = (struct arg){rest, true};
		/* Line breaks are data here. */
		for (size_t bad; (bad = text_find_invisible(rest)) != SIZE_MAX; rest.p += bad + 1, rest.n -= bad + 1)
			if (rest.p[bad] != '\n') {
				JUDGE(j, "syntax", args[i].text, invisible, "It has a character that cannot be seen.");
				break;
			}
	}
	keep_words(j, args, (unsigned)n);
	judge_command(j, args, (unsigned)n);
}

/* ---- The whole ---- */

static void judge_profile(struct judging *j)
{
	struct part part = {.kind = "profile", .text = profile_name(j->req->profile)};
	bool has = false;

	if (j->req->profile == PROFILE_SANDBOX)
		return;
	for (size_t i = 0; i < j->n_policies; i++)
		take(j->policies[i],
		     (struct opinion){DECISION_ASK, "profile", "A weaker sandbox is always a person's decision."},
		     &part, &has);
	add_part(j, part);
}

/* One host that the command wants to reach. Only policies that speak of the network open it, and those of a workspace
 * do not; where nobody speaks, it is a person's decision as every way out of the sandbox. */
static void judge_host(struct judging *j, const struct egress_rules *one)
{
	static const struct opinion way_out = {DECISION_ASK, "network",
					       "A way out of the sandbox is a person's decision."};
	char text[EGRESS_NAME_SIZE + 16];
	struct part part = {.kind = "host"};
	const struct egress_rule *missing;
	bool has = false, is_spoken_of = false;

	egress_rule_format(&one->items[0], text, sizeof(text));
	part.text = shown(j, str_of(text));
	for (size_t i = 0; i < j->n_policies; i++) {
		const struct policy *p = j->policies[i];

		if (!p->hosts)
			continue;
		is_spoken_of |= !p->is_workspaces;
		take(p,
		     egress_covers(p->hosts, one, &missing)
			     ? (struct opinion){DECISION_ALLOW, "network.hosts", "It is among the policy's hosts."}
			     : (struct opinion){p->other_hosts, "network.others",
						"It is not among the policy's hosts."},
		     &part, &has);
	}
	for (size_t i = 0; i < j->n_policies && !is_spoken_of; i++)
		take(j->policies[i], way_out, &part, &has);
	add_part(j, part);
}

static void judge_hosts(struct judging *j)
{
	struct egress_rules *one = j->req->hosts ? arena_new_of(j->arena, struct egress_rules) : NULL;

	for (size_t i = 0; j->req->hosts && i < j->req->hosts->n; i++) {
		one->n = 1;
		one->items[0] = j->req->hosts->items[i];
		judge_host(j, one);
	}
}

static void start(struct judging *j)
{
	const char *rel;

	j->limits = j->policies[0]->limits;
	j->is_open = true;
	for (size_t i = 0; i < j->n_policies; i++) {
		const struct policy *p = j->policies[i];

		j->is_open &= p->is_open;
		j->limits.bytes = MIN(j->limits.bytes, p->limits.bytes);
		j->limits.words = MIN(j->limits.words, p->limits.words);
		j->limits.commands = MIN(j->limits.commands, p->limits.commands);
		j->limits.depth = MIN(j->limits.depth, p->limits.depth);
		j->out->is_confined |= p->outside != DECISION_ALLOW || p->hidden != p->workspace;
	}
	rel = j->req->cwd[0] ? workspace_relative(j->arena, "", str_of(j->req->cwd)) : "";
	j->cwd_is_outside = !rel;
	j->cwd_is_hidden = rel && is_hidden(rel);
}

void policy_judge(struct arena *a, const struct policy *const *policies, size_t n, const struct policy_request *req,
		  struct verdict *ret)
{
	struct judging j = {.arena = a, .policies = policies, .n_policies = n, .req = req, .out = ret, .command = -1};

	*ret = (struct verdict){.parts = arena_alloc(a, VERDICT_PARTS_MAX * sizeof(struct part))};
	start(&j);
	judge_profile(&j);
	judge_hosts(&j);
	for (char *const *e = req->env; e && *e; e++)
		judge_env(&j, str_of(*e));
	ret->is_script = req->script.p;
	if (req->script.p)
		judge_script(&j, req->script, &ret->script);
	else
		judge_argv(&j);
	ret->is_provable = ret->is_script && !ret->script.opaque && !ret->script.over;
	if (!ret->decider)
		JUDGE(&j, "command", STR(""), standard, "There is nothing to run.");
}
