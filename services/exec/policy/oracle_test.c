/* bash as the judge of our lexer: scripts are made up, and of each that we call provable bash -n must accept it, must
 * see the same structure (declare -f), and must see exactly the same words. `test-exec-policy-oracle N [SEED]` tries N;
 * the unit test tries fewer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "policy/script.h"

#define CHUNK 4000

static const struct script_limits limits = {64 << 10, 32 << 10, 4096, 8};
static unsigned long long wanted = 20000, seed = 20261122;
static unsigned long long tried, accepted;

/* ---- Scripts ---- */

static unsigned pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

static const char *const plain[] = {
	"a",       "ls",   "b c",  "x=y",    "-l",   "--opt=v", "2",        "10",        "a#b",      "hello!",
	"]",       "^",    "%",    "@",      "+",    ",",       ":",        "=",         "-",        "/a/b",
	"./x",     "..",   "if",   "in",     "do",   "done",    "\xc3\xa4", "'a'",       "'a b'",    "\"c\"",
	"\"c d\"", "''",   "\"\"", "'$x'",   "'`'",  "'\"'",    "\"'\"",    "\"\\\"\"",  "\"\\\\\"", "\"\\$x\"",
	"\"\\a\"", "'\\'", "'*'",  "\"*\"",  "'~'",  "\"#\"",   "'#'",      "\"{a,b}\"", "';'",      "'&&'",
	"\"|\"",   "cd",   "echo", "printf", "test", "1",       "0",        "a2",        "'2'",      "\xe2\x82\xac",
	"\"!\"",   "!",    "a!",   "time",   "x+=y", "_",       "A1=b",
};
static const char *const joints[] = {" ",    "  ",   "\t", " ; ", ";",  " && ", "&&", " || ", "||", " | ",
				     "|",    " > ",  ">",  " 2>", "2>", " >> ", ">>", " < ",  "<",  " 2>&1 ",
				     "2>&1", " >&2", "1>", " 0<", " ",  " ",    " ",  " ",    " ",  ""};
static const char *const nasty[] = {
	"$x",  "$(a)", "`a`",     "\\", "\\\n", "\n",   "\r",           "*",    "?",      "[",   "{",    "}",    "(",
	")",   "#",    "&",       "~",  "<<E",  "<(a)", "\xe2\x80\x8b", "\x01", "\"$x\"", "\"`", "'",    "\"",   ";;",
	"|&",  "&>",   ">|",      "3>", "A=b ", "! ",   "[[ ",          "if ",  "for ",   "{ ",  "\xff", "\x7f", "$'a'",
	"a=~", "=(",   "\xc2\xa0"};

static struct str make_script(struct arena *a)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;
	unsigned n = 1 + pick(8), nastiness = pick(3) ? 0 : 1 + pick(30);

	for (unsigned i = 0; i < n; i++) {
		buf_add_str(&b, plain[pick(ARRAY_SIZE(plain))]);
		if (pick(100) < nastiness)
			buf_add_str(&b, nasty[pick(ARRAY_SIZE(nasty))]);
		if (pick(5) == 0)
			buf_add_str(&b, plain[pick(ARRAY_SIZE(plain))]);
		buf_add_str(&b, i + 1 < n || pick(20) == 0 ? joints[pick(ARRAY_SIZE(joints))] : "");
	}
	/* A byte that is other than it was. */
	if (pick(6) == 0)
		b.p[pick((unsigned)b.n)] = " \t'\"\\$`;|&<>(){}#~*?[]!=a1-/\n"[pick(30)];
	return arena_str(a, buf_str(&b));
}

/* ---- What we make of one ---- */

static void add_source(struct buf *b, struct str text, const struct script_word *w)
{
	buf_add(b, text.p + w->at, w->end - w->at);
}

/* As bash prints it in a function. */
static void add_structure(struct buf *b, struct str text, const struct script *s)
{
	static const char *const ops[] = {"", ";\n    ", " && ", " || ", " | "};

	for (unsigned i = 0; i < s->n; i++) {
		const struct script_command *c = &s->commands[i];
		bool is_last = i + 1 == s->n;

		for (unsigned w = 0; w < c->n_words; w++) {
			buf_add_str(b, w ? " " : "");
			add_source(b, text, &c->words[w]);
		}
		for (unsigned r = 0; r < c->n_redirects; r++) {
			const struct script_redirect *d = &c->redirects[r];
			static const char *const kinds[] = {"< ", "> ", ">> ", ">&", ""};

			buf_add_char(b, ' ');
			if (d->kind == REDIRECT_DUP || d->fd != (d->kind != REDIRECT_READ))
				buf_printf(b, "%d", d->fd);
			buf_add_str(b, kinds[d->kind]);
			add_source(b, text, &d->target);
		}
		buf_add_str(b, is_last ? "" : ops[c->op]);
	}
}

/* Every command's words, and its redirections' targets, as arguments of a function. */
static void add_calls(struct buf *b, struct str text, const struct script *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct script_command *c = &s->commands[i];

		buf_add_char(b, 'f');
		for (unsigned w = 0; w < c->n_words; w++) {
			buf_add_char(b, ' ');
			add_source(b, text, &c->words[w]);
		}
		for (unsigned r = 0; r < c->n_redirects; r++) {
			buf_add_char(b, ' ');
			add_source(b, text, &c->redirects[r].target);
		}
		buf_add_char(b, '\n');
	}
}

