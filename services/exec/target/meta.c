/* A snapshot's meta file as lines: bytes, files, own bytes and whether it is a step's, then the name, whatever is in
 * it. */
#include <errno.h>

#include "files.h"
#include "snapshot_meta.h"

#define META_MAX 8192

int snapshot_meta_read(int dir_fd, struct arena *a, struct snapshot *ret)
{
	struct str text;
	uint64_t n[4];
	int r = file_read(dir_fd, SNAPSHOT_META, META_MAX, a, &text);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(n); i++)
		if (str_to_u64(str_cut(&text, '\n'), UINT64_MAX, &n[i]) < 0)
			return -EBADMSG;
	ret->size = (struct tree_size){n[0], n[1]};
	ret->own_bytes = n[2];
	ret->is_step = n[3] != 0;
	ret->name = arena_strndup(a, text.p, text.n);
	return 0;
}

int snapshot_meta_write(int dir_fd, struct arena *a, const struct snapshot *s)
{
	return file_create(dir_fd, SNAPSHOT_META,
			   str_of(arena_printf(a, "%llu\n%llu\n%llu\n%d\n%s", (unsigned long long)s->size.bytes,
					       (unsigned long long)s->size.files, (unsigned long long)s->own_bytes,
					       s->is_step, s->name)));
}
