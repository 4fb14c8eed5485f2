#include "service/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buf text;

static int teardown(void **state)
{
	metrics_free();
	buf_deinit(&text);
	return 0;
}

static void written(const char *expected)
{
	buf_clear(&text);
	metrics_write(&text);
	assert_string_equal(text.p, expected);
}

static void metrics_of_one_name_stand_together_under_one_head(void **state)
{
	metric_add(metric_counter("a_total", "First", "x=\"1\""), 2);
	metric_set(metric_gauge("b", "Second", ""), 0.25);
	metric_add(metric_counter("a_total", "First", "x=\"2\""), 3);
	written("# HELP a_total First\n# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\n"
		"# HELP b Second\n# TYPE b gauge\nb 0.25\n");
}

static void a_histogram_counts_what_is_below_each_bound(void **state)
{
	struct metric *m = metric_histogram("t_seconds", "Times", "r=\"/\"");

	metric_observe(m, 0.0004);
	metric_observe(m, 0.3);
	metric_observe(m, 100);
	buf_clear(&text);
	metrics_write(&text);
	assert_non_null(strstr(text.p, "t_seconds_bucket{r=\"/\",le=\"0.0005\"} 1\n"));
	assert_non_null(strstr(text.p, "t_seconds_bucket{r=\"/\",le=\"0.25\"} 1\n"));
	assert_non_null(strstr(text.p, "t_seconds_bucket{r=\"/\",le=\"0.5\"} 2\n"));
	assert_non_null(strstr(text.p, "t_seconds_bucket{r=\"/\",le=\"60\"} 2\n"));
	assert_non_null(strstr(text.p, "t_seconds_bucket{r=\"/\",le=\"+Inf\"} 3\n"));
	assert_non_null(strstr(text.p, "t_seconds_sum{r=\"/\"} 100.3004\nt_seconds_count{r=\"/\"} 3\n"));
}

static void labels_are_escaped_and_cut_between_characters(void **state)
{
	_cleanup_(buf_deinit) struct buf labels = BUF_INIT;
	char longest[300];

	metric_label(&labels, "model", "a \"b\" \\ c\nd");
	metric_label(&labels, "kind", "x");
	assert_string_equal(labels.p, "model=\"a \\\"b\\\" \\\\ c\\nd\",kind=\"x\"");
	buf_clear(&labels);
	for (size_t i = 0; i < 298; i += 2)
		memcpy(longest + i, "ä", 2);
	memmove(longest + 1, longest, 298);
	longest[0] = 'x';
	longest[299] = '\0';
	metric_label(&labels, "m", longest);
	assert_int_equal(labels.n, strlen("m=\"\"") + 101);
}

static void a_family_keeps_no_more_labels_than_allowed(void **state)
{
	struct metric_family *f = metric_family_new("calls_total", "Calls", "model=\"other\"", 2);

	metric_add(metric_family_get(f, STR("model=\"a\"")), 1);
	metric_add(metric_family_get(f, STR("model=\"b\"")), 1);
	metric_add(metric_family_get(f, STR("model=\"c\"")), 1);
	metric_add(metric_family_get(f, STR("model=\"d\"")), 1);
	metric_add(metric_family_get(f, STR("model=\"a\"")), 1);
	written("# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{model=\"a\"} 2\n"
		"calls_total{model=\"b\"} 1\ncalls_total{model=\"other\"} 2\n");
}

static void a_hidden_zero_shows_once_it_counts(void **state)
{
	struct metric *m = metric_counter("rare_total", "Rare", "");

	metric_hide_zero(m);
	metrics_write(&text);
	assert_int_equal(text.n, 0);
	metric_add(m, 1);
	written("# HELP rare_total Rare\n# TYPE rare_total counter\nrare_total 1\n");
}

#define TEST(t) cmocka_unit_test_teardown(t, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metrics_of_one_name_stand_together_under_one_head),
		TEST(a_histogram_counts_what_is_below_each_bound),
		TEST(labels_are_escaped_and_cut_between_characters),
		TEST(a_family_keeps_no_more_labels_than_allowed),
		TEST(a_hidden_zero_shows_once_it_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
