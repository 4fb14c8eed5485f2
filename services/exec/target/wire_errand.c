#include "target/wire_errand.h"

#include <errno.h>

#include "base/id.h"
#include "base/utf8.h"
#include "target/bytes.h"

#define ERRNO_MAX 4095

/* ---- Writing ---- */

void wire_add_errand(struct buf *out, const struct errand_request *req)
{
	struct buf b = BUF_INIT;

	add_u32(&b, TARGET_VERSION);
	add_text(&b, str_of(req->workspace));
	add_u32(&b, req->writes);
	add_u32(&b, req->alone);
	add_u64(&b, req->bytes_max);
	add_u32(&b, req->snapshots_max);
	add_u32(&b, req->steps_max);
	finish(out, FRAME_ERRAND, &b);
}

void wire_add_step(struct buf *out, const struct errand_step *s)
{
	struct buf b = BUF_INIT;

	add_u32(&b, s->op);
	add_u32(&b, s->flags);
	add_text(&b, str_of(s->path ? s->path : ""));
	add_text(&b, str_of(s->other ? s->other : ""));
	add_u32(&b, s->mode);
	add_u64(&b, s->offset);
	add_u64(&b, s->n);
	add_text(&b, s->data);
	finish(out, FRAME_STEP, &b);
}

static void add_stat(struct buf *b, const struct stat *st)
{
	add_u32(b, st->st_mode);
	add_u64(b, (uint64_t)st->st_size);
	add_u64(b, st->st_ino);
	add_u64(b, (uint64_t)st->st_mtim.tv_sec);
	add_u32(b, (uint32_t)st->st_mtim.tv_nsec);
}

static void add_snapshot(struct buf *b, const struct snapshot *s)
{
	add_text(b, str_of(s->id));
	add_text(b, str_of(s->name ? s->name : ""));
	add_u64(b, s->size.bytes);
	add_u64(b, s->size.files);
	add_u32(b, s->is_step);
}

static void add_content(struct buf *b, enum errand_op op, const struct errand_result *r)
{
	add_u32(b, r->was_there);
	add_stat(b, &r->st);
	add_u64(b, r->size.bytes);
	add_u64(b, r->size.files);
	add_u32(b, r->is_measured);
	add_u32(b, r->is_more);
	add_u32(b, (uint32_t)r->n);
	for (size_t i = 0; i < r->n; i++) {
		add_text(b, str_of(r->items[i].name));
		add_stat(b, &r->items[i].st);
		add_text(b, str_of(r->items[i].link ? r->items[i].link : ""));
	}
	if (op == ERRAND_KEEP)
		add_snapshot(b, &r->snapshot);
	add_u32(b, (uint32_t)r->list.n);
	for (size_t i = 0; i < r->list.n; i++)
		add_snapshot(b, &r->list.items[i]);
	add_text(b, r->data);
}

void wire_add_done(struct buf *out, enum errand_op op, const struct errand_result *r)
{
	struct buf b = BUF_INIT;

	add_u32(&b, (uint32_t)-r->result);
	if (r->result < 0) {
		add_text(&b, str_of(r->err.code));
		add_text(&b, str_of(r->err.message));
	} else {
		add_content(&b, op, r);
	}
	if (b.n > FRAME_DONE_MAX) {
		buf_clear(&b);
		add_u32(&b, EFBIG);
		add_text(&b, STR(""));
		add_text(&b, STR(""));
	}
	finish(out, FRAME_DONE, &b);
}

/* ---- Reading ---- */

int wire_read_errand(struct arena *a, struct str data, struct errand_request *ret)
{
	struct reader r = reader_of(data);
	struct errand_request req = {0};

	if (get_u32(&r) != TARGET_VERSION)
		return r.failed ? -EBADMSG : -EPROTO;
	req.workspace = get_text(&r, a);
	req.writes = get_bool(&r);
	req.alone = get_bool(&r);
	req.bytes_max = get_u64(&r);
	req.snapshots_max = get_u32(&r);
	req.steps_max = get_u32(&r);
	if (ended(&r) < 0 || !workspace_is_valid(str_of(req.workspace)))
		return -EBADMSG;
	*ret = req;
	return 0;
}

static bool is_snapshot_or_none(const char *id)
{
	return !*id || id_is_valid(str_of(id));
}

/* What the operation takes as a name, before it comes near a file system. */
static bool makes_sense(const struct errand_step *s)
{
	switch (s->op) {
	case ERRAND_RESTORE:
	case ERRAND_DROP: return id_is_valid(str_of(s->other));
	case ERRAND_COPY: return workspace_is_valid(str_of(s->path)) && is_snapshot_or_none(s->other);
	case ERRAND_MOVE: return tree_path_is_valid(str_of(s->path)) && tree_path_is_valid(str_of(s->other));
	case ERRAND_WRITE: return s->data.n <= ERRAND_DATA_MAX;
	default: return tree_path_is_valid(str_of(s->path));
	}
}

