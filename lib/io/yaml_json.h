/* YAML as JSON, for documents that people write (OpenAPI): read by libyaml, which is loaded at first use. Plain scalars
 * mean what YAML 1.2's core schema says (so "no" is a text), keys are texts, tags of one's own are passed over. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Nesting of collections. */
#define YAML_JSON_DEPTH 200

/* Appends the first document as JSON, at most `max` bytes: an alias that would make more of it is an error, as is one
 * within itself. Returns 0, -ENOSYS "yaml_missing" (libyaml is not installed) or -EINVAL "yaml_invalid" with the place.
 * Whether a key stands there twice is the reader's to see. Any thread. */
int yaml_to_json(struct str yaml, size_t max, struct buf *out, struct error *err);
