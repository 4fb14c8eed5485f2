/* What is in the frames. Numbers are big endian; a text is four bytes of length and the bytes. Both sides check all of
 * it: a request may come from anybody who has the key, an answer from a target that was taken over. */
#pragma once

#include "sandbox/sandbox.h"
#include "spec.h"
#include "target/frame.h"

#define TARGET_VERSION 6
#define TARGET_NAME "ogent-target"

/* FRAME_RUN. The spec without what concerns exec alone (user, key, request_hash, uid, output_max, created_us). */
struct target_request {
	struct spec spec;
	enum sandbox_level level; /* weakest that will do */
	uint32_t shape;           /* sandbox_host_shape of a probe before; 0: the target probes first */
	bool network;             /* the target's own, otherwise none */
};

/* FRAME_REPORT */
struct target_report {
	struct sandbox_report sandbox;
	uint32_t shape;
	bool is_root;
};

void wire_add_hello(struct buf *out);
void wire_add_run(struct buf *out, const struct target_request *req);
void wire_add_probe(struct buf *out);
void wire_add_report(struct buf *out, const struct target_report *report);
/* status, exit_code, signal, reason, cpu_ms, max_rss_kib */
void wire_add_end(struct buf *out, const struct result *result);

/* FRAME_SIGNAL, FRAME_RESIZE */
void wire_add_pair(struct buf *out, enum frame_type type, uint32_t a, uint32_t b);
void wire_add_taken(struct buf *out, uint64_t received, uint64_t taken, bool is_closed);
void wire_add_waiting(struct buf *out, bool is_waiting);

/* All of these return 0, -EBADMSG, or -EPROTO: another version; strings are in the arena. */
int wire_read_hello(struct str data);
int wire_read_probe(struct str data);
int wire_read_run(struct arena *a, struct str data, struct target_request *ret);
int wire_read_report(struct str data, struct target_report *ret);
int wire_read_end(struct str data, struct result *ret);
int wire_read_pair(struct str data, uint32_t *ret_a, uint32_t *ret_b);
int wire_read_taken(struct str data, uint64_t *ret_received, uint64_t *ret_taken, bool *ret_closed);
int wire_read_waiting(struct str data, bool *ret);
