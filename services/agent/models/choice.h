/* Which models there are and which one "default" means: an OpenAI-compatible server when one is configured, else an
 * Ollama that answers, else the demo model. While only the demo model is there, Ollama is looked for again at most
 * every 30 s, when somebody asks. */
#pragma once

#include "agent/models/connection.h"
#include "service/service.h"

struct models;

/* Reads the list of prices and the connected providers, blocking. NULL with err. */
struct models *models_new(struct agent *agent, struct error *err);
struct connections *models_connections(struct models *m);
const struct catalogue *models_catalogue(const struct models *m);
/* Ends a look around that is under way; before models_free, while the loop still turns. */
void models_stop(struct models *m);
void models_free(struct models *m);
/* on_ready comes once, later, when the first look around is over. */
void models_start(struct models *m, void (*on_ready)(struct agent *agent));
bool models_is_ready(const struct models *m);

/* The target for an agent's model ("default" or an id) on behalf of a user, a copy in the arena; NULL with err set for
 * an unknown one. */
const struct model_target *models_choose(struct models *m, const char *model, const char *user_id, struct arena *a,
					 struct error *err);
/* The agent's model and those to ask when it fails (names in a JSON array, or NULL); unknown ones are left out, err is
 * set when the first is. Returns their number, 0 = none. */
#define MODEL_CHAIN_MAX 6
size_t models_chain(struct models *m, const char *model, yyjson_val *others, const char *user_id, struct arena *a,
		    const struct model_target **ret, struct error *err);
/* A place for a base URL, with a pool and the path in *ret_prefix where it is on this machine. */
struct model_place *models_place(struct agent *agent, struct arena *a, const char *url,
				 const struct model_place_limits *limits, const char **ret_prefix);
/* {items, default} of GET /api/models, as the user sees them. */
void models_describe(struct models *m, const char *user_id, yyjson_mut_doc *doc, yyjson_mut_val *obj);
/* {id, provider, name, demo, reason} of the default; user_id NULL: of everybody's. */
void models_describe_default(struct models *m, const char *user_id, yyjson_mut_doc *doc, yyjson_mut_val *obj);

/* "http://HOST[:PORT]/PATH" of a host on this machine: its address for the platform's own client, and the path. Returns
 * false for any other URL. In the arena. */
bool model_url_is_local(const char *url, struct arena *a, const char **ret_address, const char **ret_path);
