/* What is known of models by their names: context, prices, whether they take images. From catalogue.json in the
 * program, and a file of the same form that the option models_file names: its entries come first. docs/models.md tells
 * the form.
 */
#pragma once

#include "agent/models/model.h"

struct catalogue;

struct catalogue_entry {
	int64_t context, max_output; /* tokens; 0 = not known */
	struct model_prices prices;
	bool images;
};

/* path "" = none. NULL with err set for a file that cannot be used. */
struct catalogue *catalogue_new(const char *path, struct error *err);
void catalogue_free(struct catalogue *c);
/* The first entry that fits, or one that knows nothing. */
const struct catalogue_entry *catalogue_find(const struct catalogue *c, const char *model);
/* Fills what the target does not say itself. */
void catalogue_apply(const struct catalogue *c, struct model_target *t);
