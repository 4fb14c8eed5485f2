#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/knowledge/read.h"

static void a_file_is_what_its_bytes_say_before_its_name(void **state)
{
	static const struct {
		struct str bytes;
		const char *name, *type;
		int media; /* -1 = refused */
	} rows[] = {
		{STR("hello"), "a.txt", "", MEDIA_TEXT},
		{STR("hello"), "noending", "", MEDIA_TEXT},
		{STR("# hello"), "a.MD", "", MEDIA_MARKDOWN},
		{STR("# hello"), "a", "text/markdown; charset=utf-8", MEDIA_MARKDOWN},
		{STR("  <!DOCTYPE html><p>x"), "a.txt", "text/plain", MEDIA_HTML},
		{STR("<p>x"), "a.htm", "", MEDIA_HTML},
		{STR("%PDF-1.7\n\x00\x01"), "a.txt", "", MEDIA_PDF},
		{STR("junk\n%PDF-1.4"), "x", "", MEDIA_PDF},
		{STR("no pdf"), "a.pdf", "", -1},
		{STR("PK\x03\x04\x00\x00"), "a.docx", "", -1},
		{STR("\x7f"
		     "ELF\x02\x01\x00"),
		 "a.txt", "", -1},
		{STR("\x89PNG\r\n\x1a\n\x00"), "a.png", "image/png", -1},
		{STR("\xff\xfeh\x00i\x00"), "a.txt", "", MEDIA_TEXT},
		{STR(""), "a.txt", "", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = {0};
		enum media m = MEDIA_TEXT;
		int r = media_detect(rows[i].bytes, rows[i].name, rows[i].type, &m, &err);
		if (rows[i].media < 0)
			assert_true(r < 0 && err.code[0]);
		else
			assert_true(r == 0 && (int)m == rows[i].media);
	}
}

static void expect(enum media m, struct str bytes, const char *text, const char *title)
{
	struct read_text t;
	struct error err = {0};

	assert_int_equal(read_document(m, bytes, &t, &err), 0);
	assert_string_equal(t.text.p, text);
	assert_string_equal(t.title.p ? t.title.p : "", title);
	read_text_deinit(&t);
}

static void text_becomes_utf_8_with_line_feeds(void **state)
{
	expect(MEDIA_TEXT,
	       STR("\xef\xbb\xbf"
		   "a\r\nb\rc\x00"
		   "d\x07"),
	       "a\nb\ncd", "");
	expect(MEDIA_TEXT, STR("caf\xe9"), "caf\u00e9", "");
	expect(MEDIA_TEXT, STR("\xff\xfeh\x00i\x00\x3d\xd8\x00\xde"), "hi\U0001f600", "");
	expect(MEDIA_TEXT, STR("\xfe\xff\x00h\x00i"), "hi", "");
	expect(MEDIA_MARKDOWN, STR("\n# The *title*\n\ntext"), "\n# The *title*\n\ntext", "The *title*");
	expect(MEDIA_HTML, STR("<title>T</title><h1>H</h1><script>x</script>y"), "# H\n\ny", "T");
}

static void form_feeds_divide_the_pages_of_a_pdf(void **state)
{
	struct read_text t;
	struct error err = {0};

	assert_int_equal(read_document(MEDIA_PDF_TEXT, STR("one\n\ftwo\n\f\f"), &t, &err), 0);
	assert_int_equal(t.n_pages, 3);
	assert_int_equal(t.pages[1], 5);
	assert_string_equal(t.text.p, "one\n\ntwo\n\n\n");
	read_text_deinit(&t);
}

static void what_has_no_text_says_what_to_do(void **state)
{
	struct read_text t;
	struct error err = {0};

	assert_true(read_document(MEDIA_PDF_TEXT, STR("\f\f"), &t, &err) < 0);
	assert_string_equal(err.code, "document_empty");
	assert_non_null(strstr(err.message, "OCR"));
	read_text_deinit(&t);
	assert_true(read_document(MEDIA_HTML, STR("<script>x</script>"), &t, &err) < 0);
	assert_string_equal(err.code, "document_empty");
	read_text_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_what_its_bytes_say_before_its_name),
		cmocka_unit_test(text_becomes_utf_8_with_line_feeds),
		cmocka_unit_test(form_feeds_divide_the_pages_of_a_pdf),
		cmocka_unit_test(what_has_no_text_says_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
