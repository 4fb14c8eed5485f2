#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "base/alloc.h"
#include "output.h"

extern char **environ;

static void on_fault(void *arg, const struct error *err)
{
	unsigned *n = arg;

	++*n;
	fprintf(stderr, "ogent: %s\n", err->message);
}

/* Names of the command line's own, which are in no table. */
static bool is_other_variable(const char *name)
{
	static const char *const names[] = {"config", "url", "token"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static bool is_option_or_its_file(const char *name)
{
	char base[64];
	size_t n = strlen(name);

	if (option_is_known(name))
		return true;
	if (n < 6 || n - 5 >= sizeof(base) || strcmp(name + n - 5, "_file"))
		return false;
	snprintf(base, sizeof(base), "%.*s", (int)(n - 5), name);
	return option_is_known(base);
}

/* Container engines put OGENT_… of their own into the environment, so that an unknown one is no fault. */
static void warn_of_variable(const char *entry)
{
	char name[64];
	size_t n = strcspn(entry, "=");

	if (strncmp(entry, "OGENT_", 6) || n - 6 >= sizeof(name))
		return;
	for (size_t i = 6; i <= n; i++)
		name[i - 6] = i < n ? (char)tolower((unsigned char)entry[i]) : '\0';
	if (is_other_variable(name) || is_option_or_its_file(name))
		return;
	const char *near = option_nearest(name);
	fprintf(stderr, "ogent: warning: the variable %.*s is no option and is not read", (int)n, entry);
	if (near)
		fprintf(stderr, "; did you mean the option %s?", near);
	fputs("\n", stderr);
}

static int check(const struct args *args)
{
	unsigned n_faults = 0;
	const char *conf = args_conf(args);

	options_free(options_load_all(conf, args->given, args->n_given, on_fault, &n_faults));
	for (char **entry = environ; *entry; entry++)
		warn_of_variable(*entry);
	if (n_faults) {
		fprintf(stderr, "ogent: %u fault%s in the configuration\n", n_faults, n_faults == 1 ? "" : "s");
		return EXIT_USAGE;
	}
	if (conf)
		out_printf("The configuration is right (%s, environment, command line).\n", conf);
	else
		out_printf("The configuration is right (no file, environment, command line).\n");
	return EXIT_OK;
}

static void add_item(yyjson_mut_doc *doc, yyjson_mut_val *items, const struct option_info *o)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, items);

	json_add_str(doc, item, "name", o->name);
	json_add_str(doc, item, "type", o->type);
	json_add_str(doc, item, "value", o->value);
	yyjson_mut_obj_add_bool(doc, item, "secret", o->is_secret);
	yyjson_mut_obj_add_bool(doc, item, "set", o->is_set);
	json_add_str(doc, item, "source", o->source);
	json_add_str(doc, item, "place", o->place);
	json_add_str(doc, item, "default", o->def);
	json_add_str(doc, item, "one_of", o->one_of);
	json_add_str(doc, item, "variable", o->variable);
	json_add_str(doc, item, "alias", o->alias);
	json_add_str(doc, item, "help", o->help);
}

static void print_json(const struct args *args, const struct options *options)
{
	struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	struct option_info o;

	json_add_str(doc, obj, "file", args_conf(args));
	yyjson_mut_val *items = yyjson_mut_obj_add_arr(doc, obj, "items");
	for (size_t i = 0; option_info(options, i, &o); i++)
		add_item(doc, items, &o);
	out_printf("%s\n", json_text(a, doc).p);
	arena_free(a);
}

/* In the form of ogent.conf, so that it can be made into one. */
static void print_text(const struct options *options)
{
	struct option_info o;

	for (size_t i = 0; option_info(options, i, &o); i++) {
		const char *from = *o.place ? o.place : o.source;

		if (!o.is_secret)
			out_printf("%s = %s    ; %s\n", o.name, o.value, from);
		else
			out_printf("; %s is %s    ; %s\n", o.name, o.is_set ? "set, not shown" : "not set", from);
	}
}

static int show(const struct args *args, bool is_json)
{
	struct error err = {0};
	struct options *o = options_load(args_conf(args), args->given, args->n_given, &err);

	if (!o) {
		fprintf(stderr, "ogent: %s\n", err.message);
		return EXIT_USAGE;
	}
	if (is_json)
		print_json(args, o);
	else
		print_text(o);
	options_free(o);
	return EXIT_OK;
}

int cmd_config(const struct command *self, int argc, char **argv)
{
	bool is_json = false;
	const struct flag flags[] = {{"json", NULL, &is_json}};
	struct args args;
	int r;

	if (!args_read_line(self, argc, argv, flags, ARRAY_SIZE(flags), &args, &r))
		return r;
	const char *what = args.n_rest == 1 ? args.rest[0] : "";
	if (!strcmp(what, "check") && !is_json)
		r = check(&args);
	else if (!strcmp(what, "show"))
		r = show(&args, is_json);
	else
		r = usage_error(self, "say what to do: check or show");
	args_deinit(&args);
	return r;
}
