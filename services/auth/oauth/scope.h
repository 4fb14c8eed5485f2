/* Scopes: those of OpenID Connect, `mcp`, and every permission by its name. What a token may do is what its scope
 * covers and its user may do. */
#pragma once

#include "base/arena.h"

#define SCOPES_MAX 64
#define SCOPE_TEXT_MAX 2000

struct scope_list {
	const char *names[SCOPES_MAX]; /* known ones, none twice; constants */
	size_t n;
};

/* Reads a list with spaces between; names that are not known are left out (OpenID Connect Core section 3.1.2.1). NULL
 * is the default, `mcp`. Returns 0 or -EINVAL (bytes that cannot be in one, too long). */
int scope_read(const char *text, struct scope_list *ret);
bool scope_has(const struct scope_list *l, const char *name);
/* Whether each of `part` is in `whole`. */
bool scope_is_within(const struct scope_list *part, const struct scope_list *whole);
/* Leaves out what is about rights of which these permissions cover none. */
void scope_keep_held(struct scope_list *l, const char *const *permissions);
/* Adds to `l` what `more` has besides. */
void scope_join(struct scope_list *l, const struct scope_list *more);
/* In the arena. */
const char *scope_text(struct arena *a, const struct scope_list *l);
/* The permissions that the scope covers and the user has, and all that he is denied; NULL at the end. In the arena. */
const char *const *scope_permissions(struct arena *a, const struct scope_list *l, const char *const *held);

/* The i-th scope there is, in the order of the documents; NULL behind the last. */
const char *scope_name(size_t i);
/* What it means, for the consent page. */
const char *scope_description(const char *name);
