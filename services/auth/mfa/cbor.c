#include "mfa/cbor.h"

#include "base/utf8.h"

enum major { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };

#define SIMPLE_FALSE 20
#define SIMPLE_NULL 22

struct head {
	enum major major;
	uint64_t n; /* the number, the length, how many items */
	size_t size;
};

static bool read_head(struct str in, struct head *ret)
{
	static const uint64_t least[] = {24, 1 << 8, 1 << 16, (uint64_t)1 << 32};
	unsigned more = in.n ? (uint8_t)in.p[0] & 31 : 31;

	*ret = (struct head){.n = more, .size = 1};
	if (more > 27)
		return false;
	ret->major = (uint8_t)in.p[0] >> 5;
	if (more < 24)
		return true;
	ret->size += (size_t)1 << (more - 24);
	if (ret->major == MAJOR_SIMPLE || in.n < ret->size)
		return false;
	ret->n = 0;
	for (size_t i = 1; i < ret->size; i++)
		ret->n = ret->n << 8 | (uint8_t)in.p[i];
	return ret->n >= least[more - 24];
}

static size_t item_size(struct str in, unsigned depth);

static struct str behind(struct str in, size_t n)
{
	return (struct str){in.p + n, in.n - n};
}

static bool is_same(struct str a, struct str b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static size_t map_size(struct str in, const struct head *h, unsigned depth)
{
	struct str keys[CBOR_MAX_MAP];
	size_t at = h->size, n;

	if (h->n > CBOR_MAX_MAP)
		return 0;
	for (size_t i = 0; i < h->n; i++) {
		if (!(n = item_size(behind(in, at), depth + 1)))
			return 0;
		keys[i] = (struct str){in.p + at, n};
		for (size_t j = 0; j < i; j++)
			if (is_same(keys[i], keys[j]))
				return 0;
		at += n;
		if (!(n = item_size(behind(in, at), depth + 1)))
			return 0;
		at += n;
	}
	return at;
}

static size_t array_size(struct str in, const struct head *h, unsigned depth)
{
	size_t at = h->size, n;

	for (uint64_t i = 0; i < h->n; i++) {
		if (!(n = item_size(behind(in, at), depth + 1)))
			return 0;
		at += n;
	}
	return at;
}

static size_t item_size(struct str in, unsigned depth)
{
	struct head h;

	if (depth > CBOR_MAX_DEPTH || !read_head(in, &h))
		return 0;
	switch (h.major) {
	case MAJOR_UINT:
	case MAJOR_NEGATIVE: return h.n <= INT64_MAX ? h.size : 0;
	case MAJOR_BYTES: return h.n <= in.n - h.size ? h.size + h.n : 0;
	case MAJOR_TEXT:
		return h.n <= in.n - h.size && utf8_is_valid((struct str){in.p + h.size, h.n}) ? h.size + h.n : 0;
	case MAJOR_ARRAY: return array_size(in, &h, depth);
	case MAJOR_MAP: return map_size(in, &h, depth);
	case MAJOR_SIMPLE: return h.n >= SIMPLE_FALSE && h.n <= SIMPLE_NULL ? h.size : 0;
	case MAJOR_TAG: break;
	}
	return 0;
}

size_t cbor_item_size(struct str in)
{
	return item_size(in, 1);
}

static bool content(struct str item, enum major major, struct str *ret)
{
	struct head h;

	if (!read_head(item, &h) || h.major != major)
		return false;
	*ret = (struct str){item.p + h.size, h.n};
	return true;
}

bool cbor_is_map(struct str item)
{
	struct head h;

	return read_head(item, &h) && h.major == MAJOR_MAP;
}

bool cbor_bytes(struct str item, struct str *ret)
{
	return content(item, MAJOR_BYTES, ret);
}

bool cbor_text(struct str item, struct str *ret)
{
	return content(item, MAJOR_TEXT, ret);
}

bool cbor_int(struct str item, int64_t *ret)
{
	struct head h;

	if (!read_head(item, &h) || h.major > MAJOR_NEGATIVE)
		return false;
	*ret = h.major == MAJOR_UINT ? (int64_t)h.n : -1 - (int64_t)h.n;
	return true;
}

/* The next pair of a map, of which `rest` is what follows. */
static void next_pair(struct str *rest, struct str *key, struct str *value)
{
	*key = (struct str){rest->p, cbor_item_size(*rest)};
	*rest = behind(*rest, key->n);
	*value = (struct str){rest->p, cbor_item_size(*rest)};
	*rest = behind(*rest, value->n);
}

bool cbor_find(struct str map, const char *key, struct str *ret)
{
	struct str k, text;
	struct head h;

	if (!read_head(map, &h) || h.major != MAJOR_MAP)
		return false;
	map = behind(map, h.size);
	for (uint64_t i = 0; i < h.n; i++) {
		next_pair(&map, &k, ret);
		if (cbor_text(k, &text) && str_is(text, key))
			return true;
	}
	return false;
}

bool cbor_find_int(struct str map, int64_t key, struct str *ret)
{
	struct head h;
	struct str k;
	int64_t n;

	if (!read_head(map, &h) || h.major != MAJOR_MAP)
		return false;
	map = behind(map, h.size);
	for (uint64_t i = 0; i < h.n; i++) {
		next_pair(&map, &k, ret);
		if (cbor_int(k, &n) && n == key)
			return true;
	}
	return false;
}
