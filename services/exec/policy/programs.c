#include "policy/programs.h"

#include <ctype.h>
#include <string.h>

#include "policy/wrappers.h"

/* ---- Options ---- */

bool arg_is_option(struct str arg, const char *option)
{
	struct str wanted = str_of(option), name = arg;

	if (arg.n < 2 || arg.p[0] != '-')
		return false;
	if (wanted.n == 2 && wanted.p[1] != '-')
		return arg.p[1] != '-' && memchr(arg.p + 1, wanted.p[1], arg.n - 1);
	if (str_has_prefix(wanted, STR("--"))) {
		name = str_cut(&arg, '=');
		return name.n > 2 && str_has_prefix(wanted, name);
	}
	name = str_cut(&arg, '=');
	return str_eq(name, wanted);
}

/* Some long options begin alike: "--o" is taken for --output though it may mean another. */
static const char *find_option(const struct arg *args, unsigned n, const char *const *options, struct str *ret_arg)
{
	for (unsigned i = 1; i < n; i++) {
		/* Behind an option it may be that one's value. */
		if (str_is(args[i].text, "--") && (i == 1 || args[i - 1].text.n == 0 || args[i - 1].text.p[0] != '-'))
			return NULL;
		for (const char *const *o = options; *o; o++)
			if (arg_is_option(args[i].text, *o)) {
				*ret_arg = args[i].text;
				return *o;
			}
	}
	return NULL;
}

static unsigned count_positional(const struct arg *args, unsigned n)
{
	unsigned count = 0;
	bool is_over = false;

	for (unsigned i = 1; i < n; i++) {
		if (!is_over && str_is(args[i].text, "--"))
			is_over = true;
		else if (is_over || args[i].text.n < 2 || args[i].text.p[0] != '-')
			count++;
	}
	return count;
}

/* ---- Options of plain programs that run or write ---- */

struct hazard {
	const char *name;
	const char *options[10];
	unsigned positional_max; /* one more is a file that it writes; 0 = any number */
};

static const struct hazard hazards[] = {
	{"cp", {"-S", "--suffix"}, 0},
	{"csplit", {"-f", "--prefix"}, 0},
	{"curl", {"-K", "--config", "-o", "-O", "--output", "--remote-name", "-T", "--upload-file"}, 0},
	{"date", {"-s", "--set"}, 0},
	{"diff", {"-l", "--paginate"}, 0},
	{"fd", {"-x", "-X", "--exec", "--exec-batch"}, 0},
	{"fdfind", {"-x", "-X", "--exec", "--exec-batch"}, 0},
	{"file", {"-C", "--compile", "-z", "-Z", "--uncompress", "--uncompress-noreport"}, 0},
	{"hostname", {"-F", "--file", "-b", "--boot"}, 1},
	{"install", {"--strip-program", "-s", "--strip"}, 0},
	{"jq", {"-i", "--in-place"}, 0},
	{"rg", {"--pre", "--hostname-bin", "-z", "--search-zip"}, 0},
	{"shuf", {"-o", "--output"}, 0},
	{"sort", {"-o", "--output", "--compress-program"}, 0},
	{"split", {"--filter"}, 0},
	{"tree", {"-o", "-R"}, 0},
	{"uniq", {NULL}, 1},
	{"wget", {"-O", "--output-document", "--use-askpass", "--execute", "-e"}, 0},
	{"xxd", {"-r", "-revert"}, 0},
	{"yq", {"-i", "--inplace", "--in-place", "-s", "--split-exp"}, 0},
};

/* Of a program whose options are known. */
static void look_for_unknown(const struct option_set *set, const struct arg *args, unsigned n,
			     struct program_inside *ret)
{
	unsigned end, at = set ? options_find_unknown(set, args, n, true, &end) : 0;

	if (!at)
		return;
	ret->hazard = "an option that is not known";
	ret->hazard_arg = args[at].text;
}

static void look_at_options(const char *name, const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(hazards); i++) {
		if (strcmp(hazards[i].name, name) != 0)
			continue;
		ret->hazard = find_option(args, n, hazards[i].options, &ret->hazard_arg);
		if (!ret->hazard && hazards[i].positional_max &&
		    count_positional(args, n) > hazards[i].positional_max) {
			ret->hazard = "a file that it writes";
			ret->hazard_arg = args[n - 1].text;
		}
	}
	if (!ret->hazard)
		look_for_unknown(options_of(name), args, n, ret);
}

