#include "args.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

int usage_error(const struct command *self, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "ogent %s: ", self->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nUsage: ogent %s%s%s. `ogent help %s` says more.\n", self->name, *self->arguments ? " " : "",
		self->arguments, self->name);
	return EXIT_USAGE;
}

/* Where the help has the verb's line, or NULL. */
static const char *find_verb(const char *help, const char *verb)
{
	size_t n = strlen(verb);

	for (const char *line = help; line && *line; line = (line = strchr(line, '\n')) ? line + 1 : NULL)
		if (!strncmp(line, "  ", 2) && !strncmp(line + 2, verb, n) && strchr(" \n", line[2 + n]))
			return line + 2;
	return NULL;
}

int usage_error_of_verb(const struct command *self, const char *verb, const char *what)
{
	const char *line = find_verb(self->help, verb);
	const char *gap = line ? strstr(line, "   ") : NULL;
	size_t n = line ? strcspn(line, "\n") : 0;

	if (!line)
		return usage_error(self, "%s %s", verb, what);
	if (gap && gap < line + n) /* what it is for stands behind it */
		n = (size_t)(gap - line);
	fprintf(stderr, "ogent %s: %s %s\nUsage: ogent %s %.*s. `ogent help %s` says more.\n", self->name, verb, what,
		self->name, (int)n, line, self->name);
	return EXIT_USAGE;
}

static const struct flag *find_flag(const struct flag *flags, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(flags[i].name, name) == 0)
			return &flags[i];
	return NULL;
}

/* One argument that starts with "--", in `name` without the dashes; `value` is what stands behind its '=', or NULL.
 * Returns how many arguments it took, or 0 after printing an error. */
static int take_flag(const struct command *self, char *name, char *value, char *next, const struct flag *flags,
		     size_t n_flags, struct args *ret)
{
	const struct flag *f = find_flag(flags, n_flags, name);
	int taken = value ? 1 : 2;

	if (f && f->is_set) {
		if (value)
			return usage_error(self, "--%s takes no value", name), 0;
		*f->is_set = true;
		return 1;
	}
	if (!value)
		value = next;
	if (!value)
		return usage_error(self, "--%s needs a value", name), 0;
	if (f)
		*f->value = value;
	else if (strcmp(name, "config") == 0)
		ret->conf_path = value;
	else if (ret->n_given < ARGS_MAX_OPTIONS)
		ret->given[ret->n_given++] = (struct option_arg){name, value};
	return taken;
}

/* Also accepts the names of the table with dashes. */
static bool is_option(const char *name)
{
	char plain[64];

	snprintf(plain, sizeof(plain), "%s", name);
	for (char *c = plain; *c; c++)
		if (*c == '-')
			*c = '_';
	size_t n = strlen(plain);
	if (option_is_known(plain))
		return true;
	if (n > 5 && strcmp(plain + n - 5, "_file") == 0)
		plain[n - 5] = '\0';
	return option_is_known(plain);
}

static bool read_line(const struct command *self, int argc, char **argv, const struct flag *flags, size_t n_flags,
		      struct args *ret, int *ret_exit)
{
	ret->rest = xcalloc((size_t)argc + 1, sizeof(char *));
	for (int i = 1; i < argc;) {
		char *arg = argv[i];
		if (strcmp(arg, "--") == 0) {
			while (++i < argc)
				ret->rest[ret->n_rest++] = argv[i];
			break;
		}
		if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			command_print_help(self);
			*ret_exit = EXIT_OK;
			return false;
		}
		if (arg[0] != '-' || !arg[1]) {
			ret->rest[ret->n_rest++] = arg;
			i++;
			continue;
		}
		char *value = strchr(arg, '=');
		if (value)
			*value++ = '\0';
		char *name = arg + 2;
		*ret_exit = EXIT_USAGE;
		if (arg[1] != '-' || !(find_flag(flags, n_flags, name) || !strcmp(name, "config") || is_option(name))) {
			usage_error(self, "there is no option %s", arg);
			return false;
		}
		int taken = take_flag(self, name, value, i + 1 < argc ? argv[i + 1] : NULL, flags, n_flags, ret);
		if (!taken)
			return false;
		i += taken;
	}
	return true;
}

/* What is wrong here is reported when the options are loaded in earnest. */
static void ignore_fault(void *arg, const struct error *err)
{
}

static bool is_data_given(const struct args *a)
{
	const char *variable = getenv("OGENT_DATA");

	for (size_t i = 0; i < a->n_given; i++)
		if (strcmp(a->given[i].name, "data") == 0)
			return true;
	return variable && *variable;
}

/* <data>/ogent.conf if it is there; the data folder is known without it. Otherwise the machine's, which only its
 * administrator and its service can read, unless another folder was asked for. */
static char *default_conf(const struct args *a)
{
	struct options *o = options_load_all(NULL, a->given, a->n_given, ignore_fault, NULL);
	char *path = xasprintf("%s/ogent.conf", option_str(o, "data"));

	options_free(o);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return !is_data_given(a) && access(ARGS_MACHINE_CONF, R_OK) == 0 ? xstrdup(ARGS_MACHINE_CONF) : NULL;
}

bool args_read_line(const struct command *self, int argc, char **argv, const struct flag *flags, size_t n_flags,
		    struct args *ret, int *ret_exit)
{
	const char *named = getenv("OGENT_CONFIG");

	*ret = (struct args){0};
	if (!read_line(self, argc, argv, flags, n_flags, ret, ret_exit)) {
		args_deinit(ret);
		return false;
	}
	if (!ret->conf_path && named && *named)
		ret->conf_path = named;
	if (!ret->conf_path)
		ret->found_conf = default_conf(ret);
	return true;
}

const char *args_conf(const struct args *a)
{
	return a->conf_path ? a->conf_path : a->found_conf;
}

bool args_read(const struct command *self, int argc, char **argv, const struct flag *flags, size_t n_flags,
	       struct args *ret, int *ret_exit)
{
	struct error err = {0};

	if (!args_read_line(self, argc, argv, flags, n_flags, ret, ret_exit))
		return false;
	ret->options = options_load(args_conf(ret), ret->given, ret->n_given, &err);
	if (ret->options)
		return true;
	fprintf(stderr, "ogent: %s\n", err.message);
	args_deinit(ret);
	*ret_exit = EXIT_USAGE;
	return false;
}

void args_deinit(struct args *a)
{
	options_free(a->options);
	free(a->rest);
	free(a->found_conf);
	a->options = NULL;
	a->rest = NULL;
	a->found_conf = NULL;
}
