#include "service/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct node {
	struct str segment;                /* a view of a pattern; of a parameter: its name */
	struct node *next;                 /* the next fixed child of the same parent */
	struct node *fixed, *param, *rest; /* children */
	struct route_entry *entries[HTTP_METHODS];
};

struct router {
	struct node *root;
	struct route_entry *first, **end;
};

struct router *router_new(void)
{
	struct router *r = xcalloc(1, sizeof(*r));

	r->root = xcalloc(1, sizeof(*r->root));
	r->end = &r->first;
	return r;
}

static void node_free(struct node *n)
{
	while (n) {
		struct node *next = n->next;

		node_free(n->fixed);
		node_free(n->param);
		node_free(n->rest);
		free(n);
		n = next;
	}
}

void router_free(struct router *r)
{
	if (!r)
		return;
	node_free(r->root);
	while (r->first) {
		struct route_entry *e = r->first;

		r->first = e->next;
		free(e);
	}
	free(r);
}

const struct route_entry *router_first(const struct router *r)
{
	return r->first;
}

/* The child of `n` for one segment of a pattern, made if need be. */
static struct node *child(struct node *n, struct str segment)
{
	struct node **at;

	if (str_has_prefix(segment, STR("{")) && str_has_suffix(segment, STR("*}"))) {
		at = &n->rest;
	} else if (str_has_prefix(segment, STR("{")) && str_has_suffix(segment, STR("}"))) {
		at = &n->param;
	} else {
		for (at = &n->fixed; *at && !str_eq((*at)->segment, segment);)
			at = &(*at)->next;
	}
	if (!*at) {
		*at = xcalloc(1, sizeof(**at));
		(*at)->segment = segment;
	}
	return *at;
}

static bool is_param(struct str segment)
{
	return segment.n && segment.p[0] == '{';
}

struct route_entry *router_add(struct router *r, const struct route *route, void *self)
{
	struct node *n = r->root;
	struct str rest = str_of(route->pattern);
	unsigned n_params = 0;

	if (!rest.n || rest.p[0] != '/')
		fatal("route %s: a pattern starts with /", route->pattern);
	rest = (struct str){rest.p + 1, rest.n - 1};
	while (rest.p) {
		struct str segment = str_cut(&rest, '/');

		if (is_param(segment) && ++n_params > ROUTE_MAX_PARAMS)
			fatal("route %s: too many parameters", route->pattern);
		n = child(n, segment);
		if (rest.p && is_param(segment) && str_has_suffix(segment, STR("*}")))
			fatal("route %s: {rest*} must come last", route->pattern);
	}
	if (n->entries[route->method])
		fatal("route %s %s: registered twice", http_method_name(route->method), route->pattern);

	struct route_entry *e = xcalloc(1, sizeof(*e));
	e->route = route;
	e->self = self;
	n->entries[route->method] = e;
	*r->end = e;
	r->end = &e->next;
	return e;
}

struct search {
	enum http_method method;
	struct route_match *match;
};

static bool take(const struct search *s, const struct node *n)
{
	const struct route_entry *e = n->entries[s->method];

	for (unsigned m = 1; m < HTTP_METHODS; m++)
		if (n->entries[m])
			s->match->allowed |= 1u << m;
	if (!e && s->method == HTTP_HEAD_)
		e = n->entries[HTTP_GET_];
	s->match->entry = e;
	return e;
}

/* `path` is what remains behind the slash after n; p == NULL when nothing does. */
static bool descend(const struct search *s, const struct node *n, struct str path, unsigned n_params)
{
	struct str rest = path, segment;

	if (!path.p)
		return take(s, n);

	segment = str_cut(&rest, '/');
	for (const struct node *c = n->fixed; c; c = c->next)
		if (str_eq(c->segment, segment) && descend(s, c, rest, n_params))
			return true;
	if (n->param && segment.n) {
		s->match->params[n_params] = segment;
		if (descend(s, n->param, rest, n_params + 1))
			return true;
	}
	if (n->rest) {
		s->match->params[n_params] = path;
		return take(s, n->rest);
	}
	return false;
}

void router_match(const struct router *r, enum http_method method, struct str path, struct route_match *ret)
{
	struct search s = {method, ret};

	*ret = (struct route_match){0};
	if (path.n && path.p[0] == '/')
		descend(&s, r->root, (struct str){path.p + 1, path.n - 1}, 0);
}

const char *route_allow(struct arena *a, unsigned methods)
{
	const char *text = "";

	if (methods & 1u << HTTP_GET_)
		methods |= 1u << HTTP_HEAD_;
	methods |= 1u << HTTP_OPTIONS_;
	for (unsigned m = 1; m < HTTP_METHODS; m++)
		if (methods & 1u << m)
			text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", http_method_name(m));
	return text;
}
