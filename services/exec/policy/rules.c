#include "policy/rules.h"
#include "egress/hosts.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/encode.h"
#include "policy/judge.h"
#include "policy/programs.h"

#define LIST_MAX 200
#define ITEM_MAX 256
#define EXAMPLES_MAX 1000

static const char *const decision_names[] = {"allow", "ask", "deny"};

const char *decision_name(enum decision d)
{
	return decision_names[d];
}

bool policy_name_is_valid(const char *name)
{
	static const char *const reserved[] = {"check", "approvals", "settings", "schema"};
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			return false;
	return n >= 1 && n <= POLICY_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n &&
	       name[0] != '-' && name[0] != '_';
}

/* ---- Reading ---- */

static int invalid(struct error *err, const char *member, const char *text)
{
	return error_set(err, "invalid_policy", "%s: %s", member, text);
}

static int read_decision(yyjson_val *obj, const char *key, enum decision def, enum decision *ret, struct error *err)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	*ret = def;
	if (!v)
		return 0;
	for (int i = 0; i < (int)ARRAY_SIZE(decision_names); i++)
		if (yyjson_equals_str(v, decision_names[i])) {
			*ret = (enum decision)i;
			return 0;
		}
	return invalid(err, key, "is allow, ask or deny");
}

static int read_list(struct arena *a, yyjson_val *obj, const char *key, const char ***ret, struct error *err)
{
	yyjson_val *arr = yyjson_obj_get(obj, key), *item;
	size_t i, max;

	*ret = NULL;
	if (!arr)
		return 0;
	if (!yyjson_is_arr(arr) || yyjson_arr_size(arr) == 0 || yyjson_arr_size(arr) > LIST_MAX)
		return invalid(err, key, "is a list of 1 to 200 strings");
	*ret = arena_alloc(a, (yyjson_arr_size(arr) + 1) * sizeof(char *));
	yyjson_arr_foreach(arr, i, max, item)
	{
		if (!yyjson_is_str(item) || yyjson_get_len(item) == 0 || yyjson_get_len(item) > ITEM_MAX)
			return invalid(err, key, "is a list of strings of 1 to 256 bytes");
		(*ret)[i] = arena_strdup(a, yyjson_get_str(item));
	}
	return 0;
}

static int check_members(yyjson_val *obj, const char *const *known, const char *where, struct error *err)
{
	yyjson_val *key, *value;
	size_t i, max;

	if (!yyjson_is_obj(obj))
		return invalid(err, where, "is an object");
	yyjson_obj_foreach(obj, i, max, key, value)
	{
		const char *const *k = known;

		while (*k && strcmp(*k, yyjson_get_str(key)) != 0)
			k++;
		if (!*k)
			return error_set(err, "invalid_policy", "%s: there is no member \"%.60s\"", where,
					 yyjson_get_str(key));
	}
	return 0;
}

static int read_limits(yyjson_val *obj, struct script_limits *ret, struct error *err)
{
	static const char *const known[] = {"bytes", "words", "commands", "depth", NULL};
	static const struct script_limits most = {64 << 10, 64 << 10, 32 << 10, 16};
	yyjson_val *limits = yyjson_obj_get(obj, "limits");
	int64_t values[4];

	*ret = (struct script_limits){64 << 10, 64 << 10, 32 << 10, 8};
	if (!limits)
		return 0;
	if (check_members(limits, known, "limits", err) < 0)
		return -EINVAL;
	values[0] = json_get_int(limits, "bytes", ret->bytes);
	values[1] = json_get_int(limits, "words", ret->words);
	values[2] = json_get_int(limits, "commands", ret->commands);
	values[3] = json_get_int(limits, "depth", ret->depth);
	for (int i = 0; i < 4; i++)
		if (values[i] < 1 ||
		    values[i] > ((const int64_t[]){most.bytes, most.words, most.commands, most.depth})[i])
			return invalid(err, "limits", "bytes and words 1 to 65536, commands to 32768, depth to 16");
	*ret = (struct script_limits){(unsigned)values[0], (unsigned)values[1], (unsigned)values[2],
				      (unsigned)values[3]};
	return 0;
}

