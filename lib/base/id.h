/* Identifiers and random secrets. */
#pragma once

#include "base/str.h"

#define ID_SIZE 37 /* 36 characters and a NUL */

/* UUIDv7 (RFC 9562): sorts by time of making, also within one millisecond of one process. */
void id_new(char ret_id[static ID_SIZE]);
/* The same by a caller who knows the wall time, in us. */
void id_new_at(char ret_id[static ID_SIZE], int64_t now_us);
/* Whether it is a UUID in lower-case canonical form. */
bool id_is_valid(struct str s);

/* 16 random hex digits, never all 0: for what is told apart within a trace. */
void id_hex(char ret[static 17]);

/* When a UUIDv7 was made, in us since 1970, to the millisecond. 0: it is none. */
int64_t id_time_us(struct str id);

/* `prefix` and n_bytes of randomness as base64url, NUL-terminated. `size` must hold both. */
void secret_new(char *ret, size_t size, const char *prefix, size_t n_bytes);