int wire_read_step(struct arena *a, struct str data, struct errand_step *ret)
{
	struct reader r = reader_of(data);
	struct errand_step s = {0};
	uint32_t op = get_u32(&r);

	s.flags = get_u32(&r);
	s.path = get_text(&r, a);
	s.other = get_text(&r, a);
	s.mode = get_u32(&r);
	s.offset = get_u64(&r);
	s.n = get_u64(&r);
	s.data = get_bytes(&r);
	s.op = (enum errand_op)op;
	if (ended(&r) < 0 || op == ERRAND_NONE || op >= ERRAND_OPS || (s.flags & ~(unsigned)ERRAND_FLAGS) ||
	    s.mode > 0777 || s.offset > INT64_MAX || !makes_sense(&s))
		return -EBADMSG;
	*ret = s;
	return 0;
}

static void get_stat(struct reader *r, struct stat *ret)
{
	ret->st_mode = get_u32(r);
	ret->st_size = (off_t)get_u64(r);
	ret->st_ino = get_u64(r);
	ret->st_mtim.tv_sec = (time_t)get_u64(r);
	ret->st_mtim.tv_nsec = get_u32(r);
	/* A time is shown as a year of four digits. */
	if (ret->st_size < 0 || ret->st_mtim.tv_sec < -62135596800 || ret->st_mtim.tv_sec > 253402300799 ||
	    ret->st_mtim.tv_nsec > 999999999)
		r->failed = true;
}

static const char *get_clean(struct reader *r, struct arena *a)
{
	const char *text = get_text(r, a);

	r->failed |= !utf8_is_valid(str_of(text));
	return text;
}

static void get_snapshot(struct reader *r, struct arena *a, struct snapshot *ret)
{
	*ret = (struct snapshot){.name = ""};
	get_field(r, ret->id, sizeof(ret->id));
	ret->name = get_clean(r, a);
	ret->size.bytes = get_u64(r);
	ret->size.files = get_u64(r);
	ret->is_step = get_bool(r);
	r->failed |= !id_is_valid(str_of(ret->id));
}

/* Each takes so many bytes at least; the number is bounded by what is there. */
static size_t get_count(struct reader *r, size_t each)
{
	uint32_t n = get_u32(r);

	r->failed |= n > r->n / each;
	return r->failed ? 0 : n;
}

static void get_items(struct reader *r, struct arena *a, struct errand_result *ret)
{
	ret->n = get_count(r, 36);
	if (ret->n > 0)
		ret->items = arena_alloc(a, ret->n * sizeof(*ret->items));
	for (size_t i = 0; i < ret->n; i++) {
		struct tree_item *item = &ret->items[i];

		*item = (struct tree_item){.name = get_clean(r, a)};
		get_stat(r, &item->st);
		item->link = get_clean(r, a);
		if (!S_ISLNK(item->st.st_mode))
			item->link = NULL;
		r->failed |= !*item->name || strchr(item->name, '/');
	}
}

static void get_content(struct reader *r, struct arena *a, enum errand_op op, struct errand_result *ret)
{
	ret->was_there = get_bool(r);
	get_stat(r, &ret->st);
	ret->size.bytes = get_u64(r);
	ret->size.files = get_u64(r);
	ret->is_measured = get_bool(r);
	ret->is_more = get_bool(r);
	get_items(r, a, ret);
	if (op == ERRAND_KEEP)
		get_snapshot(r, a, &ret->snapshot);
	ret->list.n = get_count(r, 28);
	if (ret->list.n > 0)
		ret->list.items = arena_alloc(a, ret->list.n * sizeof(*ret->list.items));
	for (size_t i = 0; i < ret->list.n; i++)
		get_snapshot(r, a, &ret->list.items[i]);
	ret->data = get_bytes(r);
}

int wire_read_done(struct arena *a, struct str data, enum errand_op op, struct errand_result *ret)
{
	struct reader r = reader_of(data);
	struct errand_result got = {0};
	uint32_t err = get_u32(&r);

	if (err) {
		get_field(&r, got.err.code, sizeof(got.err.code));
		get_field(&r, got.err.message, sizeof(got.err.message));
	} else {
		get_content(&r, a, op, &got);
	}
	if (ended(&r) < 0 || err > ERRNO_MAX || got.data.n > ERRAND_BLOCK || (got.is_more && got.n == 0) ||
	    !utf8_is_valid(str_of(got.err.code)) || !utf8_is_valid(str_of(got.err.message)))
		return -EBADMSG;
	got.result = -(int)err;
	*ret = got;
	return 0;
}
