/* Vectors without a model, so that all works without a key: each word and each run of three to five of its letters
 * counts at a place that its hash names, rarer kinds more than frequent ones. They find what is written alike: other
 * endings, compound words, slips of the pen. What only means the same they do not find. */
#pragma once

#include "base/str.h"

#define HASHED_DIMENSION 512

/* Fills ret[HASHED_DIMENSION]; all zeros when the text has no words. */
void hashed_vector(struct str text, float *ret);
