#include "policy/script.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/encode.h"

static const struct script_limits limits = {64 << 10, 32 << 10, 4096, 8};

/* What was understood, in one line: words in brackets, redirections with their descriptor, what follows. */
static const char *parse(struct arena *a, const char *text)
{
	static const char *const ops[] = {"", " ; ", " && ", " || ", " | "};
	static const char *const kinds[] = {"<", ">", ">>", ">&", "?"};
	struct script s;
	char *out = arena_strdup(a, "");

	script_parse(a, str_of(text), &limits, &s);
	if (s.over)
		return arena_printf(a, "over %s", s.over);
	if (s.opaque)
		return arena_printf(a, "opaque %s", s.opaque);
	for (unsigned i = 0; i < s.n; i++) {
		const struct script_command *c = &s.commands[i];

		for (unsigned w = 0; w < c->n_words; w++)
			out = arena_printf(a, "%s[%s]", out, c->words[w].text.p);
		for (unsigned r = 0; r < c->n_redirects; r++)
			out = arena_printf(a, "%s %d%s[%s]", out, c->redirects[r].fd, kinds[c->redirects[r].kind],
					   c->redirects[r].target.text.p);
		out = arena_printf(a, "%s%s", out, ops[c->op]);
	}
	return out;
}

static void provable_scripts_are_read_as_bash_reads_them(void **state)
{
	static const char *const table[][2] = {
		{"ls", "[ls]"},
		{"  ls\t-l  src ", "[ls][-l][src]"},
		{"ls -l|wc -l", "[ls][-l] | [wc][-l]"},
		{"a&&b||c;d", "[a] && [b] || [c] ; [d]"},
		{"a ;", "[a] ; "},
		{"ls\n\n", "[ls]"},
		{"echo 'a b' \"c d\"", "[echo][a b][c d]"},
		{"r\"\"m x", "[rm][x]"},
		{"'r'm x", "[rm][x]"},
		{"echo ''", "[echo][]"},
		{"echo \"a\\\"b\\\\c\\xd\"", "[echo][a\"b\\c\\xd]"},
		{"echo \"\\$x \\`y\"", "[echo][$x `y]"},
		{"echo '$x `y` \\z * ~ {a,b} # ; & | < >'", "[echo][$x `y` \\z * ~ {a,b} # ; & | < >]"},
		{"echo \"* ~ {a,b} # ; & | < > ( ) '\"", "[echo][* ~ {a,b} # ; & | < > ( ) ']"},
		{"echo a#b", "[echo][a#b]"},
		{"echo a=b", "[echo][a=b]"},
		{"dd if=x of=y", "[dd][if=x][of=y]"},
		{"echo hello!", "[echo][hello!]"},
		{"echo ]", "[echo][]]"},
		{"echo a^b%c@d+e,f:g", "[echo][a^b%c@d+e,f:g]"},
		{"ls > out", "[ls] 1>[out]"},
		{"ls>out", "[ls] 1>[out]"},
		{"ls 2>err >>out <in", "[ls] 2>[err] 1>>[out] 0<[in]"},
		{"ls 2 >x", "[ls][2] 1>[x]"},
		{"ls \"2\">x", "[ls][2] 1>[x]"},
		{"ls a2>x", "[ls][a2] 1>[x]"},
		{"ls 2>&1", "[ls] 2>&[1]"},
		{"ls >&2 x", "[ls][x] 1>&[2]"},
		{"make 2>&1|tail", "[make] 2>&[1] | [tail]"},
		{">x ls", "[ls] 1>[x]"},
		{"ls > 'a b'", "[ls] 1>[a b]"},
		{"cd src && ls", "[cd][src] && [ls]"},
		{"echo \xc3\xa4\xe2\x82\xac", "[echo][\xc3\xa4\xe2\x82\xac]"},
		{"'if' x", "[if][x]"},
		{"echo if then do", "[echo][if][then][do]"},
	};
	struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_string_equal(parse(a, table[i][0]), table[i][1]);
	arena_free(a);
}

