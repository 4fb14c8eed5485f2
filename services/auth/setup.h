/* The first administrator: a one-time token that only who can read the data folder knows. */
#pragma once

#include "auth.h"

#define SETUP_TOKEN_FILE "setup.token"
#define SETUP_TOKEN_SIZE 64
#define SETUP_TOKEN_LIFE_US (30 * 60 * (int64_t)1000000)

/* Inside a job: whether nobody can sign in with a password: 1, 0 or -errno. */
int setup_is_needed(struct db_conn *c);
/* Inside a write job: waits until no other one that holds this lock runs, and keeps it until the job ends. For what
 * decides by who can administrate. Returns 0 or -errno. */
int setup_lock(struct db_conn *c);
/* Inside a write job: replaces the stored hash by that of `token`. Returns 0 or -errno. */
int setup_token_store(struct db_conn *c, const char *token, int64_t expires_at);
/* Makes a token; it counts once it is stored. */
void setup_token_new(char ret[static SETUP_TOKEN_SIZE]);
