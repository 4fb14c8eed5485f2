#include "data/packed.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "data/packed_dictionary.h"

#define MARK 0xf7
#define DICTIONARY 1
#define TEXT_MAX (256u << 20)
#define LEVEL 3
/* What a Zstandard frame begins with; not stored. */
#define MAGIC "\x28\xb5\x2f\xfd"
#define MAGIC_SIZE 4
#define HEAD_SIZE 2

bool packed_id_make(struct str text, uint8_t ret[static PACKED_ID_SIZE])
{
	size_t at = 0;

	if (!id_is_valid(text))
		return false;
	for (size_t i = 0; i < PACKED_ID_SIZE; i++, at += 2) {
		at += text.p[at] == '-';
		const char high = text.p[at], low = text.p[at + 1];
		ret[i] = (uint8_t)((high <= '9' ? high - '0' : high - 'a' + 10) << 4 |
				   (low <= '9' ? low - '0' : low - 'a' + 10));
	}
	return true;
}

void packed_id_read(const uint8_t id[static PACKED_ID_SIZE], char ret[static ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < PACKED_ID_SIZE; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*ret++ = '-';
		*ret++ = digits[id[i] >> 4];
		*ret++ = digits[id[i] & 15];
	}
	*ret = '\0';
}

/* Prepared once for the process. */
static ZSTD_CDict *for_packing;
static ZSTD_DDict *for_reading;

static void prepare(void)
{
	for_packing = ZSTD_createCDict(packed_dictionary, PACKED_DICTIONARY_SIZE, LEVEL);
	for_reading = ZSTD_createDDict(packed_dictionary, PACKED_DICTIONARY_SIZE);
	if (!for_packing || !for_reading)
		abort(); /* no memory */
}

struct packer {
	ZSTD_CCtx *packing;
	ZSTD_DCtx *reading;
	struct buf frame; /* what is being read, with its magic */
};

struct packer *packer_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare);
	return xcalloc(1, sizeof(struct packer));
}

void packer_free(struct packer *k)
{
	if (!k)
		return;
	ZSTD_freeCCtx(k->packing);
	ZSTD_freeDCtx(k->reading);
	buf_deinit(&k->frame);
	free(k);
}

static ZSTD_CCtx *packing_of(struct packer *k)
{
	if (k->packing)
		return k->packing;
	k->packing = ZSTD_createCCtx();
	if (!k->packing)
		abort();
	ZSTD_CCtx_setParameter(k->packing, ZSTD_c_dictIDFlag, 0);
	ZSTD_CCtx_refCDict(k->packing, for_packing);
	return k->packing;
}

static ZSTD_DCtx *reading_of(struct packer *k)
{
	if (k->reading)
		return k->reading;
	k->reading = ZSTD_createDCtx();
	if (!k->reading)
		abort();
	ZSTD_DCtx_refDDict(k->reading, for_reading);
	return k->reading;
}

bool packed_text_make(struct packer *k, struct str text, struct buf *out)
{
	size_t from = out->n;

	if (text.n < PACKED_TEXT_MIN || text.n > TEXT_MAX)
		return false;
	buf_reserve(out, ZSTD_compressBound(text.n));
	char *to = out->p + from;
	size_t n = ZSTD_compress2(packing_of(k), to, ZSTD_compressBound(text.n), text.p, text.n);
	bool is_shorter = !ZSTD_isError(n) && n - MAGIC_SIZE + HEAD_SIZE < text.n;

	n -= MAGIC_SIZE;
	if (!is_shorter || n + HEAD_SIZE == PACKED_ID_SIZE) {
		to[0] = '\0';
		return false;
	}
	memmove(to + HEAD_SIZE, to + MAGIC_SIZE, n);
	to[0] = (char)MARK;
	to[1] = DICTIONARY;
	out->n += HEAD_SIZE + n;
	out->p[out->n] = '\0';
	return true;
}

bool packed_text_is(struct str blob)
{
	return blob.n > HEAD_SIZE + 1 && (uint8_t)blob.p[0] == MARK && blob.p[1] == DICTIONARY &&
	       blob.n != PACKED_ID_SIZE;
}

int packed_text_read(struct packer *k, struct str blob, struct buf *out)
{
	if (!packed_text_is(blob))
		return -EBADMSG;
	buf_clear(&k->frame);
	buf_add(&k->frame, MAGIC, MAGIC_SIZE);
	buf_add(&k->frame, blob.p + HEAD_SIZE, blob.n - HEAD_SIZE);
	unsigned long long size = ZSTD_getFrameContentSize(k->frame.p, k->frame.n);
	if (size > TEXT_MAX) /* or unknown, or no frame */
		return -EBADMSG;
	buf_reserve(out, size + 1);
	size_t n = ZSTD_decompressDCtx(reading_of(k), out->p + out->n, size, k->frame.p, k->frame.n);
	if (ZSTD_isError(n) || n != size)
		return -EBADMSG;
	out->n += n;
	out->p[out->n] = '\0';
	return 0;
}
