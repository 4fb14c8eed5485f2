#include "service/webhook.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OTHER "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
#define LONG "whsec_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQ=="
#define AT INT64_C(1614265330)
#define ID STR("msg_p5jXN8AQM9LWM0D4loKWxJek")
#define BODY STR("{\"test\": 2432232314}")
#define SIGNED "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static struct webhook_secret secret_of(const char *text)
{
	struct webhook_secret s;

	assert_int_equal(webhook_secret_parse(str_of(text), &s), 0);
	return s;
}

/* The signatures are those of the npm package standardwebhooks 1.1.1. */
static void signatures_are_those_of_the_reference_library(void **state)
{
	static const struct {
		const char *secret, *id, *body, *signature;
		int64_t at;
	} cases[] = {
		{SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}", SIGNED, AT},
		{OTHER, "a", "", "v1,IEg5Ha85izBpjG+d81+MeHAXNpTsM9nt5McjWgOcibc=", 1700000000},
		{LONG, "0192-x", "{\"é\":\"✓\"}", "v1,EEVzI5/FS1y4jux8UhKJskIX6d7XvtdpygBnWFubOxM=", 1700000001},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct webhook_secret s = secret_of(cases[i].secret);
		struct buf out = BUF_INIT;

		webhook_sign(&s, 1, str_of(cases[i].id), cases[i].at, str_of(cases[i].body), &out);
		assert_string_equal(out.p, cases[i].signature);
		buf_deinit(&out);
	}
}

static enum webhook_check check(struct str id, const char *at, const char *signatures, struct str body, int64_t now)
{
	struct webhook_secret s[] = {secret_of(OTHER), secret_of(SECRET)};

	return webhook_verify(s, 2, id, str_of(at), str_of(signatures), body, now);
}

static void a_request_is_good_only_as_it_was_signed(void **state)
{
	static const char at[] = "1614265330";

	assert_int_equal(check(ID, at, SIGNED, BODY, AT), WEBHOOK_GOOD);
	assert_int_equal(check(ID, at, "v1,AAAA v2,xx " SIGNED, BODY, AT + 300), WEBHOOK_GOOD);
	assert_int_equal(check(ID, at, SIGNED, BODY, AT + 301), WEBHOOK_OUT_OF_TIME);
	assert_int_equal(check(ID, at, SIGNED, BODY, AT - 301), WEBHOOK_OUT_OF_TIME);
	assert_int_equal(check(ID, at, SIGNED, STR("{\"test\": 2432232315}"), AT), WEBHOOK_BAD_SIGNATURE);
	assert_int_equal(check(STR("msg_other"), at, SIGNED, BODY, AT), WEBHOOK_BAD_SIGNATURE);
	assert_int_equal(check(ID, "1614265331", SIGNED, BODY, AT), WEBHOOK_BAD_SIGNATURE);
	assert_int_equal(check(ID, at, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, AT),
			 WEBHOOK_BAD_SIGNATURE);
	assert_int_equal(check(ID, at, "", BODY, AT), WEBHOOK_UNSIGNED);
	assert_int_equal(check(STR(""), at, SIGNED, BODY, AT), WEBHOOK_UNSIGNED);
	assert_int_equal(check(ID, NULL, SIGNED, BODY, AT), WEBHOOK_UNSIGNED);
	assert_int_equal(check(ID, "-5", SIGNED, BODY, AT), WEBHOOK_UNSIGNED);
	assert_int_equal(check(ID, "99999999999999999999", SIGNED, BODY, AT), WEBHOOK_UNSIGNED);
}

static void two_secrets_sign_while_one_is_replaced(void **state)
{
	struct webhook_secret s[] = {secret_of(OTHER), secret_of(SECRET)}, third = secret_of(LONG);
	struct buf out = BUF_INIT;

	webhook_sign(s, 2, ID, AT, BODY, &out);
	assert_non_null(strstr(out.p, " " SIGNED));
	for (int i = 0; i < 2; i++)
		assert_int_equal(webhook_verify(&s[i], 1, ID, STR("1614265330"), buf_str(&out), BODY, AT),
				 WEBHOOK_GOOD);
	assert_int_equal(webhook_verify(&third, 1, ID, STR("1614265330"), buf_str(&out), BODY, AT),
			 WEBHOOK_BAD_SIGNATURE);
	buf_deinit(&out);
}