static void add_field(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
	buf_add_char(b, 0);
}

/* What bash is to answer. */
static void add_expected(struct buf *b, struct str text, const struct script *s)
{
	_cleanup_(buf_deinit) struct buf structure = BUF_INIT;

	for (unsigned i = 0; i < s->n; i++) {
		const struct script_command *c = &s->commands[i];
		char number[16];

		snprintf(number, sizeof(number), "%u", c->n_words + c->n_redirects);
		add_field(b, str_of(number));
		for (unsigned w = 0; w < c->n_words; w++)
			add_field(b, c->words[w].text);
		for (unsigned r = 0; r < c->n_redirects; r++)
			add_field(b, c->redirects[r].target.text);
	}
	buf_add_str(&structure, "g () \n{ \n    ");
	add_structure(&structure, text, s);
	buf_add_str(&structure, "\n}\n");
	add_field(b, buf_str(&structure));
}

/* ---- bash ---- */

static const char driver[] =
	"f() { printf '%s\\0' \"$#\" \"$@\"; }\n"
	"while IFS= read -r -d '' raw && IFS= read -r -d '' calls; do\n"
	"unset -f g\n"
	"eval \"g() {\n$raw\n}\" 2>/dev/null\n"
	"if declare -F g >/dev/null; then eval \"$calls\"; declare -f g; printf '\\0'; else printf 'refused\\0'; fi\n"
	"done\n";

static void write_file(const char *path, struct str text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	fclose(f);
}

static void read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char data[65536];
	size_t n;

	assert_non_null(f);
	while ((n = fread(data, 1, sizeof(data), f)) > 0)
		buf_add(out, data, n);
	fclose(f);
}

static void ask_bash(const char *dir, const struct buf *input, struct buf *output)
{
	char command[512], path[128];

	snprintf(path, sizeof(path), "%s/driver", dir);
	write_file(path, (struct str){driver, sizeof(driver) - 1});
	snprintf(path, sizeof(path), "%s/in", dir);
	write_file(path, buf_str(input));
	snprintf(command, sizeof(command), "cd %s && LC_ALL=C.UTF-8 bash --norc driver <in >out 2>err", dir);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/out", dir);
	read_file(path, output);
}

struct item {
	struct str text, expected;
};

/* Finds the first that bash sees otherwise. */
static void compare(const struct item *items, size_t n, const struct buf *output)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		struct str e = items[i].expected;
		bool is_same = at + e.n <= output->n && memcmp(output->p + at, e.p, e.n) == 0;

		if (!is_same)
			for (size_t k = at; k < MIN(at + e.n + 80, output->n); k++)
				fputc(output->p[k] ? output->p[k] : '|', stderr);
		if (!is_same)
			fail_msg("bash sees \"%.*s\" otherwise", STR_ARG(items[i].text));
		at += e.n;
	}
	assert_int_equal(at, output->n);
}

static void try_chunk(const char *dir)
{
	_cleanup_(buf_deinit) struct buf input = BUF_INIT, output = BUF_INIT;
	struct arena *a = arena_new();
	struct item *items = arena_alloc(a, CHUNK * sizeof(*items));
	size_t n = 0;

	for (unsigned i = 0; i < CHUNK && tried < wanted; i++, tried++) {
		_cleanup_(buf_deinit) struct buf calls = BUF_INIT, expected = BUF_INIT;
		struct str text = make_script(a);
		struct script s;

		script_parse(a, text, &limits, &s);
		if (s.opaque || s.over)
			continue;
		add_field(&input, text);
		add_calls(&calls, text, &s);
		add_field(&input, buf_str(&calls));
		add_expected(&expected, text, &s);
		items[n++] = (struct item){text, arena_str(a, buf_str(&expected))};
	}
	ask_bash(dir, &input, &output);
	compare(items, n, &output);
	accepted += n;
	arena_free(a);
}

static void what_we_accept_bash_reads_alike(void **state)
{
	char dir[] = "/tmp/ogent-oracle-XXXXXX", command[64];

	assert_non_null(mkdtemp(dir));
	while (tried < wanted)
		try_chunk(dir);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	/* Otherwise nothing would be shown. */
	assert_true(accepted * 10 > tried);
	print_message("# %llu scripts, %llu of them provable\n", tried, accepted);
}

/* Every builtin and reserved word of this bash is known, or has a program of the same work. */
static void every_builtin_and_reserved_word_is_known(void **state)
{
	static const char *const programs[] = {"echo", "printf", "pwd", "test",   "[",
					       "true", "false",  "cd",  "enable", "compgen"};
	FILE *f = popen("bash -c 'compgen -b; compgen -k'", "re");
	char line[64];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		bool known;

		line[strcspn(line, "\n")] = 0;
		known = script_is_builtin(str_of(line)) || script_is_keyword(str_of(line));
		for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
			known |= strcmp(line, programs[i]) == 0;
		if (!known)
			fail_msg("bash has %s", line);
	}
	pclose(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_we_accept_bash_reads_alike),
		cmocka_unit_test(every_builtin_and_reserved_word_is_known),
	};

	if (argc > 1)
		wanted = strtoull(argv[1], NULL, 10);
	if (argc > 2 || argc > 1)
		seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (unsigned long long)clock_now_us();
	if (argc > 1)
		print_message("# seed %llu\n", seed);
	seed = seed ? seed : 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
