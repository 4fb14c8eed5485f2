/* Providers of models that people have connected: an address, a key, limits. They are rows of model_providers; each
 * process keeps what it needs of all of them, and reads it anew when one has changed here or in another process.
 *
 * A key is stored sealed (lib/base/seal.h), under DATA/secrets/agent-models.key, and bound to its row. It never leaves
 * the process again, but for its last four characters. */
#pragma once

#include "agent/models/catalogue.h"
#include "base/id.h"
#include "base/seal.h"

struct agent;
struct connections;

#define CONNECTION_MAX_MODELS 300

/* One, as it is in memory. */
struct connection {
	struct list link; /* in the set */
	char id[ID_SIZE];
	const char *owner_id; /* "" = for everybody */
	const char *slug, *name;
	const char *kind; /* "openai", "responses", "anthropic", "ollama", "compatible" */
	const char *base_url, *prefix, *default_model;
	const char *key;                /* clear; "" = none */
	bool is_default, is_unreadable; /* its key was sealed under another one */
	const struct model_provider *provider;
	int64_t context;
	enum model_echo echo;
	yyjson_val *models;            /* names that were chosen, or else found; may be NULL */
	const char *settings, *sealed; /* as stored: whether it is still the same */
	struct model_place *place;
};

/* Reads the key (and makes it at first). NULL with err. */
struct connections *connections_new(struct agent *agent, struct error *err);
void connections_free(struct connections *s);
/* Reads all anew; on_done (may be NULL) comes later, once, also when it failed. */
void connections_reload(struct connections *s, void (*on_done)(void *arg), void *arg);
/* Blocking, at start. Returns 0 or -errno. */
int connections_load(struct connections *s);

/* The one with this slug that the user may use: his own before a shared one. NULL: none. */
const struct connection *connections_find(const struct connections *s, struct str slug, const char *user_id);
const struct connection *connections_get(const struct connections *s, const char *id);
/* The one whose default model "default" means for the user, or NULL. user_id NULL: for everybody. */
const struct connection *connections_default(const struct connections *s, const char *user_id);
/* Calls fn for each that the user may use. */
void connections_each(const struct connections *s, const char *user_id,
		      void (*fn)(void *arg, const struct connection *c), void *arg);
/* A model of it, all copied into the arena; the place is held by the arena. */
const struct model_target *connection_target(const struct connection *c, const char *model, struct arena *a);
/* Whether the kind exists, and the address it has unless told; "" = it must be told. */
const struct model_provider *connection_kind(const char *kind, const char **ret_base_url);

/* Seals a key for the row. Belongs to the arena. */
const char *connection_seal(const struct connections *s, const char *id, const char *key, struct arena *a);
