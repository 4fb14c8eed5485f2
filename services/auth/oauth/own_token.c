#include "oauth/own_token.h"

#include "base/clock.h"
#include "service/revocation.h"

void own_token_read(struct exchange *x, const char *text, struct own_token *ret)
{
	const char *url = service_public_url(x->service);
	const char *audiences[] = {TOKEN_AUDIENCE, arena_printf(x->arena, "%s/mcp", url),
				   arena_printf(x->arena, "%s/api", url), NULL};
	const struct auth *auth = x->self;
	struct revocations *revoked = service_revocations(x->service);

	*ret = (struct own_token){.session_id = ""};
	if (refresh_token_parse(&auth->refresh_key, str_of(text), &ret->refresh) == 0) {
		ret->is_refresh = true;
		ret->session_id = arena_strdup(x->arena, ret->refresh.session_id);
	} else if (token_check(service_keys(x->service), str_of(text), audiences, clock_now_us() / 1000000, x->arena,
			       &ret->who) == TOKEN_OK &&
		   ret->who.client_id[0] && !revocations_cover(revoked, &ret->who)) {
		ret->session_id = ret->who.session_id;
	}
}
