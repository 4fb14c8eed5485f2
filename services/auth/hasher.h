/* Password hashing (argon2id, RFC 9106) on a lane of its own, so that it holds up nothing else. Every check costs
 * exactly one hash, also when there is nothing to compare with: then a hash with the current parameters is computed and
 * thrown away, so the time does not tell whether an account exists. */
#pragma once

#include <sodium.h>

#include "base/buf.h"
#include "base/error.h"
#include "io/jobs.h"

/* A stored hash above this is not computed: a database is input too. */
#define HASH_MAX_KIB (256 * 1024)
#define HASH_MAX_PASSES 16

struct hash_params {
	uint64_t memory; /* bytes */
	uint64_t passes;
};

/* Whether a hash with them costs a guesser enough: at least one of the minima of OWASP's Password Storage Cheat Sheet
 * (46 MiB and 1 pass, 19 and 2, 12 and 3, 9 and 4, 7 and 5). Returns 0, or -EINVAL with what to set. */
int hash_params_check(const struct hash_params *p, struct error *err);

struct hasher;

struct hasher *hasher_new(uv_loop_t *loop, unsigned threads, unsigned max_queue, const struct hash_params *params);
struct job_lane *hasher_lane(struct hasher *h);
void hasher_free(struct hasher *h);

/* One hash to make or to check. The struct lives until `done` has come. */
struct hash_op {
	struct buf password; /* normal form; wiped when the hash is done or refused */
	bool is_check;
	const char *stored; /* to check: the PHC string, or NULL when there is none */
	void (*done)(struct hash_op *op);

	/* Results. */
	bool has_failed; /* there was not enough memory: answer 503 */
	bool matches;
	bool has_made;                     /* `made` is to be stored: new, or better than `stored` */
	char made[crypto_pwhash_STRBYTES]; /* PHC string */

	/* Its own. */
	unsigned n_hashes;
	struct job job;
	struct hasher *hasher;
};

/* Returns 0, or -EAGAIN when the queue is full: answer 503 with Retry-After. */
int hasher_start(struct hasher *h, struct hash_op *op);
/* Whether a PHC string is argon2id within the bounds above. */
bool hash_is_affordable(const char *stored);
