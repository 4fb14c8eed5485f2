#include "agent/attachments/sniff.h"

#include <errno.h>
#include <strings.h>

#include "base/utf8.h"

#define NAME_MAX_BYTES 200

/* ---- Images: their size, from the head ---- */

static const uint8_t *at(struct str s, size_t from, size_t n)
{
	return from + n <= s.n ? (const uint8_t *)s.p + from : NULL;
}

static uint32_t be(const uint8_t *p, int n)
{
	uint32_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static uint32_t le(const uint8_t *p, int n)
{
	uint32_t v = 0;

	for (int i = n - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* PNG (W3C), section 11.2.1: IHDR is the first chunk. */
static bool read_png(struct str s, struct attachment_type *ret)
{
	const uint8_t *p = at(s, 8, 16);

	ret->media_type = "image/png";
	if (!p || memcmp(p + 4, "IHDR", 4) != 0)
		return false;
	ret->width = be(p + 8, 4);
	ret->height = be(p + 12, 4);
	return true;
}

static bool read_gif(struct str s, struct attachment_type *ret)
{
	const uint8_t *p = at(s, 6, 4);

	ret->media_type = "image/gif";
	if (!p)
		return false;
	ret->width = le(p, 2);
	ret->height = le(p + 2, 2);
	return true;
}

/* ITU-T T.81: the frame's header, behind segments of other kinds. */
static bool read_jpeg(struct str s, struct attachment_type *ret)
{
	size_t i = 2;
	const uint8_t *p;

	ret->media_type = "image/jpeg";
	while ((p = at(s, i, 4))) {
		if (p[0] != 0xff)
			return false;
		if (p[1] == 0xff) { /* filling */
			i++;
			continue;
		}
		if (p[1] >= 0xc0 && p[1] <= 0xcf && p[1] != 0xc4 && p[1] != 0xc8 && p[1] != 0xcc)
			break;
		if (p[1] == 0xd9 || p[1] == 0xda || be(p + 2, 2) < 2)
			return false;
		i += p[1] == 0x01 || (p[1] >= 0xd0 && p[1] <= 0xd8) ? 2 : 2 + be(p + 2, 2);
	}
	p = at(s, i, 9);
	if (!p)
		return false;
	ret->height = be(p + 5, 2);
	ret->width = be(p + 7, 2);
	return true;
}

/* RFC 9649: three forms of the first chunk. */
static bool read_webp(struct str s, struct attachment_type *ret)
{
	const uint8_t *p = at(s, 12, 18);

	ret->media_type = "image/webp";
	if (!p)
		return false;
	if (memcmp(p, "VP8X", 4) == 0) {
		ret->width = le(p + 12, 3) + 1;
		ret->height = le(p + 15, 3) + 1;
		return true;
	}
	if (memcmp(p, "VP8L", 4) == 0 && p[8] == 0x2f) {
		uint32_t bits = le(p + 9, 4);
		ret->width = (bits & 0x3fff) + 1;
		ret->height = (bits >> 14 & 0x3fff) + 1;
		return true;
	}
	if (memcmp(p, "VP8 ", 4) == 0 && memcmp(p + 11, "\x9d\x01\x2a", 3) == 0) {
		ret->width = le(p + 14, 2) & 0x3fff;
		ret->height = le(p + 16, 2) & 0x3fff;
		return true;
	}
	return false;
}

static bool (*image_reader(struct str s))(struct str s, struct attachment_type *ret)
{
	if (str_has_prefix(s, STR("\x89PNG\r\n\x1a\n")))
		return read_png;
	if (str_has_prefix(s, STR("\xff\xd8\xff")))
		return read_jpeg;
	if (str_has_prefix(s, STR("GIF87a")) || str_has_prefix(s, STR("GIF89a")))
		return read_gif;
	if (s.n >= 12 && memcmp(s.p, "RIFF", 4) == 0 && memcmp(s.p + 8, "WEBP", 4) == 0)
		return read_webp;
	return NULL;
}

static int check_size(const struct attachment_type *t, struct error *err)
{
	if (t->width == 0 || t->height == 0)
		return error_set(err, "image_damaged",
				 "The image has no width or height: open it in a program for images and save it anew.");
	if (t->width > ATTACHMENT_MAX_SIDE || t->height > ATTACHMENT_MAX_SIDE ||
	    (uint64_t)t->width * t->height > ATTACHMENT_MAX_PIXELS)
		return error_set(err, "image_too_large",
				 "The image has %u x %u pixels: make it smaller, at most %d on a side and %d million "
				 "in all.",
				 t->width, t->height, ATTACHMENT_MAX_SIDE, ATTACHMENT_MAX_PIXELS / 1000000);
	return 0;
}

/* ---- Other files ---- */

/* Of a text the ending says which one it is. Scripts and pages among them are never anything but text. */
static const char *text_type(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{".csv", "text/csv"},          {".html", "text/html"},      {".htm", "text/html"},
		{".json", "application/json"}, {".md", "text/markdown"},    {".markdown", "text/markdown"},
		{".svg", "image/svg+xml"},     {".xml", "application/xml"}, {".yaml", "application/yaml"},
		{".yml", "application/yaml"},
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(types); i++)
		if (strcasecmp(dot, types[i].ending) == 0)
			return types[i].type;
	return "text/plain";
}

int attachment_sniff(struct str bytes, const char *name, struct attachment_type *ret, struct error *err)
{
	bool (*read)(struct str s, struct attachment_type * ret) = bytes.n ? image_reader(bytes) : NULL;

	*ret = (struct attachment_type){0};
	if (bytes.n == 0)
		return error_set(err, "attachment_empty", "The file is empty.");
	if (read) {
		ret->is_image = true;
		if (!read(bytes, ret))
			return error_set(err, "image_damaged",
					 "The file begins like an image (%s) and is none: open it in a program for "
					 "images and save it anew.",
					 ret->media_type);
		return check_size(ret, err);
	}
	if (memchr(bytes.p, '\0', bytes.n) || !utf8_is_valid(bytes))
		return error_set(err, "attachment_type",
				 "Images (PNG, JPEG, GIF, WebP) and texts in UTF-8 can be attached. Add documents to a "
				 "collection of knowledge, or put other files into the workspace.");
	ret->media_type = text_type(name);
	return 0;
}

/* ---- Names ---- */

/* Those that turn what stands behind them around, so that "gnp.exe" is read as an image. */
static size_t turns(const unsigned char *p, size_t left)
{
	if (left < 3 || p[0] != 0xe2)
		return 0;
	if (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae)))
		return 3;
	return p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9 ? 3 : 0;
}

