#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>

#include "channel.h"

static struct channels all;
static struct list places; /* of one client */
static uint64_t now, number;

static int setup(void **state)
{
	channels_init(&all, &(struct channels_limits){.messages = 3, .bytes = 1000, .total = 2000, .ms = 1000}, "");
	list_init(&places);
	now = 1;
	return 0;
}

static int teardown(void **state)
{
	struct place *p;

	while ((p = list_first(&places, struct place, in_client)))
		place_free(&all, p, now);
	channels_deinit(&all);
	assert_int_equal(HASH_COUNT(all.by_name), 0);
	assert_int_equal(all.bytes, 0);
	return 0;
}

static struct channel *post(const char *name, const char *text)
{
	struct str channel = str_of(name);
	struct post *e = post_new(++number, str_of(text), &channel, 1);
	struct channel *ch = channel_get(&all, channel, now);
	struct broadcast *b = broadcast_new(e, 0, now);

	channel_remember(&all, ch, b);
	broadcast_unref(b);
	post_unref(e);
	return ch;
}

static void offsets_count_from_one_and_the_history_keeps_the_last(void **state)
{
	struct channel *ch = post("one", "{}");

	assert_int_equal(ch->offset, 1);
	assert_true(channel_has_since(ch, ch->epoch, 0));
	post("one", "{}");
	post("one", "{}");
	assert_true(channel_has_since(ch, ch->epoch, 0));
	post("one", "{}");
	assert_int_equal(ch->n_history, 3);
	assert_false(channel_has_since(ch, ch->epoch, 0));
	assert_true(channel_has_since(ch, ch->epoch, 1));
	assert_true(channel_has_since(ch, ch->epoch, 4));
	assert_false(channel_has_since(ch, ch->epoch, 5));
	assert_false(channel_has_since(ch, "another", 4));
}

static void bytes_of_one_and_of_all_are_limited(void **state)
{
	static const char long_text[] =
		"{\"text\":\"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789\"}";
	struct channel *ch = post("one", long_text);

	post("one", long_text);
	post("one", long_text);
	assert_int_equal(ch->n_history, 2);
	for (unsigned i = 0; i < 9; i++)
		post((const char *[]){"two", "three", "four"}[i % 3], long_text);
	assert_true(all.bytes > 2000);
	channels_age(&all, now);
	assert_true(all.bytes <= 2000);
	assert_int_equal(ch->n_history, 0);
	assert_true(channel_has_since(ch, ch->epoch, 3));
	assert_false(channel_has_since(ch, ch->epoch, 2));
}

static void what_is_old_goes_and_with_it_a_channel_without_anybody(void **state)
{
	struct channel *one = post("one", "{}");

	post("two", "{}");
	place_new(one, NULL, &places);
	now += 999;
	channels_age(&all, now);
	assert_int_equal(one->n_history, 1);
	now++;
	channels_age(&all, now);
	assert_int_equal(one->n_history, 0);
	assert_int_equal(one->offset, 1);
	assert_ptr_equal(channel_find(&all, STR("one")), one);
	assert_null(channel_find(&all, STR("two")));
	place_free(&all, place_find(&places, "one"), now);
	channels_age(&all, now + 999);
	assert_ptr_equal(channel_find(&all, STR("one")), one);
	channels_age(&all, now + 1000);
	assert_null(channel_find(&all, STR("one")));
}

static void a_channel_made_again_has_another_epoch(void **state)
{
	char epoch[EPOCH_SIZE];

	strcpy(epoch, post("one", "{}")->epoch);
	now += 1000;
	channels_age(&all, now);
	assert_false(channel_has_since(post("one", "{}"), epoch, 1));
}

static void a_copy_says_where_else_it_stands(void **state)
{
	struct str names[] = {STR("a\"b"), STR("c"), STR("d")};
	struct post *e = post_new(++number, STR("{\"n\":1}"), names, 3);
	struct broadcast *posts[3];
	struct buf text = BUF_INIT;

	for (unsigned i = 0; i < 3; i++) {
		posts[i] = broadcast_new(e, i, now);
		channel_remember(&all, channel_get(&all, names[i], now), posts[i]);
	}
	broadcast_write_json(&text, posts[1]);
	assert_string_equal(text.p, "{\"type\":\"event\",\"room\":\"c\",\"offset\":1,\"also\":{\"a\\\"b\":1,\"d\":1},"
				    "\"event\":{\"n\":1}}");
	buf_deinit(&text);
	for (unsigned i = 0; i < 3; i++)
		broadcast_unref(posts[i]);
	post_unref(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(offsets_count_from_one_and_the_history_keeps_the_last, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_of_one_and_of_all_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_old_goes_and_with_it_a_channel_without_anybody, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_channel_made_again_has_another_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_says_where_else_it_stands, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
