#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/attachments/sniff.h"

#define PNG_HEAD "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"

struct example {
	struct str bytes;
	const char *name, *type; /* or the error's code */
	uint32_t width, height;
	bool is_image;
};

#define BYTES(s)                   \
	{                          \
		(s), sizeof(s) - 1 \
	}

static void the_bytes_say_what_a_file_is(void **state)
{
	static const struct example examples[] = {
		{BYTES(PNG_HEAD "\0\0\1\0\0\0\0\x10\x08\2\0\0\0"), "a.txt", "image/png", 256, 16, true},
		{BYTES("GIF89a\x2\0\x3\0"), "", "image/gif", 2, 3, true},
		{BYTES("\xff\xd8\xff\xe0\0\4ab\xff\xff\xc0\0\x11\x08\0\x20\0\x30\3"), "", "image/jpeg", 48, 32, true},
		{BYTES("RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0"), "", "image/webp", 16, 32, true},
		{BYTES("RIFF\0\0\0\0WEBPVP8L\x0a\0\0\0\x2f\x03\x40\0\0\0\0\0\0\0"), "", "image/webp", 4, 2, true},
		{BYTES("a,b\n"), "x.CSV", "text/csv", 0, 0, false},
		{BYTES("<svg/>"), "x.png", "text/plain", 0, 0, false},
		{BYTES("<svg/>"), "x.svg", "image/svg+xml", 0, 0, false},
		{BYTES(""), "", "attachment_empty", 0, 0, false},
		{BYTES("a\0b"), "x.txt", "attachment_type", 0, 0, false},
		{BYTES("a\xff"), "x.txt", "attachment_type", 0, 0, false},
		{BYTES("%PDF-1.7\n\xe2\xe3"), "x.pdf", "attachment_type", 0, 0, false},
		{BYTES("\x89PNG\r\n\x1a\n"), "", "image_damaged", 0, 0, false},
		{BYTES(PNG_HEAD "\0\0\0\0\0\0\0\x10\x08\2\0\0\0"), "", "image_damaged", 0, 0, false},
		{BYTES(PNG_HEAD "\0\1\0\0\0\0\0\1\x08\2\0\0\0"), "", "image_too_large", 0, 0, false},
		{BYTES(PNG_HEAD "\0\0\x40\0\0\0\x40\0\x08\2\0\0\0"), "", "image_too_large", 0, 0, false},
		{BYTES("\xff\xd8\xff\xe0\xff\xff"), "", "image_damaged", 0, 0, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *e = &examples[i];
		struct attachment_type t;
		struct error err = {0};
		if (attachment_sniff(e->bytes, e->name, &t, &err) < 0) {
			assert_string_equal(err.code, e->type);
			continue;
		}
		assert_string_equal(t.media_type, e->type);
		assert_int_equal(t.is_image, e->is_image);
		assert_int_equal(t.width, e->width);
		assert_int_equal(t.height, e->height);
	}
}

static void names_are_shown_and_are_no_paths(void **state)
{
	static const char *const names[][2] = {
		{"a.txt", "a.txt"},
		{"/etc/passwd", "passwd"},
		{"..\\..\\x.png", "x.png"},
		{"", "file"},
		{"..", "file"},
		{"a/", "a_"},
		{"a\xe2\x80\xaegnp.exe", "agnp.exe"},
		{"a\"<b>\n", "a__b__"},
		{"\xff", "\xef\xbf\xbd"},
	};
	_cleanup_(arena_free_p) struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(attachment_clean_name(a, names[i][0]), names[i][1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_say_what_a_file_is),
		cmocka_unit_test(names_are_shown_and_are_no_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
