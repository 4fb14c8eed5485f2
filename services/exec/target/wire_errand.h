/* What is in the frames of an errand; as wire.h. */
#pragma once

#include "errand.h"
#include "target/wire.h"

/* FRAME_ERRAND, FRAME_STEP, FRAME_DONE */
void wire_add_errand(struct buf *out, const struct errand_request *req);
void wire_add_step(struct buf *out, const struct errand_step *step);
void wire_add_done(struct buf *out, enum errand_op op, const struct errand_result *result);

/* 0, -EBADMSG, or -EPROTO: another version. Strings are in the arena, `data` of a step and of a result in the frame. */
int wire_read_errand(struct arena *a, struct str data, struct errand_request *ret);
int wire_read_step(struct arena *a, struct str data, struct errand_step *ret);
int wire_read_done(struct arena *a, struct str data, enum errand_op op, struct errand_result *ret);
