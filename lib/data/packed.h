/* How SQLite keeps texts in fewer bytes. Callers of db.h see none of it.
 *
 * An id (a UUID in lower-case canonical form) is a blob of 16 bytes; ids keep their order, and sort behind every text.
 * A long text is a blob of 0xf7 (which begins no UTF-8), the number of its dictionary, and a Zstandard frame (RFC 8878)
 * without its magic number; it is never 16 bytes long. */
#pragma once

#include "base/buf.h"
#include "base/id.h"

#define PACKED_ID_SIZE 16
/* Shorter texts are kept as they are. */
#define PACKED_TEXT_MIN 64

/* Returns false when `text` is no id. */
bool packed_id_make(struct str text, uint8_t ret[static PACKED_ID_SIZE]);
void packed_id_read(const uint8_t id[static PACKED_ID_SIZE], char ret[static ID_SIZE]);

/* What compressing and expanding need, made at the first use. Used by one thread at a time. */
struct packer;
struct packer *packer_new(void);
void packer_free(struct packer *k);

/* Puts the packed text into `out`. Returns false when that would not be shorter. */
bool packed_text_make(struct packer *k, struct str text, struct buf *out);
bool packed_text_is(struct str blob);
/* Puts the text into `out`. Returns 0 or -EBADMSG. */
int packed_text_read(struct packer *k, struct str blob, struct buf *out);