/* An argument that is no format sets the clock. */
static void look_into_date(const struct arg *args, unsigned n, struct program_inside *ret)
{
	static const char *const with_value[] = {"-d", "-f", "-r", "--date", "--file", "--reference"};

	for (unsigned i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		bool takes = false;

		for (size_t k = 0; k < ARRAY_SIZE(with_value); k++)
			takes |= str_is(a, with_value[k]);
		i += takes;
		if (takes || a.n == 0 || a.p[0] == '-' || a.p[0] == '+')
			continue;
		ret->hazard = "a time to set";
		ret->hazard_arg = a;
	}
}

static bool is_number(struct str s)
{
	size_t i = s.n > 1 && (s.p[0] == '+' || s.p[0] == '-');

	while (i < s.n && (isxdigit((unsigned char)s.p[i]) || s.p[i] == 'x'))
		i++;
	return s.n > 0 && i == s.n;
}

/* Behind the file that it reads stands the one that it writes, also when that begins with '-'. */
static void look_into_xxd(const struct arg *args, unsigned n, struct program_inside *ret)
{
	static const char *const with_number[] = {"-c", "-g", "-l", "-s", "-o"};
	bool is_over = false, has_file = false;

	for (unsigned i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		bool takes = false;

		for (size_t k = 0; k < ARRAY_SIZE(with_number); k++)
			takes |= str_is(a, with_number[k]);
		if (has_file) {
			ret->hazard = "a file that it writes";
			ret->hazard_arg = a;
		} else if (is_over || a.n < 2 || a.p[0] != '-') {
			has_file = true;
		} else {
			is_over = str_is(a, "--");
			i += takes && i + 1 < n && is_number(args[i + 1].text);
		}
	}
}

/* ---- find ---- */

static unsigned find_end(const struct arg *args, unsigned n, unsigned i)
{
	while (i < n && !str_is(args[i].text, ";") && !(str_is(args[i].text, "+") && str_is(args[i - 1].text, "{}")))
		i++;
	return i;
}

/* Behind an option of find: how many arguments it takes; -1 = it is not known. */
static int find_takes(struct str a)
{
	static const char *const alone =
		" -H -L -P -O0 -O1 -O2 -O3 -a -and -o -or -not -true -false -print -print0 -ls -prune -quit -depth -d "
		"-daystart -follow -ignore_readdir_race -noignore_readdir_race -mount -xdev -noleaf -nowarn -warn "
		"-empty "
		"-executable -readable -writable -nogroup -nouser -help --help -version --version ";
	static const char *const with_value =
		" -D -printf -maxdepth -mindepth -regextype -amin -anewer -atime -cmin -cnewer -ctime -fstype -gid "
		"-group "
		"-ilname -iname -inum -ipath -iwholename -iregex -links -lname -mmin -mtime -name -newer -path "
		"-wholename -perm -regex -samefile -size -type -uid -used -user -xtype -context -files0-from ";
	char word[32];

	if (a.n + 3 > sizeof(word) || memchr(a.p, ' ', a.n))
		return -1;
	word[0] = ' ';
	memcpy(word + 1, a.p, a.n);
	memcpy(word + 1 + a.n, " ", 2);
	if (strstr(alone, word))
		return 0;
	return strstr(with_value, word) || (str_has_prefix(a, STR("-newer")) && a.n == 8) ? 1 : -1;
}

static void look_for_unknown_of_find(const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (unsigned i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		int takes = a.n < 2 || a.p[0] != '-' || str_is(a, "--") ? 0 : find_takes(a);

		if (takes < 0) {
			ret->hazard = "an expression that is not known";
			ret->hazard_arg = a;
		}
		i += takes > 0;
	}
}

static void look_into_find(const struct arg *args, unsigned n, unsigned from, struct program_inside *ret)
{
	static const char *const runs[] = {"-exec", "-execdir", "-ok", "-okdir"};
	static const char *const writes[] = {"-delete", "-fprint", "-fprint0", "-fprintf", "-fls"};

	for (unsigned i = MAX(from, 1u); i < n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(writes); k++)
			if (str_is(args[i].text, writes[k])) {
				ret->hazard = writes[k];
				ret->hazard_arg = args[i].text;
			}
		for (size_t k = 0; k < ARRAY_SIZE(runs); k++) {
			if (!str_is(args[i].text, runs[k]))
				continue;
			ret->hazard = runs[k];
			ret->hazard_arg = args[i].text;
			ret->inner = args + i + 1;
			ret->n_inner = find_end(args, n, i + 1) - i - 1;
			ret->at = i + 1 + ret->n_inner;
			return;
		}
	}
	if (from == 0)
		look_for_unknown_of_find(args, n, ret);
}

