/* Sections [cors NAME] of the file of routes. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "routes_loader.h"

struct cors_draft {
	struct texts origins, methods, headers, expose;
	bool credentials;
	uint64_t max_age_ms;
};

#define FIELD(type, object, field, ...)                                           \
	{                                                                         \
#field, FIELD_##type, offsetof(struct object, field), __VA_ARGS__ \
	}

static const struct field cors_fields[] = {
	FIELD(LIST, cors_draft, origins),
	FIELD(LIST, cors_draft, methods),
	FIELD(LIST, cors_draft, headers),
	FIELD(LIST, cors_draft, expose),
	FIELD(BOOL, cors_draft, credentials),
	{"max_age", FIELD_MS, offsetof(struct cors_draft, max_age_ms), 0, 86400000},
};

static const char *join(struct loader *l, const struct texts *t, const char *otherwise)
{
	_cleanup_(buf_deinit) struct buf all = BUF_INIT;

	if (!t->n)
		return otherwise;
	for (size_t i = 0; i < t->n; i++)
		buf_printf(&all, "%s%s", i ? ", " : "", t->items[i]);
	return arena_strdup(l->arena, all.p);
}

static int take_origins(struct loader *l, const struct cors_draft *d, unsigned line, struct cors *ret)
{
	struct str *origins = arena_alloc(l->arena, MAX(d->origins.n, 1) * sizeof(*origins));

	if (!d->origins.n)
		return sections_fail(&l->file, line,
				     "origins is missing: name the origins that may, such as https://app.example.org");
	for (size_t i = 0; i < d->origins.n; i++) {
		const char *origin = d->origins.items[i];

		if (!strcmp(origin, "*"))
			ret->any = true;
		else if (!cors_is_origin(str_of(origin)))
			return sections_fail(
				&l->file, line,
				"\"%s\" is no origin: write scheme, host and port in lower case, without a path",
				origin);
		else
			origins[ret->n_origins++] = str_of(origin);
	}
	ret->origins = origins;
	if (ret->any && d->credentials)
		return sections_fail(&l->file, line,
				     "origins = * and credentials = true together would let every site act for the "
				     "people who are signed in: name the origins");
	return 0;
}

int loader_make_cors(void *loader, const char *name)
{
	struct loader *l = loader;
	struct cors_draft d = {.max_age_ms = 600000};
	struct cors *c = &l->cors[l->n_cors];

	if (sections_apply(&l->file, SECTION_CORS, name, cors_fields, ARRAY_SIZE(cors_fields), &d))
		return -EINVAL;
	*c = (struct cors){
		.name = name,
		.credentials = d.credentials,
		.methods = join(l, &d.methods, "GET, HEAD, POST, PUT, PATCH, DELETE"),
		.headers = join(l, &d.headers,
				"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
				"X-Request-Id, traceparent"),
		.expose = join(l, &d.expose, "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"),
		.max_age = arena_printf(l->arena, "%llu", (unsigned long long)d.max_age_ms / 1000),
	};
	if (take_origins(l, &d, sections_line_of(&l->file, SECTION_CORS, name, "origins"), c))
		return -EINVAL;
	l->n_cors++;
	return 0;
}
