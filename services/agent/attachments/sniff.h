/* What a file is, by its bytes: neither its name nor what its sender calls it counts. Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* An image that is larger than this is one that was made to burst whoever opens it. */
#define ATTACHMENT_MAX_SIDE 16384
#define ATTACHMENT_MAX_PIXELS 100000000

struct attachment_type {
	bool is_image; /* otherwise it is text in UTF-8 */
	const char *media_type;
	uint32_t width, height; /* of an image; pixels */
};

/* name: only its ending, and only to tell one text from another. Returns 0, or -EINVAL with err set
 * ("attachment_empty", "attachment_type", "image_damaged", "image_too_large"). */
int attachment_sniff(struct str bytes, const char *name, struct attachment_type *ret, struct error *err);

/* A name that can be shown and be a file's: without folders, control characters and those that turn the direction of
 * writing, not empty, at most 200 bytes. In the arena. */
const char *attachment_clean_name(struct arena *a, const char *name);
