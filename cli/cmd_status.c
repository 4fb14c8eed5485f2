#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "output.h"
#include "role_address.h"
#include "session.h"

/* What one role says of itself on its internal address. */
struct role_status {
	const char *role;
	int64_t pid, rss_kib, restarts;
	bool is_ready;
	yyjson_val *health; /* of /healthz, or NULL */
};

static int64_t rss_kib(int64_t pid)
{
	char path[64];
	long long pages = 0;

	snprintf(path, sizeof(path), "/proc/%lld/statm", (long long)pid);
	FILE *f = pid > 0 ? fopen(path, "re") : NULL;
	if (f) {
		if (fscanf(f, "%*s %lld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static struct role_status ask_role(const struct options *o, struct arena *a, yyjson_val *role)
{
	struct role_status s = {.role = json_get_str(role, "role", ""),
				.pid = json_get_int(role, "pid", 0),
				.restarts = json_get_int(role, "restarts", 0)};
	char *address = role_address(o, s.role);
	_cleanup_(client_free_p) struct client *c = address ? client_new(address, NULL) : NULL;

	free(address);

	s.rss_kib = rss_kib(s.pid);
	if (!c)
		return s;
	s.is_ready = client_call(c, a, "GET", "/readyz", (struct str){0}, NULL, NULL) == 200;
	if (client_call(c, a, "GET", "/healthz", (struct str){0}, &s.health, NULL) != 200)
		s.health = NULL;
	return s;
}

/* The default model, or NULL. */
static yyjson_val *ask_model(const struct options *o, struct arena *a)
{
	struct session session;
	yyjson_val *answer = NULL;
	char *address = session_local_address(o);

	/* Not there before all is ready. */
	if (!address)
		return NULL;
	free(address);
	if (session_open(&session, o, NULL) != EXIT_OK)
		return NULL;
	int status = client_call(session.client, a, "GET", "/api/models", (struct str){0}, &answer, NULL);
	session_close(&session);
	return status == 200 ? json_get_obj(answer, "default") : NULL;
}

struct status {
	const char *address;
	int64_t pid, rss_kib;
	struct role_status roles[16];
	size_t n_roles;
	bool is_ready;
	yyjson_val *sandbox, *model;
};

static void collect(struct status *s, const struct options *o, struct arena *a, yyjson_val *up)
{
	yyjson_val *role;
	size_t i, n;

	s->address = json_get_str(up, "address", "");
	s->pid = json_get_int(up, "pid", 0);
	s->rss_kib = rss_kib(s->pid);
	s->is_ready = true;
	yyjson_arr_foreach(json_get_arr(up, "roles"), i, n, role)
	{
		if (s->n_roles == ARRAY_SIZE(s->roles))
			break;
		struct role_status *r = &s->roles[s->n_roles++];
		*r = ask_role(o, a, role);
		s->is_ready = s->is_ready && r->is_ready;
		s->rss_kib += r->rss_kib;
		if (json_get_obj(r->health, "sandbox"))
			s->sandbox = json_get_obj(r->health, "sandbox");
	}
	s->model = ask_model(o, a);
}

static void print_json(const struct status *s, struct arena *a)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *roles = yyjson_mut_arr(doc);

	json_add_str(doc, obj, "address", s->address);
	yyjson_mut_obj_add_bool(doc, obj, "ready", s->is_ready);
	yyjson_mut_obj_add_int(doc, obj, "pid", s->pid);
	yyjson_mut_obj_add_int(doc, obj, "rss_kib", s->rss_kib);
	yyjson_mut_obj_add_val(doc, obj, "roles", roles);
	for (size_t i = 0; i < s->n_roles; i++) {
		yyjson_mut_val *role = yyjson_mut_arr_add_obj(doc, roles);
		json_add_str(doc, role, "role", s->roles[i].role);
		yyjson_mut_obj_add_int(doc, role, "pid", s->roles[i].pid);
		yyjson_mut_obj_add_int(doc, role, "rss_kib", s->roles[i].rss_kib);
		yyjson_mut_obj_add_bool(doc, role, "ready", s->roles[i].is_ready);
		yyjson_mut_obj_add_int(doc, role, "restarts", s->roles[i].restarts);
	}
	json_add_raw(doc, obj, "sandbox", s->sandbox ? json_val_text(a, s->sandbox).p : NULL);
	json_add_raw(doc, obj, "model", s->model ? json_val_text(a, s->model).p : NULL);
	out_printf("%s\n", json_text(a, doc).p);
}

static void print_sandbox(yyjson_val *sandbox)
{
	yyjson_val *name, *layer;
	size_t i, n;

	if (!sandbox)
		return;
	out_printf("\nsandbox   %s\n", json_get_str(sandbox, "level", "none"));
	yyjson_obj_foreach(json_get_obj(sandbox, "layers"), i, n, name, layer)
	{
		out_printf("  %-10s  %-3s  %s\n", yyjson_get_str(name),
			   json_get_bool(layer, "ok", false) ? "yes" : "no", json_get_str(layer, "detail", ""));
	}
}

static void print_text(const struct status *s)
{
	out_printf("%-10s  %7s  %9s  %s\n", "role", "pid", "memory", "ready");
	out_printf("%-10s  %7lld  %5lld MiB\n", "up", (long long)s->pid, (long long)rss_kib(s->pid) / 1024);
	for (size_t i = 0; i < s->n_roles; i++) {
		const struct role_status *r = &s->roles[i];
		out_printf("%-10s  %7lld  %5lld MiB  %s", r->role, (long long)r->pid, (long long)r->rss_kib / 1024,
			   r->is_ready ? "yes" : "no");
		if (r->restarts)
			out_printf("  (restarts: %lld)", (long long)r->restarts);
		out_text(STR("\n"));
	}
	out_printf("%-10s  %7s  %5lld MiB  %s\n", "all", "", (long long)s->rss_kib / 1024, s->is_ready ? "yes" : "no");
	out_printf("\naddress   %s\n", s->address);
	if (s->model)
		out_printf("model     %s (%s)\n", json_get_str(s->model, "name", json_get_str(s->model, "id", "none")),
			   json_get_str(s->model, "provider", "unknown"));
	print_sandbox(s->sandbox);
}

static yyjson_val *read_up(const struct options *o, struct arena *a)
{
	char text[8192];
	FILE *f = fopen(arena_printf(a, "%s/run/up.json", option_str(o, "data")), "re");

	if (!f)
		return NULL;
	size_t n = fread(text, 1, sizeof(text), f);
	fclose(f);
	return yyjson_doc_get_root(json_parse(a, text, n, NULL));
}

int cmd_status(const struct command *self, int argc, char **argv)
{
	bool is_json = false;
	const struct flag flags[] = {{"json", NULL, &is_json}};
	struct args args;
	struct status status = {0};
	int r;

	if (!args_read(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	struct arena *a = arena_new();
	yyjson_val *up = read_up(args.options, a);
	/* After a crash of the whole the file is still there. */
	if (args.n_rest) {
		r = usage_error(self, "\"%s\" is too much", args.rest[0]);
	} else if (!up || rss_kib(json_get_int(up, "pid", 0)) == 0) {
		fprintf(stderr, "ogent: nothing runs in %s: start it with `ogent up`\n",
			option_str(args.options, "data"));
		r = EXIT_NOT_RUNNING;
	} else {
		collect(&status, args.options, a, up);
		if (is_json)
			print_json(&status, a);
		else
			print_text(&status);
		r = status.is_ready ? EXIT_OK : EXIT_FAILED;
	}
	arena_free(a);
	args_deinit(&args);
	return r;
}
