#include "embeddings.h"

#include <ctype.h>
#include <math.h>

#include "base/encode.h"
#include "chat.h"

#define TEXTS_MAX 256
#define BEGINNING 4 /* letters */

static void count(float *to, const char *p, size_t n, float weight)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint32_t)tolower((unsigned char)p[i])) * 16777619u;
	to[h % DEMO_DIMENSION] += h & 0x10000u ? -weight : weight;
}

static void embed(struct str text, float *to)
{
	double length = 0;
	size_t i = 0;

	memset(to, 0, DEMO_DIMENSION * sizeof(*to));
	while (i < text.n) {
		size_t from = i;
		while (i < text.n && (isalnum((unsigned char)text.p[i]) || (unsigned char)text.p[i] >= 0x80))
			i++;
		if (i > from)
			count(to, text.p + from, i - from, 1);
		if (i > from + BEGINNING)
			count(to, text.p + from, BEGINNING, 0.5f);
		i += i == from;
	}
	for (size_t k = 0; k < DEMO_DIMENSION; k++)
		length += (double)to[k] * to[k];
	for (size_t k = 0; k < DEMO_DIMENSION && length > 0; k++)
		to[k] = (float)(to[k] / sqrt(length));
}

static void add_vector(struct buf *out, const float *vector, bool is_base64)
{
	if (is_base64) {
		buf_add_char(out, '"');
		base64_encode(out, vector, DEMO_DIMENSION * sizeof(*vector)); /* little-endian floats */
		buf_add_char(out, '"');
		return;
	}
	for (size_t k = 0; k < DEMO_DIMENSION; k++)
		buf_printf(out, "%c%.6g", k ? ',' : '[', (double)vector[k]);
	buf_add_char(out, ']');
}

static void add_item(struct buf *out, struct str text, size_t index, bool is_base64, size_t *tokens)
{
	float vector[DEMO_DIMENSION];

	embed(text, vector);
	*tokens += text.n / 4 + 1;
	buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", index ? "," : "", index);
	add_vector(out, vector, is_base64);
	buf_add_char(out, '}');
}

void demo_embeddings(struct exchange *x)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	yyjson_val *input = yyjson_obj_get(x->body, "input"), *item;
	bool is_base64 = strcmp(json_get_str(x->body, "encoding_format", "float"), "base64") == 0;
	size_t i, max, tokens = 0;

	buf_add_str(&out, "{\"object\":\"list\",\"data\":[");
	if (yyjson_is_str(input))
		add_item(&out, (struct str){yyjson_get_str(input), yyjson_get_len(input)}, 0, is_base64, &tokens);
	yyjson_arr_foreach(input, i, max, item)
	{
		if (yyjson_is_str(item) && i < TEXTS_MAX)
			add_item(&out, (struct str){yyjson_get_str(item), yyjson_get_len(item)}, i, is_base64, &tokens);
	}
	if (tokens == 0 || yyjson_arr_size(input) > TEXTS_MAX) {
		demo_reply_error(x, 400, "invalid_request", "input", "\"input\" is a text or up to 256 texts.");
		return;
	}
	buf_printf(&out, "],\"model\":\"ogent-demo\",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", tokens,
		   tokens);
	reply_raw_json(x, 200, buf_str(&out));
}