static void everything_else_is_opaque(void **state)
{
	static const char *const table[] = {
		"echo $x",
		"echo ${x}",
		"echo $(ls)",
		"echo `ls`",
		"echo \"$x\"",
		"echo \"$(ls)\"",
		"echo \"`ls`\"",
		"echo $'x'",
		"echo $\"x\"",
		"echo $((1+1))",
		"echo $",
		"r\\m x",
		"ls\\\n-l",
		"ls \\",
		"ls &",
		"ls & rm x",
		"ls &> x",
		"ls |& cat",
		"(ls)",
		"{ ls; }",
		"echo {a,b}",
		"echo a}b",
		"ls *",
		"ls ?",
		"ls [a]",
		"*",
		"/bin/l?",
		"[x a",
		"x[ a",
		"[\"\"] a",
		"[]",
		"[ -v x ]",
		"[ x -o y ]",
		"[ -R x ]",
		"A=b ls",
		"A=b",
		"A+=b ls",
		"A[0]=b ls",
		"PATH=. ls",
		"cat <<E\nx\nE",
		"cat <<<x",
		"cat <<-E\nE",
		"ls # x",
		"# x",
		"ls\nrm x",
		"ls\rx",
		"l\rs",
		"ls\r",
		"ls\vx",
		"ls\fx",
		"ls\x01",
		"ls \x7f",
		"echo 'a\nb'",
		"echo \"a\nb\"",
		"ls\xc2\xa0-l",
		"ls\xe3\x80\x80x",
		"l\xe2\x80\x8bs",
		"echo \xe2\x80\xaex",
		"\xef\xbb\xbfls",
		"echo \xc2\xadx",
		"echo \xff",
		"echo \xc3",
		"echo \xed\xa0\x80",
		"echo \xf3\xa0\x80\x81",
		"echo 'x",
		"echo \"x",
		"ls &&",
		"&& ls",
		"ls ||",
		"| ls",
		"ls |",
		"ls ;; ls",
		"; ls",
		"ls && ; ls",
		"ls >",
		"ls > > x",
		"ls < ",
		"ls 3>x",
		"ls >& x",
		"ls >|x",
		"ls <>x",
		"ls <&0",
		"ls 2>&-",
		"ls 2>&3",
		"ls 2>&1x",
		"ls > ''",
		"cat < /dev/tcp/1.2.3.4/80",
		"echo x > /dev/udp/1.2.3.4/80",
		"> x",
		"diff <(ls) x",
		"tee >(cat)",
		"if true; then ls; fi",
		"for i in a; do ls; done",
		"while true; do ls; done",
		"case x in x) ls;; esac",
		"! ls",
		"time ls",
		"ls() { rm x; }",
		"function f { ls; }",
		"[[ a == b ]]",
		"coproc ls",
		"select x in a; do ls; done",
		"eval ls",
		"exec ls",
		"source x",
		". x",
		"export A=b",
		"alias ls=rm",
		"set -e",
		"unset x",
		"trap ls EXIT",
		"cd",
		"cd -",
		"cd ..",
		"cd a/../b",
		"cd a b",
		"cd a | ls",
		"ls | cd a",
		"cd a > x",
		"builtin cd x",
		"command ls",
		"type ls",
		"read x",
		"exit 1",
		": x",
		"kill 1",
		"ulimit -n 1",
		"umask 0",
		"echo ~",
		"ls ~/x",
		"echo a=~",
		"ls >~/x",
		"''",
		"'' x",
		"%1",
		"echo x > $f",
		"printf -v x y",
		"test -v x",
		"a() b",
		"ls )",
		"ls (",
		"",
		" ",
		"\n",
		";",
	};
	struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strncmp(parse(a, table[i]), "opaque", 6) != 0)
			fail_msg("accepted: \"%s\" as %s", table[i], parse(a, table[i]));
	arena_free(a);
}

static const char *commands_of(struct arena *a, const char *text)
{
	struct script s;
	char *out = arena_strdup(a, "");

	script_parse(a, str_of(text), &limits, &s);
	for (unsigned i = 0; i < s.n; i++)
		for (unsigned w = 0; w < s.commands[i].n_words; w++)
			out = arena_printf(a, "%s%s%s", out, out[0] ? w ? " " : "|" : "",
					   s.commands[i].words[w].text.p);
	return out;
}

static void the_commands_of_an_opaque_script_are_found_all_the_same(void **state)
{
	static const char *const table[][2] = {
		{"echo $(rm x)", "rm x|echo"},
		{"echo \"a $(rm x) b\"", "rm x|echo a   b"},
		{"echo `rm x`", "rm x|echo"},
		{"echo \"`rm x`\"", "rm x|echo "},
		{"(rm x)", "rm x"},
		{"{ rm x; }", "rm x"},
		{"if true; then rm x; fi", "true|rm x"},
		{"! rm x", "rm x"},
		{"A=b rm x", "rm x"},
		{"ls & rm x", "ls|rm x"},
		{"ls\nrm x", "ls|rm x"},
		{"\\rm x", "rm x"},
		{"r\\\nm x", "rm x"},
		{"$'rm' x", "rm x"},
		{"diff <(rm x) y", "diff|rm x|y"},
		{"echo $(echo $(rm x))", "rm x|echo|echo"},
		{"f() { rm x; }", "f|rm x"},
		{"case x in x) rm x;; esac", "case x in x|rm x"},
		{"ls |& rm x", "ls|rm x"},
		{"time rm x", "rm x"},
		{"ls # rm x", "ls"},
		{"while true; do A=b rm x; done", "true|rm x"},
	};
	struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(commands_of(a, table[i][0]), table[i][1]) != 0)
			fail_msg("\"%s\": %s", table[i][0], commands_of(a, table[i][0]));
	arena_free(a);
}

