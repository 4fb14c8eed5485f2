/* Acts that people confirm with a second factor, if this installation or they themselves want it so: auth knows
 * (POST /confirmations/check, services/auth/mfa/confirmations.c). An act's name is a hash of all that matters about it,
 * so that a confirmation is good for nothing else. */
#pragma once

#include "base/encode.h"
#include "service/service.h"

/* The texts that make an act, ended by NULL → its name. */
void confirmation_act(char ret[static SHA256_HEX_SIZE], ...) __attribute__((sentinel));

/* May the person of x do this? `given`: the confirmation that came along, or NULL. `done` is called when he may;
 * otherwise the answer is out: 403 `confirmation_required` {act, methods}, 403 `second_factor_needed`, or 503. x is
 * held meanwhile; it may have no client any more when `done` comes. Strings are copied. */
void confirmation_ask(struct exchange *x, const char *act, const char *given, void (*done)(void *arg), void *arg);
/* The refusal of another service that was asked on behalf of the person: answers as it did. */
void confirmation_pass_on(struct exchange *x, yyjson_val *problem);
