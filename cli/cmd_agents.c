/* `ogent agents`: what agents there are, made from templates, taken out and in as files, shared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"

#define FILE_MAX (1024 * 1024)

static const char *template_id, *name_of_new, *instructions, *from_version;
static bool is_dry, skips_missing;

static void print_agent(struct admin *m, yyjson_val *agent)
{
	out_printf("%-20s  %-16s  %-12s  %s\n", json_get_str(agent, "slug", ""), json_get_str(agent, "model", ""),
		   admin_join(m, json_get_arr(agent, "tools"), ","),
		   one_line(m->a, json_get_str(agent, "name", ""), 60));
}

static int list(struct admin *m)
{
	return admin_list(m, "/api/agents?limit=200", "There is no agent yet.", print_agent);
}

static void print_template(struct admin *m, yyjson_val *t)
{
	out_printf("%-18s  %s\n", json_get_str(t, "id", ""), one_line(m->a, json_get_str(t, "description", ""), 100));
}

static int templates(struct admin *m)
{
	return admin_list(m, "/api/agents/templates", "There is no template.", print_template);
}

struct finding {
	const char *who;
	yyjson_val *found;
};

static struct finding finding;

static void look_at(struct admin *m, yyjson_val *agent)
{
	const char *id = json_get_str(agent, "id", ""), *slug = json_get_str(agent, "slug", "");

	if (!strcmp(id, finding.who) || !strcmp(slug, finding.who) ||
	    (!finding.found && !strcmp(json_get_str(agent, "name", ""), finding.who)))
		finding.found = agent;
}

/* By id, slug or name. Returns EXIT_OK, or another code after saying why. */
static int find(struct admin *m, yyjson_val **ret)
{
	bool is_json = m->is_json;
	int r;

	finding = (struct finding){m->args[0], NULL};
	m->is_json = false;
	r = admin_list(m, "/api/agents?limit=200", "There is no agent yet.", look_at);
	m->is_json = is_json;
	if (r == EXIT_OK && !finding.found)
		r = session_fail(404,
				 &(struct error){"not_found", "There is no such agent: `ogent agents` lists them."});
	*ret = finding.found;
	return r;
}

static const char *path_of(struct admin *m, yyjson_val *agent, const char *rest)
{
	return arena_printf(m->a, "/api/agents/%s%s", json_get_str(agent, "id", ""), rest);
}

static int show(struct admin *m)
{
	yyjson_val *agent;
	int r = find(m, &agent);

	if (r == EXIT_OK)
		out_json(agent);
	return r;
}

static int print_made(struct admin *m, int r, yyjson_val *agent)
{
	if (r == EXIT_OK && m->is_json)
		out_json(agent);
	else if (r == EXIT_OK)
		out_printf("%s\n", json_get_str(agent, "slug", ""));
	return r;
}

static int create(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc);
	yyjson_val *agent = NULL;

	json_add_str(doc, obj, "name", m->args[0]);
	if (template_id)
		json_add_str(doc, obj, "template", template_id);
	if (instructions)
		json_add_str(doc, obj, "instructions", instructions);
	int r = admin_call(m, "POST", "/api/agents", json_text(m->a, doc), &agent);

	return print_made(m, r, agent);
}

static void print_version(struct admin *m, yyjson_val *v)
{
	out_printf("%4lld  %s  %s\n", (long long)json_get_int(v, "version", 0),
		   local_time(m->a, json_get_str(v, "created_at", "")),
		   one_line(m->a, json_get_str(v, "name", ""), 60));
}

static int versions(struct admin *m)
{
	yyjson_val *agent;
	int r = find(m, &agent);

	return r == EXIT_OK ? admin_list(m, path_of(m, agent, "/versions"), "There is none.", print_version) : r;
}

static void print_change(struct admin *m, yyjson_val *change)
{
	if (strcmp(json_get_str(change, "name", ""), "instructions") == 0)
		return;
	out_printf("%s: %s -> %s\n", json_get_str(change, "name", ""),
		   json_val_text(m->a, yyjson_obj_get(change, "from")).p,
		   json_val_text(m->a, yyjson_obj_get(change, "to")).p);
}

/* diff AGENT [VERSION]: the newest without one, against --from or the one before. */
static int diff(struct admin *m)
{
	yyjson_val *agent, *answer, *change;
	size_t i, n;
	int r = find(m, &agent);

	if (r != EXIT_OK)
		return r;
	const char *version = m->n_args > 1 ? admin_escape(m, m->args[1])
					    : arena_printf(m->a, "%lld", (long long)json_get_int(agent, "version", 1));
	const char *from = from_version ? arena_printf(m->a, "?from=%s", admin_escape(m, from_version)) : "";
	r = admin_call(m, "GET", path_of(m, agent, arena_printf(m->a, "/versions/%s/diff%s", version, from)),
		       (struct str){0}, &answer);
	if (r == EXIT_OK && m->is_json) {
		out_json(answer);
		return r;
	}
	if (r == EXIT_OK && json_get_int(answer, "from", 0) == json_get_int(answer, "to", 0))
		note_printf(STYLE_PLAIN, "There is nothing to compare: both are version %lld.\n",
			    (long long)json_get_int(answer, "to", 0));
	yyjson_arr_foreach(r == EXIT_OK ? json_get_arr(answer, "fields") : NULL, i, n, change) print_change(m, change);
	if (r == EXIT_OK && json_get_str(answer, "instructions_diff", NULL))
		out_printf("--- instructions %lld\n+++ instructions %lld\n%s",
			   (long long)json_get_int(answer, "from", 0), (long long)json_get_int(answer, "to", 0),
			   json_get_str(answer, "instructions_diff", ""));
	return r;
}

