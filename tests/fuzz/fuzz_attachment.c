/* Files that are attached: whatever comes in, it is an image of a size within the limits, a text, or refused with a
 * sentence; and its name is one that can be shown. The first byte tells where the name ends. */
#include <stdlib.h>

#include "agent/attachments/sniff.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	struct attachment_type t;
	struct error err = {0};
	size_t cut = n ? (data[0] < n - 1 ? data[0] : n - 1) : 0;
	struct str bytes = {n ? (const char *)data + 1 + cut : "", n ? n - 1 - cut : 0};
	const char *name = attachment_clean_name(a, n ? arena_strndup(a, (const char *)data + 1, cut) : "");

	check(*name && strlen(name) <= 200 && !strpbrk(name, "/\\\"<>\n") && utf8_is_valid(str_of(name)));
	if (attachment_sniff(bytes, name, &t, &err) < 0)
		check(*err.code && *err.message);
	else if (t.is_image)
		check(t.width > 0 && t.height > 0 && t.width <= ATTACHMENT_MAX_SIDE && t.height <= ATTACHMENT_MAX_SIDE);
	else
		check(utf8_is_valid(bytes));
	arena_free(a);
	return 0;
}
