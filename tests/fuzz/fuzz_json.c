/* base/json: whatever comes in, parsing ends; and what was taken reads back the same after it is written. */
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	struct error err = {0};
	yyjson_doc *doc = json_parse(a, (const char *)data, n, &err);

	check(doc || (*err.code && *err.message));
	if (doc) {
		struct str text = json_val_text(a, yyjson_doc_get_root(doc));
		yyjson_doc *again = json_parse(a, text.p, text.n, NULL);
		check(again != NULL);
		check(yyjson_equals(yyjson_doc_get_root(doc), yyjson_doc_get_root(again)));
	}
	struct buf quoted = BUF_INIT;
	json_quote(&quoted, (struct str){(const char *)data, n});
	check(memchr(data, 0, n) || json_parse(a, quoted.p, quoted.n, NULL));
	buf_deinit(&quoted);
	arena_free(a);
	return 0;
}
