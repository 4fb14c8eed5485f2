/* The life of signing keys, apart from where they are kept: published, then signing, then checked with until the last
 * token that it signed has ended, then gone. */
#pragma once

#include "base/str.h"

#define KEYS_MAX 12

enum key_state { KEY_NEXT, KEY_ACTIVE, KEY_OLD, KEY_GONE };

struct key_row {
	char kid[65];
	char algorithm[16];  /* "Ed25519", "ES256", "RS256" */
	int64_t created_at;  /* us */
	int64_t active_from; /* us */
	enum key_state state;
	int64_t gone_at; /* us; of an old one */
};

struct key_policy {
	const char *algorithm;
	int64_t lead_us;   /* published so long before it signs: at least max-age of the key set */
	int64_t keep_us;   /* published so long after it signed last: life of a token and skew of clocks */
	int64_t rotate_us; /* signs so long; 0: until told otherwise */
};

struct key_plan {
	bool make_key;       /* a new pair is due */
	int64_t active_from; /* of that one */
	int active;          /* index of the row that signs, -1: none */
	int64_t again_at;    /* when to look again, unless something is told before */
};

/* Sets state and gone_at of the rows, which come in any order. */
void key_plan(struct key_row *rows, size_t n, const struct key_policy *policy, int64_t now, struct key_plan *ret);
