/* Personal access tokens: "ogp_", the 32 hex digits of an id, a secret of 30 letters and digits (178 bits), and the
 * CRC-32 of all that in 6 letters and digits. The form is for scanners of leaked secrets; what is mistyped or made up
 * is refused by the checksum, without asking anybody. */
#pragma once

#include "base/id.h"

#define PERSONAL_TOKEN_PREFIX "ogp_"
#define PERSONAL_TOKEN_LEN 72
#define PERSONAL_TOKEN_SIZE (PERSONAL_TOKEN_LEN + 1)

/* Whether it claims to be one. */
bool personal_token_is(struct str token);
/* A new one for an id of base/id.h. */
void personal_token_new(const char *id, char ret[static PERSONAL_TOKEN_SIZE]);
/* Returns false when form or checksum are wrong. */
bool personal_token_read(struct str token, char ret_id[static ID_SIZE]);