static int read_redirect(yyjson_val *obj, struct policy *p, struct error *err)
{
	static const char *const known[] = {"read", "workspace", "hidden", "outside", NULL};
	yyjson_val *r = yyjson_obj_get(obj, "redirect");

	if (r && check_members(r, known, "redirect", err) < 0)
		return -EINVAL;
	if (read_decision(r, "read", DECISION_ALLOW, &p->read, err) < 0 ||
	    read_decision(r, "workspace", DECISION_ALLOW, &p->workspace, err) < 0 ||
	    read_decision(r, "hidden", MAX(p->standard, p->workspace), &p->hidden, err) < 0 ||
	    read_decision(r, "outside", p->standard, &p->outside, err) < 0)
		return -EINVAL;
	return 0;
}

static int read_network(yyjson_val *root, struct policy *p, struct error *err)
{
	static const char *const known[] = {"hosts", "others", NULL};
	yyjson_val *network = yyjson_obj_get(root, "network");
	struct egress_rules *hosts;

	if (!network)
		return 0;
	if (check_members(network, known, "network", err) < 0 ||
	    read_decision(network, "others", DECISION_DENY, &p->other_hosts, err) < 0 ||
	    hosts_read(p->arena, yyjson_obj_get(network, "hosts"), "network.hosts", &hosts, err) < 0)
		return -EINVAL;
	p->hosts = hosts ? hosts : arena_new_of(p->arena, struct egress_rules);
	return 0;
}

/* ---- Rules ---- */

/* What could run anything must not be allowed by name. */
static int check_breadth(const struct rule *r, struct error *err)
{
	if (r->decision != DECISION_ALLOW)
		return 0;
	for (const char **name = r->programs; *name; name++) {
		const char *slash = strrchr(*name, '/'), *base = slash ? slash + 1 : *name;

		if ((strpbrk(base, "*?[") && strcmp(base, "[") != 0) || !*base)
			return error_set(err, "policy_too_broad",
					 "rule %.60s: \"%.60s\" is no name of one program; patterns cannot be allowed",
					 r->id, *name);
		if (slash && (*name)[0] != '/')
			return error_set(err, "invalid_policy", "rule %.60s: \"%.60s\" is no absolute path", r->id,
					 *name);
		if (strcmp(base, "git") == 0 && r->subcommands) {
			for (const char **s = r->subcommands; *s; s++)
				if (!program_git_reads(str_of(*s)))
					return error_set(
						err, "policy_too_broad",
						"rule %.60s: \"git %.60s\" does more than read and cannot be allowed",
						r->id, *s);
		} else if (program_class_of(str_of(base)) != PROGRAM_PLAIN) {
			return error_set(err, "policy_too_broad",
					 "rule %.60s: %.60s runs other programs and cannot be allowed; the sandbox "
					 "is what contains it (member \"code\")",
					 r->id, *name);
		}
	}
	return 0;
}

static int read_args(struct arena *a, yyjson_val *obj, struct rule *r, struct error *err)
{
	static const char *const known[] = {"only", "has", "lacks", "max", "paths", NULL};
	yyjson_val *args = yyjson_obj_get(obj, "args");

	r->args_max = -1;
	if (!args)
		return 0;
	if (check_members(args, known, "args", err) < 0 || read_list(a, args, "only", &r->only, err) < 0 ||
	    read_list(a, args, "has", &r->has, err) < 0 || read_list(a, args, "lacks", &r->lacks, err) < 0 ||
	    read_list(a, args, "paths", &r->paths, err) < 0)
		return -EINVAL;
	r->args_max = json_get_int(args, "max", -1);
	if (yyjson_obj_get(args, "max") && (r->args_max < 0 || r->args_max > 10000))
		return invalid(err, "max", "is a number from 0 to 10000");
	if (r->decision != DECISION_ALLOW && (r->only || r->lacks || r->paths || r->args_max >= 0))
		return invalid(err, r->id, "only \"has\" narrows a rule that asks or denies");
	return 0;
}

