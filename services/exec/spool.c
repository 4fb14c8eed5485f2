#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x6c6f6f7073676f31ull
#define FILE_NAME "output"
#define MARKS_AT 4096
#define MARK_EVERY_MS 10
#define MARK_SIZE sizeof(struct spool_mark)

/* ---- Where things are ---- */

static uint64_t head_at(const struct spool_header *h)
{
	uint64_t end = MARKS_AT + 2 * h->marks_max * MARK_SIZE;

	return (end + 4095) & ~4095ull;
}

static off_t data_position(const struct spool_header *h, uint64_t offset)
{
	if (offset < h->head_end)
		return (off_t)(head_at(h) + offset);
	return (off_t)(head_at(h) + h->head_max + (offset - h->head_end) % h->tail_max);
}

static off_t mark_position(const struct spool_header *h, bool tail, uint64_t index)
{
	uint64_t slot = tail ? h->marks_max + index % h->marks_max : index;

	return (off_t)(MARKS_AT + slot * MARK_SIZE);
}

static bool head_is_closed(const struct spool_header *h)
{
	return h->head_end != UINT64_MAX;
}

/* ---- Writing ---- */

/* The writer goes at most this far before it tells readers again. */
static uint64_t stride(const struct spool_header *h)
{
	return MIN(h->tail_max / 4, 256 * 1024);
}

void spool_writer_init(struct spool_writer *w, int dir_fd, uint64_t max)
{
	*w = (struct spool_writer){.dir_fd = dir_fd, .fd = -1};
	w->head.magic = MAGIC;
	w->head.head_max = max / 2;
	w->head.tail_max = max - max / 2;
	w->head.marks_max = MAX(64, MIN(max / 1024, 65536));
	w->head.head_end = UINT64_MAX;
}

static void put(struct spool_writer *w, const void *data, size_t n, off_t at)
{
	const char *p = data;

	while (n > 0 && w->err == 0) {
		ssize_t k = pwrite(w->fd, p, n, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			w->err = -errno;
			return;
		}
		p += k;
		n -= (size_t)k;
		at += k;
	}
}

static void put_header(struct spool_writer *w)
{
	put(w, &w->head, sizeof(w->head), 0);
}

static void open_file(struct spool_writer *w)
{
	w->fd = openat(w->dir_fd, FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0)
		w->err = -errno;
	else
		put_header(w);
}

static void close_head(struct spool_writer *w)
{
	w->head.head_end = w->head.tail_start = w->head.total;
	w->mark_stream = 0; /* the ring's first byte has a mark of its own */
}

/* The ring's oldest mark goes when a new one takes its place; bytes before the next one have no stream any more. */
static void drop_oldest_mark(struct spool_writer *w)
{
	struct spool_header *h = &w->head;
	struct spool_mark next;

	if (h->tail_marks < h->marks_max)
		return;
	if (pread(w->fd, &next, MARK_SIZE, mark_position(h, true, h->tail_marks - h->marks_max + 1)) != MARK_SIZE)
		w->err = -EIO;
	else if (next.offset > h->tail_start) {
		h->tail_start = next.offset;
		put_header(w);
	}
}

static void add_mark(struct spool_writer *w, enum spool_stream stream, uint32_t at_ms)
{
	struct spool_header *h = &w->head;
	struct spool_mark mark = {h->total, at_ms, stream};

	if (w->mark_stream == stream && at_ms - w->mark_at_ms < MARK_EVERY_MS)
		return;
	if (!head_is_closed(h) && h->head_marks == h->marks_max)
		close_head(w);
	if (head_is_closed(h)) {
		drop_oldest_mark(w);
		put(w, &mark, MARK_SIZE, mark_position(h, true, h->tail_marks++));
	} else {
		put(w, &mark, MARK_SIZE, mark_position(h, false, h->head_marks++));
	}
	w->mark_stream = stream;
	w->mark_at_ms = at_ms;
}

/* Room in the head, or in the ring up to its end; the ring's oldest bytes were given up at the step before. */
static size_t room(const struct spool_header *h)
{
	if (!head_is_closed(h))
		return h->head_max - h->total;
	return MIN(stride(h), h->tail_max - (h->total - h->head_end) % h->tail_max);
}

static void give_up_oldest(struct spool_header *h)
{
	uint64_t next = h->total + stride(h);

	if (head_is_closed(h) && next - h->tail_start > h->tail_max)
		h->tail_start = next - h->tail_max;
}

void spool_write(struct spool_writer *w, enum spool_stream stream, uint32_t at_ms, const void *data, size_t n)
{
	const char *p = data;

	if (w->fd < 0 && w->err == 0)
		open_file(w);
	while (n > 0 && w->err == 0) {
		size_t k;

		if (!head_is_closed(&w->head) && w->head.total == w->head.head_max)
			close_head(w);
		add_mark(w, stream, at_ms);
		k = MIN(n, room(&w->head));
		put(w, p, k, data_position(&w->head, w->head.total));
		if (w->err < 0)
			break;
		w->head.total += k;
		give_up_oldest(&w->head);
		put_header(w);
		p += k;
		n -= k;
	}
	w->lost += n;
}