static const char *without_folders(const char *name)
{
	for (const char *p = name; *p; p++)
		if ((*p == '/' || *p == '\\') && p[1])
			name = p + 1;
	return name;
}

const char *attachment_clean_name(struct arena *a, const char *name)
{
	struct buf valid = BUF_INIT, out = BUF_INIT;
	struct utf8_carry carry = {0};
	const char *ret;

	name = without_folders(name);
	utf8_clean(&carry, name, strlen(name), true, &valid);
	for (size_t i = 0; i < valid.n;) {
		const unsigned char *p = (const unsigned char *)valid.p + i;
		size_t n = turns(p, valid.n - i);
		if (n == 0) {
			bool is_bad = *p < 0x20 || *p == 0x7f || strchr("/\\<>\"", *p);
			buf_add_char(&out, is_bad ? '_' : (char)*p);
			n = 1;
		}
		i += n;
	}
	size_t n = MIN(out.n, (size_t)NAME_MAX_BYTES);
	while (n < out.n && n > 0 && ((unsigned char)out.p[n] & 0xc0) == 0x80)
		n--;
	struct str s = str_trim((struct str){out.p, n});
	ret = s.n == 0 || str_is(s, ".") || str_is(s, "..") ? "file" : arena_strndup(a, s.p, s.n);
	buf_deinit(&valid);
	buf_deinit(&out);
	return ret;
}