static void words_with_expansions_are_not_proven(void **state)
{
	struct arena *a = arena_new();
	struct script s;

	script_parse(a, STR("ls a $b 'c' *"), &limits, &s);
	assert_int_equal(s.commands[0].n_words, 5);
	const bool proven[] = {true, true, false, true, false};
	for (unsigned i = 0; i < 5; i++)
		assert_true(s.commands[0].words[i].is_proven == proven[i]);
	arena_free(a);
}

static void what_cannot_be_seen_is_told_apart(void **state)
{
	struct arena *a = arena_new();
	struct script s;

	script_parse(a, STR("echo \xe2\x80\xaex"), &limits, &s);
	assert_true(s.is_invisible);
	assert_int_equal(s.invisible_at, 5);
	script_parse(a, STR("echo a\nb\rc"), &limits, &s);
	assert_true(s.is_invisible);
	assert_int_equal(s.invisible_at, 8);
	script_parse(a, STR("echo a\nb"), &limits, &s);
	assert_false(s.is_invisible);
	arena_free(a);
}

static void a_person_sees_every_byte(void **state)
{
	_cleanup_(buf_deinit) struct buf b = BUF_INIT;

	text_show(&b, STR("a\rb\n\t\x1b[2J \xe2\x80\xae \xe2\x80\x8b \xc3\xa4 \xff \xc3"));
	assert_string_equal(b.p, "a\\x0db\\x0a\\x09\\x1b[2J \\u{202e} \\u{200b} \xc3\xa4 \\xff \\xc3");
}

static void over_a_limit_nothing_is_read_on(void **state)
{
	static const struct script_limits small = {100, 10, 4, 3};
	struct arena *a = arena_new();
	struct script s;

	script_parse(a, STR("a;b;c;d"), &small, &s);
	assert_null(s.over);
	script_parse(a, STR("a;b;c;d;e"), &small, &s);
	assert_string_equal(s.over, "commands");
	script_parse(a, STR("a b c d e f g h i j k"), &small, &s);
	assert_string_equal(s.over, "words");
	script_parse(a, STR("((((a))))"), &small, &s);
	assert_string_equal(s.over, "depth");
	script_parse(a, STR("$($($($(a))))"), &small, &s);
	assert_string_equal(s.over, "depth");
	script_parse(a, (struct str){arena_alloc(a, 101), 101}, &small, &s);
	assert_string_equal(s.over, "bytes");
	arena_free(a);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The worst of each kind takes time in proportion to its length. */
static void long_scripts_are_linear(void **state)
{
	static const char *const units[] = {"a ",   "a;",   "$(a) ",        "`a` ", "\"a\" ", "\"$(", "((",
					    "a$()", "<<x ", ">x ",          "1>",   "\\a",    "'",    "\"",
					    "{a,",  "a=b ", "\n",           "&",    "|",      "#",    "if ",
					    "a[",   "\xff", "\xe2\x80\x8b", "))))", "`",      "~",    "2>&1 "};
	static const struct script_limits most = {64 << 10, 32 << 10, 4096, 16};

	for (size_t u = 0; u < ARRAY_SIZE(units); u++) {
		struct arena *a = arena_new();
		char *text = arena_alloc(a, 64 << 10);
		struct script s;
		size_t n = 0, unit = strlen(units[u]);
		double start;

		for (; n + unit < 64 << 10; n += unit)
			memcpy(text + n, units[u], unit);
		start = seconds();
		script_parse(a, (struct str){text, n}, &most, &s);
		assert_true(seconds() - start < 0.5);
		arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(provable_scripts_are_read_as_bash_reads_them),
		cmocka_unit_test(everything_else_is_opaque),
		cmocka_unit_test(the_commands_of_an_opaque_script_are_found_all_the_same),
		cmocka_unit_test(words_with_expansions_are_not_proven),
		cmocka_unit_test(what_cannot_be_seen_is_told_apart),
		cmocka_unit_test(a_person_sees_every_byte),
		cmocka_unit_test(over_a_limit_nothing_is_read_on),
		cmocka_unit_test(long_scripts_are_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