uint64_t spool_total(const struct spool_writer *w)
{
	return w->head.total + w->lost;
}

uint64_t spool_truncated(const struct spool_writer *w)
{
	return w->lost + (head_is_closed(&w->head) ? w->head.tail_start - w->head.head_end : 0);
}

int spool_writer_sync(struct spool_writer *w)
{
	if (w->fd >= 0 && fdatasync(w->fd) < 0 && w->err == 0)
		w->err = -errno;
	return w->err;
}

void spool_writer_deinit(struct spool_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* ---- Reading ---- */

static int read_header(struct spool_reader *r)
{
	ssize_t n = pread(r->fd, &r->head, sizeof(r->head), 0);

	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENODATA;
	if (n != sizeof(r->head) || r->head.magic != MAGIC || r->head.tail_max == 0 || r->head.marks_max == 0)
		return -EBADMSG;
	return 0;
}

int spool_reader_open(struct spool_reader *r, int dir_fd)
{
	int err;

	*r = (struct spool_reader){.fd = openat(dir_fd, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
	if (r->fd < 0)
		return errno == ENOENT ? 0 : -errno;
	err = read_header(r);
	if (err < 0)
		spool_reader_deinit(r);
	/* Made this moment, or on a disk without room for its first byte: as if it were not there. */
	return err == -ENODATA ? 0 : err;
}

void spool_reader_deinit(struct spool_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

uint64_t spool_reader_total(struct spool_reader *r)
{
	if (r->fd < 0 || read_header(r) < 0)
		return 0;
	return r->head.total;
}

static int read_mark(struct spool_reader *r, bool tail, uint64_t index, struct spool_mark *ret)
{
	ssize_t n = pread(r->fd, ret, MARK_SIZE, mark_position(&r->head, tail, index));

	return n < 0 ? -errno : n == (ssize_t)MARK_SIZE ? 0 : -EBADMSG;
}

/* The mark that `offset` is under, and in *ret_end where the next one begins. */
static int find_mark(struct spool_reader *r, uint64_t offset, struct spool_mark *ret, uint64_t *ret_end)
{
	const struct spool_header *h = &r->head;
	bool tail = offset >= h->head_end;
	uint64_t count = tail ? h->tail_marks : h->head_marks;
	uint64_t low = tail && count > h->marks_max ? count - h->marks_max : 0, high = count;
	struct spool_mark mark;
	int err;

	*ret_end = tail ? h->total : MIN(h->total, h->head_end);
	*ret = (struct spool_mark){offset, 0, SPOOL_STDOUT};
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		err = read_mark(r, tail, middle, &mark);
		if (err < 0)
			return err;
		if (mark.offset <= offset) {
			*ret = mark;
			low = middle + 1;
		} else {
			*ret_end = mark.offset;
			high = middle;
		}
	}
	return 0;
}

/* Where to go on when the wanted bytes are gone: for one who cannot keep up, the middle of what is left. */
static uint64_t move_on(const struct spool_header *h, uint64_t offset, unsigned tries)
{
	if (offset < h->head_end || offset >= h->tail_start)
		return offset;
	return h->tail_start + (tries > 0 ? (h->total - h->tail_start) / 2 : 0);
}

int spool_read(struct spool_reader *r, uint64_t offset, void *data, size_t size, struct spool_piece *ret)
{
	uint64_t at = offset, end;
	struct spool_mark mark;
	ssize_t n = 0;
	int err;

	*ret = (struct spool_piece){.offset = offset};
	if (r->fd < 0)
		return 0;
	for (unsigned tries = 0;; tries++) {
		err = read_header(r);
		if (err < 0)
			return err;
		if (n > 0 && (at < r->head.head_end || at >= r->head.tail_start))
			break; /* nothing passed by while we read */
		at = move_on(&r->head, at, tries);
		if (at >= r->head.total)
			return 0;
		err = find_mark(r, at, &mark, &end);
		if (err < 0)
			return err;
		n = pread(r->fd, data, MIN(size, end - at), data_position(&r->head, at));
		/* The ring's bytes are together in the file only up to its end. */
		if (n < 0)
			return -errno;
		if (at >= r->head.head_end)
			n = MIN(n, (ssize_t)(r->head.tail_max - (at - r->head.head_end) % r->head.tail_max));
		if (n == 0)
			return -EBADMSG;
	}
	*ret = (struct spool_piece){at, at - offset, (size_t)n, (enum spool_stream)mark.stream, mark.at_ms};
	return 0;
}
