#include "data/packed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void an_id_takes_sixteen_bytes_and_comes_back(void **state)
{
	uint8_t packed[PACKED_ID_SIZE];
	char id[ID_SIZE], back[ID_SIZE];

	id_new(id);
	assert_true(packed_id_make(str_of(id), packed));
	packed_id_read(packed, back);
	assert_string_equal(back, id);
	assert_true(packed_id_make(STR("00112233-4455-6677-8899-aabbccddeeff"), packed));
	assert_int_equal(packed[0], 0x00);
	assert_int_equal(packed[10], 0xaa);
	assert_int_equal(packed[15], 0xff);
}

static void what_is_no_id_is_left_alone(void **state)
{
	static const char *const texts[] = {
		"",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-AABBCCDDEEFF",
		"00112233-4455-6677-8899-aabbccddeefg",
		"001122334-455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeeff ",
	};
	uint8_t packed[PACKED_ID_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_false(packed_id_make(str_of(texts[i]), packed));
}

static void ids_keep_their_order(void **state)
{
	uint8_t packed[2][PACKED_ID_SIZE];
	char ids[2][ID_SIZE];

	for (int i = 0; i < 1000; i++) {
		id_new(ids[i % 2]);
		assert_true(packed_id_make(str_of(ids[i % 2]), packed[i % 2]));
		if (i)
			assert_true(memcmp(packed[i % 2], packed[1 - i % 2], PACKED_ID_SIZE) > 0);
	}
}

static void comes_back(struct packer *k, struct str text)
{
	struct buf packed = BUF_INIT, back = BUF_INIT;

	if (packed_text_make(k, text, &packed)) {
		assert_true(packed.n < text.n);
		assert_int_not_equal(packed.n, PACKED_ID_SIZE);
		assert_true(packed_text_is(buf_str(&packed)));
		assert_int_equal(packed_text_read(k, buf_str(&packed), &back), 0);
		assert_int_equal(back.n, text.n);
		assert_memory_equal(back.p, text.p, text.n);
	} else {
		assert_int_equal(packed.n, 0);
	}
	buf_deinit(&packed);
	buf_deinit(&back);
}

static void texts_of_every_length_come_back(void **state)
{
	static const char words[] = "It was the best of times, it was the worst of times; ";
	struct packer *k = packer_new();
	struct buf text = BUF_INIT, random = BUF_INIT;

	for (size_t n = 0; n < 3000; n++) {
		comes_back(k, buf_str(&text));
		comes_back(k, buf_str(&random));
		buf_add_char(&text, words[n % (sizeof(words) - 1)]);
		buf_add_char(&random, (char)rand());
	}
	for (size_t n = 0; n < 200000; n++)
		buf_add_char(&text, words[(n * n) % (sizeof(words) - 1)]);
	comes_back(k, buf_str(&text));
	buf_deinit(&text);
	buf_deinit(&random);
	packer_free(k);
}

static void short_texts_and_those_that_do_not_shrink_are_kept(void **state)
{
	struct packer *k = packer_new();
	struct buf out = BUF_INIT;
	char random[200];

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (char)rand();
	assert_false(packed_text_make(k, STR("hello"), &out));
	assert_false(packed_text_make(k, (struct str){random, sizeof(random)}, &out));
	assert_int_equal(out.n, 0);
	buf_deinit(&out);
	packer_free(k);
}

/* Dictionary 1 is in people's databases: whoever changes it breaks this text. */
static void what_was_packed_once_can_be_read_for_ever(void **state)
{
	static const char packed[] = "\xf7\x01\x20\x5a\x55\x01\x00\x83\xc1\x03\x57\xd7\xdc\xc8\xa9\xd7\xff\x55\xf6\x09"
				     "\xa2\xfd\x1f\xef\xcb\x08\xfc\x3a\x49\x15\x45\x7a\x11\x0e\x30\xca\x73\xa0\x80\x36"
				     "\x62\x09\x87\x6c\x4b\x32\x43\xf1\x27";
	static const struct str text =
		STR("This is a question of the user: there is no other system that you can use for "
		    "the problem.");
	struct packer *k = packer_new();
	struct buf back = BUF_INIT;

	assert_int_equal(packed_text_read(k, (struct str){packed, sizeof(packed) - 1}, &back), 0);
	assert_int_equal(back.n, text.n);
	assert_memory_equal(back.p, text.p, text.n);
	buf_deinit(&back);
	packer_free(k);
}

static void damaged_bytes_are_refused(void **state)
{
	static const struct str text =
		STR("What is cut off or changed is not taken for a text, whatever it may be then.");
	struct packer *k = packer_new();
	struct buf packed = BUF_INIT, back = BUF_INIT;

	assert_true(packed_text_make(k, text, &packed));
	for (size_t n = 0; n < packed.n; n++) {
		buf_clear(&back);
		assert_int_equal(packed_text_read(k, (struct str){packed.p, n}, &back), -EBADMSG);
	}
	packed.p[2] = (char)0xff;
	assert_int_equal(packed_text_read(k, buf_str(&packed), &back), -EBADMSG);
	assert_int_equal(packed_text_read(k, STR("no such thing at all"), &back), -EBADMSG);
	buf_deinit(&packed);
	buf_deinit(&back);
	packer_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_takes_sixteen_bytes_and_comes_back),
		cmocka_unit_test(what_is_no_id_is_left_alone),
		cmocka_unit_test(ids_keep_their_order),
		cmocka_unit_test(texts_of_every_length_come_back),
		cmocka_unit_test(short_texts_and_those_that_do_not_shrink_are_kept),
		cmocka_unit_test(what_was_packed_once_can_be_read_for_ever),
		cmocka_unit_test(damaged_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
