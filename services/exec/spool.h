/* The output of one command, bounded: the head is kept up to half of the limit, then the newest bytes in a ring of the
 * other half; what falls out between is counted. Offsets count the bytes of stdout and stderr together as they came.
 * Marks remember which bytes belong to which stream, and when they came.
 *
 * One process writes (the supervisor), any number read at the same time, also after the writer died. The file is
 * sparse: header, marks of the head, ring of marks of the tail, head, ring. A reader checks after each read of the ring
 * that the writer had not passed by meanwhile. */
#pragma once

#include <sys/types.h>

#include "base/util.h"

enum spool_stream { SPOOL_STDOUT = 1, SPOOL_STDERR = 2 };

/* The file's first bytes; machine byte order, because it never leaves the machine. */
struct spool_header {
	uint64_t magic;
	uint64_t head_max, tail_max;     /* bytes */
	uint64_t marks_max;              /* of head and of tail, each */
	uint64_t total;                  /* bytes so far */
	uint64_t head_end;               /* where the head ends; UINT64_MAX while it grows */
	uint64_t tail_start;             /* the oldest byte that the ring still has */
	uint64_t head_marks, tail_marks; /* ever made; the ring has the newest marks_max */
};

struct spool_mark {
	uint64_t offset;
	uint32_t at_ms; /* since the command's start */
	uint32_t stream;
};

struct spool_writer {
	int dir_fd; /* the command's folder; the file is made at the first byte */
	int fd;
	int err; /* the first failure (a full disk): from then on output is only counted */
	uint64_t lost;
	uint32_t mark_at_ms, mark_stream;
	struct spool_header head;
};

/* `max`: bytes kept, at least 1024. The folder's fd stays the caller's. */
void spool_writer_init(struct spool_writer *w, int dir_fd, uint64_t max);
void spool_write(struct spool_writer *w, enum spool_stream stream, uint32_t at_ms, const void *data, size_t n);
/* All bytes that came, and those of them that are not kept. */
uint64_t spool_total(const struct spool_writer *w);
uint64_t spool_truncated(const struct spool_writer *w);
/* Makes it durable. Returns 0 or -errno (also of an earlier write). */
int spool_writer_sync(struct spool_writer *w);
void spool_writer_deinit(struct spool_writer *w);

struct spool_reader {
	int fd; /* -1 while there is no output */
	struct spool_header head;
};

/* No file yet, or one without its first byte, is an empty spool. Returns 0 or -errno (-EBADMSG: not a spool). */
int spool_reader_open(struct spool_reader *r, int dir_fd);
void spool_reader_deinit(struct spool_reader *r);
/* Bytes so far, read anew. */
uint64_t spool_reader_total(struct spool_reader *r);

struct spool_piece {
	uint64_t offset;  /* of the first byte; above the wanted one if bytes in between are gone */
	uint64_t skipped; /* how many of those */
	size_t n;         /* 0 = no more output yet */
	enum spool_stream stream;
	uint32_t at_ms;
};

/* Reads from `offset`, at most `size` bytes of one stream; ret->offset + ret->n is where to go on. Returns 0 or -errno.
 */
int spool_read(struct spool_reader *r, uint64_t offset, void *data, size_t size, struct spool_piece *ret);
