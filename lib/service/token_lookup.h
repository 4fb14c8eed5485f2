/* Who a personal access token is: auth is asked (POST /token-lookup), and the answer is kept by the keyring. Several
 * who wait for the same token wait for one question. */
#pragma once

#include "io/http_client.h"
#include "service/token.h"

struct token_lookup;
struct key_wait;

/* auth: where to ask. key, role: of the service that asks; they live on. on_found is called with each good answer.
 */
struct token_lookup *token_lookup_new(struct http_pool *auth, const struct token_key *key, const char *role,
				      void (*on_found)(void *arg, struct str token, const struct identity *id),
				      void *arg);
/* Cancels what is under way; those who wait never hear of it. */
void token_lookup_stop(struct token_lookup *l);
void token_lookup_free(struct token_lookup *l);
/* w->done comes later. False: too many are asked for already. */
bool token_lookup_ask(struct token_lookup *l, struct str token, struct key_wait *w);
/* Auth did not answer just now: nobody can tell. */
bool token_lookup_failed(const struct token_lookup *l);