/* ---- sed ---- */

/* From '[' on to behind its ']'. In it a separator stands for itself, which not every sed sees alike: with one in it,
 * or anything else that is not plain, SIZE_MAX. */
static size_t sed_bracket(struct str s, size_t i, char sep)
{
	if (sep == '^' || sep == ':')
		return SIZE_MAX;
	i++;
	i += i < s.n && s.p[i] == '^';
	i += i < s.n && s.p[i] == ']';
	for (; i < s.n && s.p[i] != ']'; i++) {
		if (s.p[i] == '[' && i + 1 < s.n && s.p[i + 1] == ':') { /* [:alpha:] */
			for (i += 2; i < s.n && islower((unsigned char)s.p[i]); i++)
				;
			if (i + 1 >= s.n || s.p[i] != ':' || s.p[i + 1] != ']')
				return SIZE_MAX;
			i++;
		} else if (s.p[i] == sep || strchr("[\\\n", s.p[i])) {
			return SIZE_MAX;
		}
	}
	return i < s.n ? i + 1 : SIZE_MAX;
}

/* An address: a number, $, or /pattern/ without a backslash; or none. */
static size_t sed_address(struct str s, size_t i)
{
	if (i < s.n && s.p[i] == '$')
		return i + 1;
	if (i < s.n && s.p[i] == '/') {
		for (i++; i < s.n && s.p[i] != '/';) {
			if (s.p[i] == '\\' || s.p[i] == '\n')
				return SIZE_MAX;
			i = s.p[i] == '[' ? sed_bracket(s, i, '/') : i + 1;
		}
		return i < s.n ? i + 1 : SIZE_MAX;
	}
	while (i < s.n && isdigit((unsigned char)s.p[i]))
		i++;
	return i;
}

/* Behind `s`: two parts and flags that only print. */
static size_t sed_substitution(struct str s, size_t i)
{
	char sep = i < s.n ? s.p[i] : 0;
	unsigned parts = 0;

	if (!sep || isalnum((unsigned char)sep) || strchr("\\\n []", sep))
		return SIZE_MAX;
	for (i++; i < s.n && parts < 2;) {
		if (s.p[i] == '\n')
			return SIZE_MAX;
		if (s.p[i] == '[' && parts == 0) {
			i = sed_bracket(s, i, sep);
			continue;
		}
		if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] != '\n')
			i++;
		else if (s.p[i] == sep)
			parts++;
		i++;
	}
	while (i < s.n && (strchr("gpiI", s.p[i]) || isdigit((unsigned char)s.p[i])))
		i++;
	return parts == 2 ? i : SIZE_MAX;
}

/* Only printing, deleting lines, quitting, counting, and substituting: nothing that runs (e), reads or writes files. */
static bool sed_is_harmless(struct str s)
{
	size_t i = 0;

	for (;;) {
		while (i < s.n && (s.p[i] == ' ' || s.p[i] == ';'))
			i++;
		if (i == s.n)
			return true;
		i = sed_address(s, i);
		if (i < s.n && s.p[i] == ',')
			i = sed_address(s, i + 1);
		while (i < s.n && (s.p[i] == '!' || s.p[i] == ' '))
			i++;
		if (i >= s.n)
			return false;
		if (s.p[i] == 's')
			i = sed_substitution(s, i + 1);
		else if (strchr("pdq=PnNDgGhHxQ", s.p[i]))
			i++;
		else
			return false;
		if (i > s.n || (i < s.n && s.p[i] != ';' && s.p[i] != ' '))
			return false;
	}
}

/* Options are taken one by one: -n, -E, -r, -u, -z, -s and -e SCRIPT; another is a hazard. */
static void look_into_sed(const struct arg *args, unsigned n, struct program_inside *ret)
{
	bool has_script = false;
	unsigned i;

	for (i = 1; i < n && !ret->hazard; i++) {
		struct str a = args[i].text;
		size_t k = 1;

		if (a.n < 2 || a.p[0] != '-') {
			if (!has_script && !sed_is_harmless(a))
				ret->hazard = "a script that may run or write";
			has_script = true;
			continue;
		}
		while (k < a.n && strchr("nEruzs", a.p[k]))
			k++;
		if (k == a.n)
			continue;
		if (a.p[k] != 'e' || k + 1 != a.n || i + 1 == n || !sed_is_harmless(args[i + 1].text))
			ret->hazard = "an option that may run or write";
		/* A script that was first without -e is read as a file name then: harmless. */
		has_script = true;
		i++;
	}
	if (ret->hazard)
		ret->hazard_arg = args[MIN(i - 1, n - 1)].text;
}

