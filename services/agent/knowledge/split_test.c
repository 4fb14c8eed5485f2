#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/knowledge/split.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/models/estimate.h"
#include "base/buf.h"

struct seen {
	struct str text;
	struct buf out; /* a line for each: number, page, heading, text */
	int64_t max;
	size_t n, last_end, last_start;
	bool has_gap;
};

static bool is_blank(struct str s)
{
	return str_trim(s).n == 0;
}

static void on_piece(void *arg, const struct split_piece *p)
{
	struct seen *s = arg;
	struct str text = {s->text.p + p->start, p->end - p->start};

	assert_int_equal(p->number, s->n++);
	assert_true(p->start < p->end && p->end <= s->text.n);
	assert_true(p->start >= s->last_start && p->end > s->last_end);
	assert_int_equal(((unsigned char)text.p[0] & 0xc0) == 0x80, 0);
	if (p->start > s->last_end && !is_blank((struct str){s->text.p + s->last_end, p->start - s->last_end}))
		s->has_gap = true;
	s->last_start = p->start;
	s->last_end = p->end;
	s->max = MAX(s->max, estimate_text(text));
	text = str_trim(text);
	buf_printf(&s->out, "%u|%u|%s|", p->number, p->page, p->heading);
	for (size_t i = 0; i < text.n; i++)
		buf_add_char(&s->out, text.p[i] == '\n' ? '~' : text.p[i]);
	buf_add_char(&s->out, '\n');
}

static struct seen run(struct str text, const struct split_options *o)
{
	struct seen s = {.text = text, .out = BUF_INIT};

	split_text(text, o, on_piece, &s);
	return s;
}

static void expect(const char *text, int64_t max, int64_t overlap, bool is_markdown, const char *pieces)
{
	struct split_options o = {max, overlap, is_markdown, NULL, 0, 1000};
	struct seen s = run(str_of(text), &o);

	assert_string_equal(s.out.p ? s.out.p : "", pieces);
	buf_deinit(&s.out);
}

static void a_piece_begins_at_each_heading_and_knows_the_path(void **state)
{
	expect("intro\n\n# One\n\ntext a\n\n## Two\ntext b\n\n## Three ##\n\ntext c\n# Four\nd\n", 100, 10, true,
	       "0|0||intro\n1|0|One|# One~~text a\n2|0|One › Two|## Two~text b\n3|0|One › Three|## Three ##~~text c\n"
	       "4|0|Four|# Four~d\n");
	expect("Title\n=====\n\na\n\nSub\n---\n\nb\n", 100, 10, true,
	       "0|0|Title|Title~=====~~a\n1|0|Title › Sub|Sub~---~~b\n");
	/* A heading right above another one stands in its path; one without anything is a piece. */
	expect("# A\n## B\nx\n# C\n# D\n", 100, 10, true, "0|0|A › B|## B~x\n1|0|C|# C\n2|0|D|# D\n");
	expect("# not a heading\ntext", 100, 10, false, "0|0||# not a heading~text\n");
	expect("```\n# a comment\n\nx = 1\n```\nafter", 100, 10, true, "0|0||```~# a comment~~x = 1~```~after\n");
	expect("#hashtag is text", 100, 10, true, "0|0||#hashtag is text\n");
}

static void paragraphs_stay_whole_where_they_can(void **state)
{
	expect("one two three four five.\n\nsix seven eight nine ten.\n\neleven.", 9, 0, false,
	       "0|0||one two three four five.\n1|0||six seven eight nine ten.~~eleven.\n");
}

static void long_paragraphs_are_cut_between_sentences_with_an_overlap(void **state)
{
	expect("Aaa aaa aaa. Bbb bbb bbb. Ccc ccc ccc. Ddd ddd ddd.", 8, 4, false,
	       "0|0||Aaa aaa aaa. Bbb bbb bbb.\n1|0||Bbb bbb bbb. Ccc ccc ccc.\n2|0||Ccc ccc ccc. Ddd ddd ddd.\n");
}

static void pages_are_told_where_a_piece_begins(void **state)
{
	static const char text[] = "first page text here.\n\nsecond page text here.\n\nthird.";
	size_t pages[] = {0, 23, 47};
	struct split_options o = {6, 0, false, pages, 3, 1000};
	struct seen s = run(str_of(text), &o);

	assert_string_equal(s.out.p, "0|1||first page text here.\n1|2||second page text here.\n2|3||third.\n");
	buf_deinit(&s.out);
}

static void what_has_no_place_to_cut_is_cut_all_the_same(void **state)
{
	_cleanup_(buf_deinit) struct buf in = BUF_INIT;
	struct split_options o = {64, 8, true, NULL, 0, 100000};

	for (int i = 0; i < 20000; i++)
		buf_add_str(&in, i % 2 ? "\u4e16" : "x");
	struct seen s = run(buf_str(&in), &o);
	assert_false(s.has_gap);
	assert_true(s.n > 100 && s.max < 64 * 3);
	assert_int_equal(s.last_end, in.n);
	buf_deinit(&s.out);
	assert_int_equal(split_text(STR(" \n\n \n"), &o, on_piece, NULL), 0);
}

static void whatever_comes_all_of_it_is_in_a_piece(void **state)
{
	static const char *const bits[] = {
		"word ", "Sentence. ", "\n", "\n\n", "# H\n", "## Hh\n",   "```\n", "- item\n", "\u4f60\u597d\u3002",
		"===\n", "---\n",      "  ", "x",    "? ",    "longerword"};

	srand(11);
	for (int round = 0; round < 300; round++) {
		_cleanup_(buf_deinit) struct buf in = BUF_INIT;
		struct split_options o = {8 + rand() % 60, rand() % 8, round % 3 > 0, NULL, 0, 100000};
		for (int i = rand() % 300; i > 0; i--)
			buf_add_str(&in, bits[(size_t)rand() % ARRAY_SIZE(bits)]);
		struct seen s = run(buf_str(&in), &o);
		/* Of Markdown a heading above another one stands in its path alone. */
		if (!o.is_markdown)
			assert_false(s.has_gap);
		assert_true(s.max <= o.max_tokens * 3 + 16);
		buf_deinit(&s.out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_piece_begins_at_each_heading_and_knows_the_path),
		cmocka_unit_test(paragraphs_stay_whole_where_they_can),
		cmocka_unit_test(long_paragraphs_are_cut_between_sentences_with_an_overlap),
		cmocka_unit_test(pages_are_told_where_a_piece_begins),
		cmocka_unit_test(what_has_no_place_to_cut_is_cut_all_the_same),
		cmocka_unit_test(whatever_comes_all_of_it_is_in_a_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
