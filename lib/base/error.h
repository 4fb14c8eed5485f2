/* An error that reaches a user or an operator: a stable code and one sentence that says what to do. */
#pragma once

#include "base/util.h"

struct error {
	char code[40];     /* snake_case, stable; empty = no error */
	char message[400]; /* one sentence or two, no secrets */
};

/* Sets both and returns -EINVAL, so that `return error_set(err, …)` reads well. `err` may be NULL. */
int error_set(struct error *err, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "what: " in front of the message. */
void error_prefix(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