static int read_rule(struct arena *a, yyjson_val *obj, struct rule *r, struct error *err)
{
	static const char *const known[] = {"id",   "verdict", "programs", "subcommands",
					    "args", "reason",  "examples", NULL};

	if (check_members(obj, known, "rules", err) < 0)
		return -EINVAL;
	*r = (struct rule){.id = arena_strdup(a, json_get_str(obj, "id", ""))};
	if (!r->id[0] || strlen(r->id) > 60 ||
	    strspn(r->id, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != strlen(r->id))
		return invalid(err, "rules", "each has an id of a-z, 0-9, '-', '_' and '.', at most 60");
	if (!yyjson_obj_get(obj, "verdict"))
		return invalid(err, r->id, "has no verdict");
	if (read_decision(obj, "verdict", DECISION_DENY, &r->decision, err) < 0 ||
	    read_list(a, obj, "programs", &r->programs, err) < 0 ||
	    read_list(a, obj, "subcommands", &r->subcommands, err) < 0 || read_args(a, obj, r, err) < 0)
		return -EINVAL;
	if (json_get_str(obj, "reason", NULL))
		r->reason = arena_strndup(a, json_get_str(obj, "reason", ""),
					  MIN(strlen(json_get_str(obj, "reason", "")), 300));
	return r->programs ? check_breadth(r, err) : invalid(err, r->id, "names no programs");
}

static int read_rules(yyjson_val *root, struct policy *p, struct error *err)
{
	yyjson_val *arr = yyjson_obj_get(root, "rules"), *item;
	size_t i, max;

	if (!arr)
		return 0;
	if (!yyjson_is_arr(arr) || yyjson_arr_size(arr) > POLICY_RULES_MAX)
		return invalid(err, "rules", "is a list of at most 500 rules");
	p->rules = arena_alloc(p->arena, (yyjson_arr_size(arr) + 1) * sizeof(*p->rules));
	yyjson_arr_foreach(arr, i, max, item)
	{
		if (read_rule(p->arena, item, &p->rules[i], err) < 0)
			return -EINVAL;
		for (size_t k = 0; k < i; k++)
			if (strcmp(p->rules[k].id, p->rules[i].id) == 0)
				return invalid(err, p->rules[i].id, "is there twice");
		p->n_rules++;
	}
	return 0;
}

/* ---- Examples ---- */

/* "match": the rule is among those that decided on a part; "other": it is not. */
static int try_example(const struct policy *p, const struct rule *r, const char *script, bool should_match,
		       struct error *err)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct policy_request req = {.script = str_of(script), .cwd = "", .is_remote = true};
	struct verdict v;
	bool matched = false;

	policy_judge(a, &p, 1, &req, &v);
	for (unsigned i = 0; i < v.n; i++)
		matched |= v.parts[i].rule && strcmp(v.parts[i].rule, r->id) == 0;
	if (matched == should_match)
		return 0;
	return error_set(err, "policy_example", "rule %.60s: its example \"%.100s\" is %smatched by it", r->id, script,
			 matched ? "" : "not ");
}

static int try_examples(yyjson_val *root, const struct policy *p, struct error *err)
{
	static const char *const known[] = {"match", "other", NULL};
	yyjson_val *rule, *item;
	size_t i, max, k, n, count = 0;

	yyjson_arr_foreach(yyjson_obj_get(root, "rules"), i, max, rule)
	{
		yyjson_val *examples = yyjson_obj_get(rule, "examples");

		if (!examples)
			continue;
		if (check_members(examples, known, "examples", err) < 0)
			return -EINVAL;
		for (int which = 0; which < 2; which++) {
			const char **list;

			if (read_list(p->arena, examples, known[which], &list, err) < 0)
				return -EINVAL;
			yyjson_arr_foreach(yyjson_obj_get(examples, known[which]), k, n, item)
			{
				if (++count > EXAMPLES_MAX)
					return invalid(err, "examples", "are more than 1000 in all");
				if (try_example(p, &p->rules[i], list[k], which == 0, err) < 0)
					return -EINVAL;
			}
		}
	}
	return 0;
}