/* ---- git ---- */

static bool git_takes_value(struct str a)
{
	static const char *const with_value[] = {"-C",          "-c",           "--git-dir",      "--work-tree",
						 "--namespace", "--config-env", "--super-prefix", "--attr-source",
						 "--exec-path", "--list-cmds"};

	for (size_t i = 0; i < ARRAY_SIZE(with_value); i++)
		if (str_is(a, with_value[i]))
			return true;
	return false;
}

static unsigned git_subcommand_at(const struct arg *args, unsigned n)
{
	unsigned i = 1;

	while (i < n && args[i].text.n > 1 && args[i].text.p[0] == '-')
		i += git_takes_value(args[i].text) ? 2 : 1;
	return i;
}

struct str program_subcommand(const struct arg *args, unsigned n)
{
	unsigned i = git_subcommand_at(args, n);

	return i < n ? args[i].text : STR("");
}

bool program_git_reads(struct str subcommand)
{
	static const char *const reads[] = {"log",      "status",   "rev-parse", "rev-list", "ls-files", "ls-tree",
					    "describe", "shortlog", "version",   "show-ref", "name-rev", "merge-base"};

	for (size_t i = 0; i < ARRAY_SIZE(reads); i++)
		if (str_is(subcommand, reads[i]))
			return true;
	return false;
}

/* Before the subcommand everything can redirect git to other settings; behind it a few options run or write. */
static void look_into_git(const struct arg *args, unsigned n, struct program_inside *ret)
{
	static const char *const bad[] = {"--output", "--ext-diff", "--textconv", "--show-signature", "--upload-pack",
					  "--receive-pack", "--exec", "--open-files-in-pager", "--parseopt", "--help",
					  "--submodule", "--no-index",
					  /* A submodule's own settings are not quietened. */
					  "--recurse-submodules", "--ignore-submodules",
					  /* What compares files with the index reads them through filters. */
					  "--dirty", "--broken", "--modified", "--alternate-refs", NULL};
	/* Patches are made by programs that the repository's settings name. */
	static const char *const patches[] = {"-p",
					      "-u",
					      "-c",
					      "-m",
					      "-S",
					      "-G",
					      "-L",
					      "-U",
					      "-W",
					      "--patch",
					      "--cc",
					      "--patch-with-stat",
					      "--patch-with-raw",
					      "--unified",
					      "--word-diff",
					      "--color-words",
					      "--function-context",
					      "--remerge-diff",
					      "--diff-merges",
					      "--dd",
					      "--binary",
					      "--check",
					      NULL};
	static const char *const of_status[] = {"-v", "--verbose", NULL}; /* a patch too */
	unsigned at = git_subcommand_at(args, n);

	if (at > 1 && n > 1) {
		for (unsigned i = 1; i < MIN(at, n) && !ret->hazard; i++)
			if (!str_is(args[i].text, "--no-pager") && !str_is(args[i].text, "--no-optional-locks") &&
			    !str_is(args[i].text, "--version")) {
				ret->hazard = "an option before the subcommand";
				ret->hazard_arg = args[i].text;
			}
	}
	if (!ret->hazard && at < n)
		ret->hazard = find_option(args + at, n - at, bad, &ret->hazard_arg);
	if (!ret->hazard && at < n && !str_is(args[at].text, "status"))
		ret->hazard = find_option(args + at, n - at, patches, &ret->hazard_arg);
	if (!ret->hazard && at < n && str_is(args[at].text, "status"))
		ret->hazard = find_option(args + at, n - at, of_status, &ret->hazard_arg);
	for (unsigned i = at + 1; i < n && !ret->hazard; i++)
		if (str_has_prefix(args[i].text, STR("-O")) || str_has_prefix(args[i].text, STR("--format=%G")) ||
		    memmem(args[i].text.p, args[i].text.n, "%G", 2)) {
			ret->hazard = "an option that runs a helper";
			ret->hazard_arg = args[i].text;
		}
}

