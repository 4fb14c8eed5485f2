#include "base/seal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HERE STR("users.totp 1")

static const struct seal_key key = {{1, 2, 3}}, other = {{1, 2, 4}};

static void what_is_sealed_comes_back_with_the_key_and_the_place(void **state)
{
	static const char plain[] = "a secret\0 with a NUL";
	struct buf text = BUF_INIT, again = BUF_INIT, back = BUF_INIT;

	seal(&key, HERE, (struct str){plain, sizeof(plain)}, &text);
	seal(&key, HERE, (struct str){plain, sizeof(plain)}, &again);
	assert_int_not_equal(text.n, 0);
	assert_null(strstr(text.p, "secret"));
	assert_string_not_equal(text.p, again.p);
	assert_int_equal(unseal(&key, HERE, buf_str(&text), &back), 0);
	assert_int_equal(back.n, sizeof(plain));
	assert_memory_equal(back.p, plain, sizeof(plain));
	assert_int_equal(unseal(&key, STR("users.totp 2"), buf_str(&text), &back), -EBADMSG);
	assert_int_equal(unseal(&other, HERE, buf_str(&text), &back), -EBADMSG);
	assert_int_equal(back.n, sizeof(plain));
	buf_wipe(&back);
	buf_deinit(&text);
	buf_deinit(&again);
}

static void every_change_of_the_text_is_noticed(void **state)
{
	struct buf text = BUF_INIT, back = BUF_INIT;

	seal(&key, HERE, STR(""), &text);
	assert_int_equal(unseal(&key, HERE, buf_str(&text), &back), 0);
	assert_int_equal(back.n, 0);
	for (size_t i = 0; i < text.n; i++) {
		char was = text.p[i];

		text.p[i] = was == 'A' ? 'B' : 'A';
		assert_true(unseal(&key, HERE, buf_str(&text), &back) < 0);
		text.p[i] = was;
		assert_true(unseal(&key, HERE, (struct str){text.p, i}, &back) < 0);
	}
	assert_int_equal(unseal(&key, HERE, STR("plain text of former days"), &back), -EINVAL);
	buf_wipe(&back);
	buf_deinit(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_comes_back_with_the_key_and_the_place),
		cmocka_unit_test(every_change_of_the_text_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
