#include "agent/evaluations/same_json.h"

#define STEPS_MAX 2000000

struct compare {
	long steps;
	bool is_subset;
};

static bool same(struct compare *c, yyjson_val *asked, yyjson_val *given);

static yyjson_val *member(struct compare *c, yyjson_val *obj, yyjson_val *name)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(obj, i, max, key, val)
	{
		if (++c->steps > STEPS_MAX)
			return NULL;
		if (yyjson_get_len(key) == yyjson_get_len(name) &&
		    memcmp(yyjson_get_str(key), yyjson_get_str(name), yyjson_get_len(name)) == 0)
			return val;
	}
	return NULL;
}

static bool same_members(struct compare *c, yyjson_val *asked, yyjson_val *given)
{
	yyjson_val *key, *val, *other;
	size_t i, max;

	if (!c->is_subset && yyjson_obj_size(asked) != yyjson_obj_size(given))
		return false;
	yyjson_obj_foreach(asked, i, max, key, val)
	{
		other = member(c, given, key);
		if (!other || !same(c, val, other))
			return false;
	}
	return true;
}

/* In order; of a subset each item asked for is the first that fits behind the one before. */
static bool same_items(struct compare *c, yyjson_val *asked, yyjson_val *given)
{
	size_t n_asked = yyjson_arr_size(asked), n_given = yyjson_arr_size(given), at = 0;
	yyjson_val *want = yyjson_arr_get_first(asked), *have = yyjson_arr_get_first(given);

	if (n_asked > n_given || (!c->is_subset && n_asked != n_given))
		return false;
	for (size_t i = 0; i < n_given && at < n_asked; i++, have = unsafe_yyjson_get_next(have)) {
		if (same(c, want, have)) {
			at++;
			want = unsafe_yyjson_get_next(want);
		} else if (!c->is_subset) {
			return false;
		}
	}
	return at == n_asked;
}

static bool same_numbers(yyjson_val *a, yyjson_val *b)
{
	if (yyjson_is_uint(a) && yyjson_is_uint(b))
		return yyjson_get_uint(a) == yyjson_get_uint(b);
	if (yyjson_is_int(a) && yyjson_is_int(b) && yyjson_is_sint(a) == yyjson_is_sint(b))
		return yyjson_get_sint(a) == yyjson_get_sint(b);
	return yyjson_get_num(a) == yyjson_get_num(b);
}

static bool same(struct compare *c, yyjson_val *asked, yyjson_val *given)
{
	if (++c->steps > STEPS_MAX)
		return false;
	if (yyjson_is_num(asked) && yyjson_is_num(given))
		return same_numbers(asked, given);
	if (yyjson_get_type(asked) != yyjson_get_type(given))
		return false;
	if (yyjson_is_obj(asked))
		return same_members(c, asked, given);
	if (yyjson_is_arr(asked))
		return same_items(c, asked, given);
	return unsafe_yyjson_equals(asked, given);
}

enum same_json same_json(yyjson_val *asked, yyjson_val *given, bool is_subset)
{
	struct compare c = {.is_subset = is_subset};
	bool is_same = same(&c, asked, given);

	return c.steps > STEPS_MAX ? SAME_JSON_TOO_MUCH : is_same ? SAME_JSON_YES : SAME_JSON_NO;
}