/* ---- Wrappers ---- */

/* From `at` on any argument may be the program; they are given one by one. */
static void guess(const struct arg *args, unsigned n, unsigned at, struct program_inside *ret)
{
	while (at < n && args[at].text.n && args[at].text.p[0] == '-')
		at++;
	if (at >= n)
		return;
	ret->inner = args + at;
	ret->n_inner = n - at;
	ret->is_guess = true;
	/* Some take a line for the shell. */
	if (memchr(args[at].text.p, ' ', args[at].text.n))
		ret->inner_script = args[at].text;
	ret->at = at + 1 < n ? at + 1 : 0;
}

static void doubt(struct program_inside *ret, struct str arg, const char *why)
{
	if (ret->hazard)
		return;
	ret->hazard = why;
	ret->hazard_arg = arg;
}

static bool has_shape(const struct wrapper *w, struct str arg)
{
	for (size_t i = 0; w->shape && i < arg.n; i++)
		if (!strchr(w->shape, arg.p[i]))
			return false;
	return arg.n > 0;
}

static void look_into_wrapper(const struct wrapper *w, const struct arg *args, unsigned n, unsigned from,
			      struct program_inside *ret)
{
	unsigned end = 1, unknown = 0, first;

	if (from || w->is_vague) {
		guess(args, n, MAX(from, 1u), ret);
		return;
	}
	unknown = options_find_unknown(&w->set, args, n, false, &end);
	ret->hazard = find_option(args, unknown ? n : end, w->bad, &ret->hazard_arg);
	if (unknown) {
		doubt(ret, args[unknown].text, "an option that is not known");
		guess(args, n, unknown + 1, ret);
		return;
	}
	while (w->has_env && end < n && str_is(args[end].text, "-"))
		end++;
	first = end;
	while (w->has_env && end < n && memchr(args[end].text.p, '=', args[end].text.n))
		end++;
	ret->env = args + MIN(first, n);
	ret->n_env = end - first;
	for (unsigned i = 0; i < w->positional && end < n; i++, end++)
		if (!has_shape(w, args[end].text)) {
			doubt(ret, args[end].text, "an argument that is not understood");
			guess(args, n, end, ret);
			return;
		}
	if (end >= n)
		return;
	ret->inner = args + end;
	ret->n_inner = n - end;
	/* watch and ssh hand it to a shell. */
	if (memchr(args[end].text.p, ' ', args[end].text.n))
		ret->inner_script = args[end].text;
}

/* A git that a rule allows is kept from its helpers by variables, which env would take away. */
static void look_for_cleared(const struct arg *args, unsigned n, struct program_inside *ret)
{
	bool is_cleared = false;
	char name[PROGRAM_NAME_SIZE];

	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text;

		is_cleared |= str_is(a, "-") || arg_is_option(a, "-i") || arg_is_option(a, "-u") ||
			      arg_is_option(a, "--ignore-environment") || arg_is_option(a, "--unset");
		program_base_name(a, name);
		if (is_cleared && strcmp(name, "git") == 0)
			doubt(ret, a, "variables that are taken away");
	}
}

/* env -S TEXT, with the text in the same argument or the next one. */
static void look_into_split(const struct arg *args, unsigned n, struct program_inside *ret)
{
	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text, rest = a;
		const char *s = a.n > 1 && a.p[0] == '-' && a.p[1] != '-' ? memchr(a.p, 'S', a.n) : NULL;

		if (s)
			rest = (struct str){s + 1, (size_t)(a.p + a.n - s) - 1};
		else if (arg_is_option(a, "--split-string"))
			str_cut(&rest, '=');
		else
			continue;
		ret->inner_script = rest.n || i + 1 == n ? rest : args[i + 1].text;
		ret->is_split = true;
		return;
	}
}

static const char *const shells[] = {"ash",   "bash", "dash", "ksh",  "mksh", "posh",
				     "rbash", "rksh", "sh",   "yash", "zsh"};

static bool is_shell(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (strcmp(name, shells[i]) == 0)
			return true;
	return false;
}

/* How many of the following arguments a shell's option takes: -o and -O a name each. */
static unsigned shell_option_takes(struct str a)
{
	unsigned n = 0;

	if (a.p[1] == '-')
		return arg_is_option(a, "--rcfile") || arg_is_option(a, "--init-file") ? 1 : 0;
	for (size_t i = 1; i < a.n; i++)
		n += a.p[i] == 'o' || a.p[i] == 'O';
	return n;
}

