#include "hasher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "password.h"
#include "service/metrics.h"

struct hasher {
	struct job_lane *lane;
	struct hash_params params;
	struct metric *hashes;
};

int hash_params_check(const struct hash_params *p, struct error *err)
{
	static const struct {
		unsigned mib, passes;
	} minima[] = {{46, 1}, {19, 2}, {12, 3}, {9, 4}, {7, 5}};
	unsigned mib = (unsigned)(p->memory >> 20), needed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(minima); i++) {
		if (mib < minima[i].mib)
			continue;
		needed = minima[i].passes;
		break;
	}
	if (needed && p->passes >= needed)
		return 0;
	return error_set(err, "password_time", "password_memory = %u needs password_time = %u at least.", mib, needed);
}

struct hasher *hasher_new(uv_loop_t *loop, unsigned threads, unsigned max_queue, const struct hash_params *params)
{
	struct hasher *h = xcalloc(1, sizeof(*h));

	h->params = *params;
	h->hashes = metric_counter("ogent_auth_password_hashes_total", "Password hashes computed", "");
	h->lane = job_lane_new(loop, "hash", threads, max_queue, NULL, NULL, NULL);
	return h;
}

struct job_lane *hasher_lane(struct hasher *h)
{
	return h->lane;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	job_lane_free(h->lane);
	free(h);
}

bool hash_is_affordable(const char *stored)
{
	unsigned memory, passes, lanes;
	int end = 0;

	return strlen(stored) < crypto_pwhash_STRBYTES &&
	       sscanf(stored, "$argon2id$v=19$m=%8u,t=%4u,p=%4u$%n", &memory, &passes, &lanes, &end) == 3 && end > 0 &&
	       memory <= HASH_MAX_KIB && passes <= HASH_MAX_PASSES && lanes == 1;
}

static void make(struct hash_op *op)
{
	const struct hash_params *p = &op->hasher->params;

	op->n_hashes++;
	op->has_made = crypto_pwhash_str_alg(op->made, op->password.p ? op->password.p : "", op->password.n, p->passes,
					     p->memory, crypto_pwhash_ALG_ARGON2ID13) == 0;
	op->has_failed = !op->has_made;
}

static bool verify(struct hash_op *op)
{
	bool matches;

	op->n_hashes++;
	errno = 0;
	matches = crypto_pwhash_str_verify(op->stored, op->password.p ? op->password.p : "", op->password.n) == 0;
	op->has_failed = !matches && errno == ENOMEM;
	return matches;
}

static void check(struct hash_op *op)
{
	const struct hash_params *p = &op->hasher->params;

	if (!op->stored || !hash_is_affordable(op->stored)) {
		make(op);
		op->has_made = false;
		return;
	}
	op->matches = verify(op);
	if (op->matches && crypto_pwhash_str_needs_rehash(op->stored, p->passes, p->memory) != 0)
		make(op);
}

static void hash_run(struct job *job)
{
	struct hash_op *op = container_of(job, struct hash_op, job);

	op->matches = op->has_made = op->has_failed = false;
	op->n_hashes = 0;
	if (op->is_check)
		check(op);
	else
		make(op);
	buf_wipe(&op->password);
}

static void hash_done(struct job *job)
{
	struct hash_op *op = container_of(job, struct hash_op, job);

	metric_add(op->hasher->hashes, op->n_hashes);
	op->done(op);
}

int hasher_start(struct hasher *h, struct hash_op *op)
{
	int r;

	op->hasher = h;
	op->job.run = hash_run;
	op->job.done = hash_done;
	r = job_submit(h->lane, &op->job);
	if (r < 0)
		buf_wipe(&op->password);
	return r;
}