/* ---- The whole ---- */

static int read_sharing(yyjson_val *root, enum sharing *ret, struct error *err)
{
	static const char *const names[] = {"own", "either", "session"};
	yyjson_val *val = yyjson_obj_get(root, "sandbox");

	for (size_t i = 0; val && i < ARRAY_SIZE(names); i++)
		if (yyjson_equals_str(val, names[i])) {
			*ret = (enum sharing)(SHARING_OWN + i);
			return 0;
		}
	return val ? invalid(err, "sandbox", "is own, either or session") : 0;
}

static int read_policy(yyjson_val *root, struct policy *p, struct error *err)
{
	static const char *const known[] = {"description", "default",     "code",     "untrusted", "hazard", "opaque",
					    "invisible",   "environment", "redirect", "ask",       "limits", "network",
					    "rules",       "$schema",     "sandbox",  NULL};
	const char *ask = json_get_str(root, "ask", "human");

	if (check_members(root, known, "policy", err) < 0)
		return -EINVAL;
	p->description = arena_strndup(p->arena, json_get_str(root, "description", ""),
				       MIN(strlen(json_get_str(root, "description", "")), 500));
	if (!yyjson_obj_get(root, "default"))
		return invalid(err, "default", "is missing: what is decided where no rule speaks");
	if (strcmp(ask, "human") != 0 && strcmp(ask, "deny") != 0)
		return invalid(err, "ask", "is human or deny");
	p->ask_is_deny = strcmp(ask, "deny") == 0;
	if (read_sharing(root, &p->sharing, err) < 0)
		return -EINVAL;
	if (read_decision(root, "default", DECISION_DENY, &p->standard, err) < 0 ||
	    read_decision(root, "code", p->standard, &p->code, err) < 0 ||
	    read_decision(root, "untrusted", p->standard, &p->untrusted, err) < 0 ||
	    read_decision(root, "hazard", p->code, &p->hazard, err) < 0 ||
	    read_decision(root, "opaque", p->code, &p->opaque, err) < 0 ||
	    read_decision(root, "invisible", p->opaque, &p->invisible, err) < 0 ||
	    read_decision(root, "environment", p->code, &p->environment, err) < 0)
		return -EINVAL;
	if (read_limits(root, &p->limits, err) < 0 || read_redirect(root, p, err) < 0 ||
	    read_network(root, p, err) < 0 || read_rules(root, p, err) < 0)
		return -EINVAL;
	p->is_open = p->n_rules == 0 && !p->standard && !p->code && !p->untrusted && !p->hazard && !p->opaque &&
		     !p->invisible && !p->environment && !p->read && !p->workspace && !p->hidden && !p->outside;
	/* The workspace's is read with every command, and anybody's. */
	return strcmp(p->name, "workspace") == 0 ? 0 : try_examples(root, p, err);
}

struct policy *policy_load(const char *name, struct str json, struct error *err)
{
	_cleanup_(policy_free_p) struct policy *p = NULL;
	struct arena *a = arena_new();
	struct policy *loaded;
	yyjson_doc *doc;

	p = arena_new_of(a, struct policy);
	p->arena = a;
	p->refs = 1;
	strncpy(p->name, name, POLICY_NAME_MAX);
	if (json.n > POLICY_TEXT_MAX) {
		invalid(err, "policy", "is larger than 64 KiB");
		return NULL;
	}
	p->text = arena_str(a, json);
	sha256_hex(p->text.p, p->text.n, p->hash);
	doc = json_parse(a, p->text.p, p->text.n, err);
	if (!doc || read_policy(yyjson_doc_get_root(doc), p, err) < 0)
		return NULL;
	loaded = p;
	p = NULL;
	return loaded;
}

void policy_free(struct policy *p)
{
	if (p)
		arena_free(p->arena);
}