/* sh -c TEXT: the first argument behind the options. */
static void look_into_shell(const struct arg *args, unsigned n, struct program_inside *ret)
{
	unsigned values = 0;
	bool is_text = false;

	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text;

		if (str_is(a, "--") || str_is(a, "-")) {
			values = 0;
		} else if (a.n > 1 && (a.p[0] == '-' || a.p[0] == '+')) {
			is_text |= arg_is_option(a, "-c") || arg_is_option(a, "--command");
			values += shell_option_takes(a);
		} else if (values > 0) {
			values--;
		} else {
			if (is_text)
				ret->inner_script = a;
			return;
		}
	}
}

/* Of su and the like -c TEXT may stand anywhere. */
static void look_for_text(const struct arg *args, unsigned n, struct program_inside *ret)
{
	const char *c;

	for (unsigned i = 1; i < n; i++) {
		struct str a = args[i].text;

		if (str_has_prefix(a, STR("--command="))) {
			str_cut(&a, '=');
			ret->inner_script = a;
			return;
		}
		if (!arg_is_option(a, "-c") && !arg_is_option(a, "--command"))
			continue;
		c = a.p[1] == '-' ? NULL : memchr(a.p, 'c', a.n);
		if (c && c + 1 < a.p + a.n) { /* -cTEXT, -qcTEXT */
			ret->inner_script = (struct str){c + 1, (size_t)(a.p + a.n - c) - 1};
			return;
		}
		for (i++; i < n && args[i].text.n > 1 && args[i].text.p[0] == '-'; i++)
			;
		if (i < n)
			ret->inner_script = args[i].text;
		return;
	}
}

/* NAME=TEXT, one after the other. */
static void look_into_alias(const struct arg *args, unsigned n, unsigned from, struct program_inside *ret)
{
	unsigned i = MAX(from, 1u);
	struct str rest;

	if (i >= n)
		return;
	rest = args[i].text;
	str_cut(&rest, '=');
	if (rest.p)
		ret->inner_script = rest;
	ret->at = i + 1 < n ? i + 1 : 0;
}

/* Programs that hand the rest to a shell: the words as a text. */
static bool takes_option_script(const char *name)
{
	return strcmp(name, "flock") == 0 || strcmp(name, "su") == 0 || strcmp(name, "runuser") == 0 ||
	       strcmp(name, "script") == 0;
}

void program_look_inside(const struct arg *args, unsigned n, unsigned from, struct program_inside *ret)
{
	const struct wrapper *w;
	char name[PROGRAM_NAME_SIZE];

	*ret = (struct program_inside){0};
	if (n == 0)
		return;
	program_base_name(args[0].text, name);
	if (strcmp(name, "find") == 0)
		look_into_find(args, n, from, ret);
	else if (strcmp(name, "sed") == 0)
		look_into_sed(args, n, ret);
	else if (strcmp(name, "git") == 0)
		look_into_git(args, n, ret);
	else if (is_shell(name))
		look_into_shell(args, n, ret);
	else
		look_at_options(name, args, n, ret);
	if (strcmp(name, "date") == 0)
		look_into_date(args, n, ret);
	if (strcmp(name, "xxd") == 0)
		look_into_xxd(args, n, ret);
	w = wrapper_of(name);
	if (!w)
		w = runner_of(name);
	if (!w && (str_has_prefix(str_of(name), STR("ld-")) || str_has_prefix(str_of(name), STR("ld.so"))))
		w = runner_of("ld.so");
	if (w)
		look_into_wrapper(w, args, n, from, ret);
	if (strcmp(name, "alias") == 0)
		look_into_alias(args, n, from, ret);
	if (from)
		return;
	if (strcmp(name, "eval") == 0 || strcmp(name, "builtin") == 0) {
		ret->inner = args + 1;
		ret->n_inner = n - 1;
	}
	if (strcmp(name, "eval") == 0 && n > 1 && memchr(args[1].text.p, ' ', args[1].text.n))
		ret->inner_script = args[1].text;
	if (takes_option_script(name) && !ret->inner_script.p)
		look_for_text(args, n, ret);
	if (strcmp(name, "env") == 0) {
		look_into_split(args, n, ret);
		look_for_cleared(args, n, ret);
	}
	if (strcmp(name, "trap") == 0 && n > 2)
		ret->inner_script = args[str_is(args[1].text, "--") ? 2 : 1].text;
}
