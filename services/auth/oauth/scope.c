#include "oauth/scope.h"

#include <errno.h>

#include "seed.h"
#include "service/token.h"

static const struct {
	const char *name, *description;
} identity_scopes[] = {
	{"openid", "Know who you are on this platform"},
	{"profile", "See your name"},
	{"email", "See your e-mail address"},
	{"offline_access", "Stay connected while you are away"},
	{"mcp", "Use your agents: see them, talk to them, follow and stop their runs"},
};

/* What `mcp` stands for. */
static const char *const mcp_permissions[] = {
	"agents.read", "conversations.read", "conversations.use", "executions.read", "executions.cancel", "models.read",
};

const char *scope_name(size_t i)
{
	if (i < ARRAY_SIZE(identity_scopes))
		return identity_scopes[i].name;
	i -= ARRAY_SIZE(identity_scopes);
	return i < permission_seeds_n ? permission_seeds[i].name : NULL;
}

const char *scope_description(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(identity_scopes); i++)
		if (!strcmp(identity_scopes[i].name, name))
			return identity_scopes[i].description;
	for (size_t i = 0; i < permission_seeds_n; i++)
		if (!strcmp(permission_seeds[i].name, name))
			return permission_seeds[i].description;
	return "";
}

static const char *find(struct str name)
{
	const char *known;

	for (size_t i = 0; (known = scope_name(i)); i++)
		if (str_is(name, known))
			return known;
	return NULL;
}

bool scope_has(const struct scope_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->names[i], name))
			return true;
	return false;
}

static void add(struct scope_list *l, const char *name)
{
	if (name && l->n < SCOPES_MAX && !scope_has(l, name))
		l->names[l->n++] = name;
}

int scope_read(const char *text, struct scope_list *ret)
{
	struct str rest = str_of(text ? text : "mcp");

	*ret = (struct scope_list){0};
	if (rest.n > SCOPE_TEXT_MAX)
		return -EINVAL;
	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] < ' ' || rest.p[i] > '~' || rest.p[i] == '"' || rest.p[i] == '\\')
			return -EINVAL;
	while (rest.n > 0)
		add(ret, find(str_cut(&rest, ' ')));
	return 0;
}

bool scope_is_within(const struct scope_list *part, const struct scope_list *whole)
{
	for (size_t i = 0; i < part->n; i++)
		if (!scope_has(whole, part->names[i]))
			return false;
	return true;
}

void scope_join(struct scope_list *l, const struct scope_list *more)
{
	for (size_t i = 0; i < more->n; i++)
		add(l, more->names[i]);
}

/* Adds the permissions of one scope that are held to `ret`, which has room. Returns how many the scope has. */
static size_t expand(const char *name, const char *const *held, const char **ret, size_t *n)
{
	const struct identity user = {.permissions = held};
	bool is_mcp = !strcmp(name, "mcp");
	const char *const *list = is_mcp ? mcp_permissions : &name;
	size_t all = is_mcp ? ARRAY_SIZE(mcp_permissions) : 1;

	if (!is_mcp && !strchr(name, '.'))
		return 0;
	for (size_t i = 0; i < all; i++)
		if (identity_may(&user, list[i]))
			ret[(*n)++] = list[i];
	return all;
}

void scope_keep_held(struct scope_list *l, const char *const *permissions)
{
	const char *list[ARRAY_SIZE(mcp_permissions)];
	size_t kept = 0, n;

	for (size_t i = 0; i < l->n; i++) {
		n = 0;
		if (expand(l->names[i], permissions, list, &n) == 0 || n > 0)
			l->names[kept++] = l->names[i];
	}
	l->n = kept;
}

const char *scope_text(struct arena *a, const struct scope_list *l)
{
	struct buf text = BUF_INIT;
	const char *copy;

	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_add_char(&text, ' ');
		buf_add_str(&text, l->names[i]);
	}
	copy = arena_strndup(a, text.n ? text.p : "", text.n);
	buf_deinit(&text);
	return copy;
}

static bool is_twice(const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], list[n]))
			return true;
	return false;
}

const char *const *scope_permissions(struct arena *a, const struct scope_list *l, const char *const *held)
{
	size_t n = 0, kept = 0, n_held = 0;

	while (held[n_held])
		n_held++;

	const char **list = arena_alloc(a, (l->n + ARRAY_SIZE(mcp_permissions) + n_held + 1) * sizeof(*list));

	for (size_t i = 0; i < l->n; i++)
		expand(l->names[i], held, list, &n);
	for (size_t i = 0; i < n_held; i++)
		if (held[i][0] == '!')
			list[n++] = held[i];
	for (size_t i = 0; i < n; i++) {
		list[kept] = list[i];
		kept += !is_twice(list, kept);
	}
	list[kept] = NULL;
	return list;
}
