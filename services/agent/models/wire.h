/* What the writers of all dialects share. */
#pragma once

#include "agent/models/model.h"

bool wire_is_object(struct str json);
/* An id of a call as every provider takes it (letters, digits, _ and -, at most 40): itself, or one made of it, always
 * the same. As a JSON string. */
void wire_id(struct buf *out, const char *id);
/* The same for the name of a tool, which a model may have invented. */
void wire_name(struct buf *out, const char *name);
/* `,"name":` and the string. */
void wire_member(struct buf *out, const char *name, struct str value);
/* What the user wrote; of images that do not go along the model is told that there were some. In the arena. */
struct str wire_user_text(struct arena *a, const struct model_target *t, const struct chat_message *m);
/* Whether the model takes images, and its provider one of this size. */
bool wire_takes_image(const struct model_target *t, const struct chat_image *i);
/* How many images go along. */
size_t wire_n_images(const struct model_target *t, const struct chat_message *m);
/* The message's opaque part, if this dialect made it with this model; else NULL. In the arena. */
yyjson_val *wire_opaque(struct arena *a, const struct model_target *t, const struct chat_message *m);
/* Begins the opaque part of an answer: {"dialect":…,"model":… and no end. */
void wire_opaque_begin(struct buf *out, const struct model_target *t);
/* Whether no message of the user comes behind it: thoughts belong to the loop of calls under way. */
bool wire_is_in_loop(const struct chat_request *r, const struct chat_message *m);
/* The call's name in the conversation before the tool's message m, or "". */
const char *wire_called_name(const struct chat_request *r, const struct chat_message *m);
/* Tools in the form {"type":"function","function":{…}} of the compatible dialect and Ollama, with ,"tools": in front.
 */
void wire_tools(struct buf *out, const struct chat_request *r);