static int restore(struct admin *m)
{
	yyjson_val *agent;
	int r = find(m, &agent);

	if (r == EXIT_OK)
		r = admin_call(
			m, "POST",
			path_of(m, agent, arena_printf(m->a, "/versions/%s/restore", admin_escape(m, m->args[1]))),
			(struct str){0}, &agent);
	if (r == EXIT_OK)
		out_printf("version %lld\n", (long long)json_get_int(agent, "version", 0));
	return r;
}

static int export_agent(struct admin *m)
{
	yyjson_val *agent, *file;
	int r = find(m, &agent);

	if (r == EXIT_OK)
		r = admin_call(m, "GET", path_of(m, agent, "/export"), (struct str){0}, &file);
	if (r == EXIT_OK)
		out_json(file);
	return r;
}

/* A file, or stdin for "-". Returns EXIT_OK, or another code after saying why. */
static int read_all(const char *path, struct buf *ret)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char chunk[65536];
	size_t n;

	if (!f)
		return session_fail(0, &(struct error){"no_file", "The file cannot be read."});
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && ret->n <= FILE_MAX)
		buf_add(ret, chunk, n);
	if (f != stdin)
		fclose(f);
	return ret->n <= FILE_MAX ? EXIT_OK : session_fail(0, &(struct error){"too_large", "The file is no agent's."});
}

static int print_dry(struct admin *m, yyjson_val *answer)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(json_get_arr(answer, "missing"), i, n, item)
	{
		out_printf("%-9s  %-7s  %s\n", json_get_str(item, "state", ""), json_get_str(item, "kind", ""),
			   json_get_str(item, "name", ""));
	}
	if (json_get_str(answer, "reason", NULL))
		note_printf(STYLE_RED, "%s\n", json_get_str(answer, "reason", ""));
	return json_get_bool(answer, "can_import", false) ? EXIT_OK : EXIT_FAILED;
}

static int import(struct admin *m)
{
	_cleanup_(buf_deinit) struct buf file = BUF_INIT;
	yyjson_val *answer = NULL;
	int r = read_all(m->args[0], &file);
	const char *path = arena_printf(m->a, "/api/agents/import?dry_run=%s&skip_missing=%s%s%s",
					is_dry ? "true" : "false", skips_missing ? "true" : "false",
					name_of_new ? "&name=" : "", name_of_new ? admin_escape(m, name_of_new) : "");

	if (r == EXIT_OK)
		r = admin_call(m, "POST", path, buf_str(&file), &answer);
	if (r != EXIT_OK || !is_dry || m->is_json)
		return print_made(m, r, answer);
	return print_dry(m, answer);
}

/* With the role's rights as they are to be; none takes its share away. */
static int share(struct admin *m)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(m->a, &doc), *shares = yyjson_mut_obj_add_arr(doc, obj, "shares"), *one;
	yyjson_val *agent, *old;
	size_t i, n;
	int r = find(m, &agent);

	yyjson_arr_foreach(r == EXIT_OK ? json_get_arr(agent, "shares") : NULL, i, n, old)
	{
		if (strcmp(json_get_str(old, "role", ""), m->args[1]) != 0)
			yyjson_mut_arr_append(shares, yyjson_val_mut_copy(doc, old));
	}
	if (m->n_args > 2) {
		one = yyjson_mut_arr_add_obj(doc, shares);
		json_add_str(doc, one, "role", m->args[1]);
		admin_add_args(m, doc, one, "rights", 2);
	}
	if (r == EXIT_OK)
		r = admin_call(m, "PUT", path_of(m, agent, "/shares"), json_text(m->a, doc), &agent);
	if (r == EXIT_OK && m->is_json)
		out_json(agent);
	return r;
}

static int archive(struct admin *m)
{
	yyjson_val *agent;
	int r = find(m, &agent);

	return r == EXIT_OK ? admin_call(m, "DELETE", path_of(m, agent, ""), (struct str){0}, NULL) : r;
}

int cmd_agents(const struct command *self, int argc, char **argv)
{
	const struct flag flags[] = {
		{"template", &template_id}, {"name", &name_of_new},     {"instructions", &instructions},
		{"from", &from_version},    {"dry-run", NULL, &is_dry}, {"skip-missing", NULL, &skips_missing},
	};
	static const struct admin_verb verbs[] = {
		{"list", 0, 0, list},       {"templates", 0, 0, templates}, {"show", 1, 1, show},
		{"create", 1, 1, create},   {"versions", 1, 1, versions},   {"diff", 1, 2, diff},
		{"restore", 2, 2, restore}, {"export", 1, 1, export_agent}, {"import", 1, 1, import},
		{"share", 2, 5, share},     {"archive", 1, 1, archive},
	};

	return admin_run(self, argc, argv, flags, ARRAY_SIZE(flags), verbs, ARRAY_SIZE(verbs));
}
