#include "io/html_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect(const char *html, const char *charset, unsigned flags, const char *text, const char *title)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT, head = BUF_INIT;

	assert_int_equal(html_text(str_of(html), charset, flags, &out, &head), 0);
	assert_string_equal(out.p ? out.p : "", text);
	assert_string_equal(head.p ? head.p : "", title);
}

static void structure_becomes_marks_and_what_nobody_reads_is_gone(void **state)
{
	static const struct {
		const char *html, *text, *title;
	} rows[] = {
		{"<p>one  two\n three</p><p>four</p>", "one two three\n\nfour", ""},
		{"<title>A  page</title><h1>Top</h1><p>x</p><h3>Deep <em>er</em></h3>y",
		 "# Top\n\nx\n\n### Deep er\n\ny", "A page"},
		{"<script>alert(1)</script><style>p{}</style>seen<noscript>no</noscript><svg><text>no</text></svg>",
		 "seen", ""},
		{"<ul><li>a</li><li>b <b>c</b></li></ul>z", "- a\n- b c\n\nz", ""},
		{"<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2", ""},
		{"<pre>a  b\n  c</pre>d", "```\na  b\n  c\n```\n\nd", ""},
		{"a<br>b<br><br>c", "a\nb\n\nc", ""},
		{"x<!-- not this -->y &amp; &lt;b&gt; &eacute;&nbsp;z", "xy & <b> \u00e9 z", ""},
		{"<p>never closed <b>bold <i>both</b> on", "never closed bold both on", ""},
		{"<img alt='a cat' src=x>!", "a cat!", ""},
		{"", "", ""},
	};

	for (size_t i = 0; i + 1 < ARRAY_SIZE(rows); i++)
		expect(rows[i].html, NULL, 0, rows[i].text, rows[i].title);
}

static void links_are_kept_where_they_are_wanted(void **state)
{
	expect("see <a href='/x?a=1'>this page</a>.", NULL, HTML_TEXT_LINKS, "see [this page](/x?a=1).", "");
	expect("see <a href='/x?a=1'>this page</a>.", NULL, 0, "see this page.", "");
}

static void the_charset_is_the_one_told_or_that_of_the_document(void **state)
{
	expect("<p>caf\xe9</p>", "ISO-8859-1", 0, "caf\u00e9", "");
	expect("<meta charset=windows-1252><p>caf\xe9 \x80</p>", NULL, 0, "caf\u00e9 \u20ac", "");
	expect("<p>\u4f60\u597d</p>", NULL, 0, "\u4f60\u597d", "");
}

static void what_is_no_text_is_marked(void **state)
{
	expect("a&\x9b"
	       "b",
	       NULL, 0,
	       "a&\xef\xbf\xbd"
	       "b",
	       "");
}

static void nesting_without_end_ends(void **state)
{
	_cleanup_(buf_deinit) struct buf in = BUF_INIT, out = BUF_INIT;

	for (int i = 0; i < 100000; i++)
		buf_add_str(&in, "<div>");
	buf_add_str(&in, "deep");
	assert_int_equal(html_text(buf_str(&in), NULL, 0, &out, NULL), 0);
	assert_true(out.n < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structure_becomes_marks_and_what_nobody_reads_is_gone),
		cmocka_unit_test(links_are_kept_where_they_are_wanted),
		cmocka_unit_test(the_charset_is_the_one_told_or_that_of_the_document),
		cmocka_unit_test(what_is_no_text_is_marked),
		cmocka_unit_test(nesting_without_end_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
