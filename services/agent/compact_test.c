#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/compact.h"
#include "agent/models/estimate.h"

static struct chat_message *add(struct arena *a, struct list *l, enum chat_role role, const char *text, int64_t seq)
{
	struct chat_message *m = arena_new_of(a, struct chat_message);

	m->role = role;
	m->content = str_of(text);
	m->seq = seq;
	if (role == CHAT_TOOL)
		m->call_id = "c";
	list_append(l, &m->link);
	return m;
}

static void add_call(struct arena *a, struct chat_message *m)
{
	m->calls = arena_new_of(a, struct chat_call);
	m->calls[0] = (struct chat_call){"c", "shell", STR("{}")};
	m->n_calls = 1;
}

static const char *long_text(struct arena *a, size_t n)
{
	char *text = arena_alloc(a, n + 1);

	memset(text, 'x', n);
	return text;
}

static size_t length(struct list *l)
{
	size_t n = 0;

	for (struct list *it = l->next; it != l; it = it->next)
		n++;
	return n;
}

static void the_cut_never_parts_a_call_and_its_result(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct list l;

	list_init(&l);
	for (int64_t seq = 1; seq <= 40; seq += 4) {
		add(a, &l, CHAT_USER, long_text(a, 100), seq);
		add_call(a, add(a, &l, CHAT_ASSISTANT, "", seq + 1));
		add(a, &l, CHAT_TOOL, long_text(a, 400), 0);
		add(a, &l, CHAT_ASSISTANT, long_text(a, 100), seq + 3);
	}
	for (int64_t budget = 1; budget < 3000; budget += 7) {
		struct chat_message *cut = compact_find_cut(&l, budget);
		if (!cut)
			continue;
		assert_int_not_equal(cut->role, CHAT_TOOL);
		assert_ptr_not_equal(cut->link.prev, &l);
	}
}

static void what_is_replaced_is_one_message_and_its_place_is_told(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct chat_message *cut;
	struct list l;

	list_init(&l);
	for (int64_t seq = 1; seq <= 10; seq++)
		add(a, &l, seq % 2 ? CHAT_USER : CHAT_ASSISTANT, long_text(a, 1000), seq);
	cut = compact_find_cut(&l, 600);
	assert_int_equal(cut->seq, 9);
	assert_int_equal(compact_replace(a, &l, cut, STR("short")), 8);
	assert_int_equal(length(&l), 3);
	assert_non_null(strstr(container_of(l.next, struct chat_message, link)->content.p, "short"));
	assert_null(compact_find_cut(&l, 100000));
}

static void results_are_cut_the_oldest_first_and_no_more_than_needed(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct chat_message *results[4];
	struct list l;

	list_init(&l);
	add(a, &l, CHAT_USER, "go", 1);
	for (int i = 0; i < 4; i++) {
		add_call(a, add(a, &l, CHAT_ASSISTANT, "", 2 + i));
		results[i] = add(a, &l, CHAT_TOOL, long_text(a, 20000), 0);
	}
	assert_true(compact_cut_results(a, &l, 16000) <= 16000);
	assert_true(results[0]->content.n < 3000);
	assert_int_equal(results[3]->content.n, 20000);
	assert_true(compact_cut_results(a, &l, 100) < 4000);
	assert_true(results[3]->content.n < 3000);
}

static void texts_that_are_too_long_are_cut_and_say_so(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct chat_message *first, *small, *large;
	struct list l;

	list_init(&l);
	first = add(a, &l, CHAT_USER, long_text(a, 50000), 1);
	small = add(a, &l, CHAT_USER, long_text(a, 1000), 2);
	large = add(a, &l, CHAT_USER, long_text(a, 100000), 3);
	memcpy((char *)large->content.p, "the question", 12);
	assert_int_equal(compact_cut_texts(a, &l, small, 1000000), 0);
	assert_in_range(compact_cut_texts(a, &l, small, 8000), 60000, 75000);
	assert_true(estimate_message(small) + estimate_message(large) <= 8000);
	assert_int_equal(first->content.n, 50000);
	assert_int_equal(small->content.n, 1000);
	assert_memory_equal(large->content.p, "the question", 12);
	assert_non_null(strstr(large->content.p, "left out"));
	assert_true(compact_cut_texts(a, &l, NULL, 1) > 0);
	assert_true(first->content.n < 3000 && large->content.n < 3000);
	assert_int_equal(small->content.n, 1000);
	assert_int_equal(compact_cut_texts(a, &l, NULL, 1), 0);
}

static void a_transcript_has_a_bound_whatever_is_said(void **state)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct list l;

	list_init(&l);
	for (int64_t seq = 1; seq <= 500; seq++)
		add(a, &l, CHAT_USER, long_text(a, 5000), seq);
	struct chat_message *cut = compact_find_cut(&l, 1000);
	assert_true(compact_transcript(a, &l, cut, 8000).n < 8200);
	assert_true(compact_plain_summary(a, &l, cut, 4000).n < 4200);
}

static void estimates_are_near_what_tokenizers_count(void **state)
{
	/* Counted by o200k_base and others: about 10, 12, 7. */
	static const struct {
		const char *text;
		int64_t least, most;
	} texts[] = {
		{"The quick brown fox jumps over the lazy dog.", 9, 14},
		{"{\"command\":\"ls -la /tmp\",\"n\":12}", 10, 18},
		{"\u4f60\u597d\uff0c\u4e16\u754c\u3002", 4, 9},
		{"", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int64_t n = estimate_text(str_of(texts[i].text));
		if (n < texts[i].least || n > texts[i].most)
			fail_msg("%s: %lld", texts[i].text, (long long)n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cut_never_parts_a_call_and_its_result),
		cmocka_unit_test(what_is_replaced_is_one_message_and_its_place_is_told),
		cmocka_unit_test(results_are_cut_the_oldest_first_and_no_more_than_needed),
		cmocka_unit_test(texts_that_are_too_long_are_cut_and_say_so),
		cmocka_unit_test(a_transcript_has_a_bound_whatever_is_said),
		cmocka_unit_test(estimates_are_near_what_tokenizers_count),
	};

	return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
