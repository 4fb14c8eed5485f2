#include "verbs.h"

#include <string.h>

int verbs_run(const struct command *self, const struct args *args, const char *url, const struct verb *verbs, size_t n,
	      struct session *session, struct asked *q)
{
	const char *verb = args->n_rest ? args->rest[0] : "list";
	size_t i = 0;
	int r;

	while (i < n && strcmp(verbs[i].name, verb) != 0)
		i++;
	if (i == n)
		return usage_error(self, "\"%s\" is no verb of %s", verb, self->name);
	if (MAX(args->n_rest, 1) != verbs[i].n_rest)
		return usage_error_of_verb(
			self, verb, MAX(args->n_rest, 1) < verbs[i].n_rest ? "needs more" : "takes no more than that");
	r = session_open(session, args->options, url);
	if (r != EXIT_OK)
		return r;
	r = verbs[i].run(q);
	session_close(session);
	return r;
}
