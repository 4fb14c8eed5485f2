/* What a sign-in by password waits for when the user has a second factor. */
#pragma once

#include "mfa/factors.h"

/* 401 `second_factor_required` with a ticket and the methods. `stored`: the hash that the password matched. */
void second_step_ask(struct exchange *x, const char *user_id, const char *stored, const struct factors *f);