static void secrets_are_of_24_to_64_bytes(void **state)
{
	char text[WEBHOOK_SECRET_TEXT_SIZE], again[WEBHOOK_SECRET_TEXT_SIZE];
	struct webhook_secret s;

	webhook_secret_new(text);
	webhook_secret_new(again);
	assert_string_not_equal(text, again);
	assert_int_equal(secret_of(text).n, 32);
	assert_int_equal(secret_of(LONG).n, 64);
	assert_int_equal(webhook_secret_parse(STR("whsec_AAAA"), &s), -EINVAL);
	assert_int_equal(webhook_secret_parse(STR("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &s), -EINVAL);
	assert_int_equal(webhook_secret_parse(STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La-_Sw"), &s), -EINVAL);
	assert_int_equal(webhook_secret_parse(STR(""), &s), -EINVAL);
}

/* The example of GitHub's documentation. */
static void github_signatures_are_good_too(void **state)
{
	struct str secret = STR("It's a Secret to Everybody"), body = STR("Hello, World!");

#define HUB "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	assert_true(webhook_verify_hub(secret, STR("sha256=" HUB), body));
	assert_false(webhook_verify_hub(secret, STR("sha256=" HUB), STR("Hello, World?")));
	assert_false(webhook_verify_hub(STR("other"), STR("sha256=" HUB), body));
	assert_false(webhook_verify_hub(secret, STR("sha1=" HUB), body));
	assert_false(webhook_verify_hub(secret, STR("sha256="), body));
	assert_false(webhook_verify_hub(secret, (struct str){0}, body));
}

static void answers_are_done_ended_or_tried_again(void **state)
{
	static const int again[] = {0, 100, 301, 302, 307, 400, 401, 404, 429, 500, 502, 503};

	assert_int_equal(webhook_outcome_of(200), WEBHOOK_DELIVERED);
	assert_int_equal(webhook_outcome_of(204), WEBHOOK_DELIVERED);
	assert_int_equal(webhook_outcome_of(410), WEBHOOK_ENDED);
	for (size_t i = 0; i < ARRAY_SIZE(again); i++)
		assert_int_equal(webhook_outcome_of(again[i]), WEBHOOK_AGAIN);
}

static void tries_are_spread_over_three_days_and_end(void **state)
{
	int64_t all = 0;

	for (unsigned tries = 1; tries < WEBHOOK_TRIES; tries++) {
		int64_t least = INT64_MAX, most = 0;

		for (uint32_t random = 0; random < 100000; random += 37) {
			least = MIN(least, webhook_wait_ms(tries, random * 2654435761u, 0));
			most = MAX(most, webhook_wait_ms(tries, random * 2654435761u, 0));
		}
		assert_true(least < most);
		assert_true(most - least <= (most + least) / 10 + 1);
		all += most;
	}
	assert_in_range(all, 70 * 3600000ll, 90 * 3600000ll);
	assert_int_equal(webhook_wait_ms(WEBHOOK_TRIES, 0, 0), -1);
	assert_int_equal(webhook_wait_ms(WEBHOOK_TRIES, 0, 60), -1);
	assert_in_range(webhook_wait_ms(1, 5, 0), 4500, 5500);
	assert_int_equal(webhook_wait_ms(1, 5, 60), 60000);
	assert_true(webhook_wait_ms(3, 0, 1) >= 1600000);
	assert_int_equal(webhook_wait_ms(1, 5, 1000000), 86400000);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
	assert_int_equal(webhook_retry_after(STR(" 120 "), 0), 120);
	assert_int_equal(webhook_retry_after(STR("999999"), 0), 86400);
	assert_int_equal(webhook_retry_after(STR("Wed, 21 Oct 2015 07:28:00 GMT"), 1445412470), 10);
	assert_int_equal(webhook_retry_after(STR("Wed, 21 Oct 2015 07:28:00 GMT"), 1445412490), 0);
	assert_int_equal(webhook_retry_after(STR("soon"), 0), 0);
	assert_int_equal(webhook_retry_after(STR("-3"), 0), 0);
	assert_int_equal(webhook_retry_after((struct str){0}, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_those_of_the_reference_library),
		cmocka_unit_test(a_request_is_good_only_as_it_was_signed),
		cmocka_unit_test(two_secrets_sign_while_one_is_replaced),
		cmocka_unit_test(secrets_are_of_24_to_64_bytes),
		cmocka_unit_test(github_signatures_are_good_too),
		cmocka_unit_test(answers_are_done_ended_or_tried_again),
		cmocka_unit_test(tries_are_spread_over_three_days_and_end),
		cmocka_unit_test(retry_after_is_seconds_or_a_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
