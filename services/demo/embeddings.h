/* POST /v1/embeddings: vectors by a fixed rule, so that the same text always has the same one and texts that share
 * words or beginnings of words are near each other. */
#pragma once

#include "service/service.h"

#define DEMO_DIMENSION 256

route_handler demo_embeddings;
