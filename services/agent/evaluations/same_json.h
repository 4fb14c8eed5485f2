/* Whether JSON values are the same, or one has what another asks for. Numbers are the same by value (1 and 1.0),
 * members in any order. Pure; the work is bounded, and what would be more of it is told apart. */
#pragma once

#include "base/json.h"

enum same_json { SAME_JSON_NO, SAME_JSON_YES, SAME_JSON_TOO_MUCH };

/* is_subset: an object may have more members than is asked for, and an array more items in between. */
enum same_json same_json(yyjson_val *asked, yyjson_val *given, bool is_subset);
