#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/db_for_tests.h"
#include "start.h"

/* Rows as each version had them. A new version gets a line here, and so an upgrade from it is tested for ever. */
static const char *const samples[] = {
	"insert into users (id, kind, name, email, email_key, password_hash, password_changed_at, disabled, "
	"permission_epoch, created_at, updated_at) values ('u1', 'user', 'Ada', 'Ada@example.org', 'ada@example.org', "
	"'$argon2id$', 1, 0, 1, 1, 1);"
	"insert into users (id, kind, name, disabled, permission_epoch, created_at, updated_at) values ('u2', 'local', "
	"'Owner', 0, 1, 1, 1);"
	"insert into roles (id, name, description, built_in, created_at) values ('r1', 'admin', 'May do everything', "
	"1, 1);"
	"insert into permissions (name, description) values ('agents.read', 'See agents');"
	"insert into role_permissions (role_id, permission) values ('r1', '*');"
	"insert into user_roles (user_id, role_id, created_at) values ('u1', 'r1', 1);"
	"insert into settings (name, value, updated_at) values ('registration', 'open', 1);"
	"insert into setup (id, owner_id, expires_at) values (1, 'u2', 0)",

	"insert into sessions (id, user_id, counter, rotated_at, created_at, ends_at, idle_ends_at, client, address, "
	"user_agent) values ('s1', 'u1', 3, 1, 1, 2, 2, 'web', '127.0.0.1', 'a browser');"
	"insert into signing_keys (kid, algorithm, public_key, created_at) values ('k1', 'Ed25519', 'abc', 1);"
	"insert into api_keys (id, user_id, kind, name, key_hash, created_at) values ('a1', 'u2', 'local', 'Command "
	"line', "
	"'00', 1)",

	"insert into idempotency_keys (user_id, idem_key, request_hash, status, response, created_at) "
	"values ('u1', 'key', '00', 201, '{}', 1)",

	"insert into revocations (number, kind, subject, rights, permissions, reason, revoked_at) "
	"values (1, 'user', 'u1', 2, '[]', 'rights_changed', 1)",

	"insert into audit_log (seq, at, event, outcome, actor_kind, actor_id, actor_name, target, address, "
	"session_id, "
	"request_id, detail, hash) values (1, 1, 'user.created', 'success', 'user', 'u1', 'Ada', 'user:u2', "
	"'127.0.0.1', "
	"'s1', 'r1', '{}', '00')",

	"insert into user_permissions (user_id, permission, effect, created_at) values ('u1', 'commands.*', 'deny', 1)",
	"insert into links (id, kind, user_id, email, email_key, created_at, expires_at) "
	"values ('l1', 'reset', 'u1', 'Ada@example.org', 'ada@example.org', 1, 2);"
	"insert into outbox (id, kind, recipient, user_id, link_id, facts, state, attempts, next_at, created_at) "
	"values ('m1', 'reset', 'Ada@example.org', 'u1', 'l1', '{}', 'waiting', 0, 1, 1)",

	NULL,

	"insert into signing_keys (kid, algorithm, public_key, created_at, secret, active_from) values ('k2', 'ES256', "
	"'', 1, 's1.', 1)",

	"insert into access_tokens (id, user_id, name, scopes, hash, created_at, created_by, expires_at) values ('t1', "
	"'u1', "
	"'ci', '[]', '00', 1, 'u1', 2)",

	"insert into oauth_clients (id, kind, name, auth_method, redirect_uris, address, created_at) values "
	"('c1', 'registered', 'Program', 'none', '[]', '127.0.0.1', 1);"
	"insert into oauth_codes (code_hash, client_id, client_name, user_id, redirect_uri, scope, challenge, "
	"auth_time, "
	"expires_at) values ('00', 'c1', 'Program', 'u1', 'https://a.example/', 'openid', 'x', 1, 2);"
	"insert into oauth_grants (session_id, client_id, user_id, scope, auth_time, created_at, ends_at) values "
	"('s1', 'c1', 'u1', 'openid', 1, 1, 2);"
	"insert into oauth_consents (id, user_id, client_id, client_name, scope, created_at, updated_at) values "
	"('o1', 'u1', 'c1', 'Program', 'openid', 1, 1)",

	"insert into identity_providers (id, name, label, issuer, client_id, auth_method, scopes, enabled, sign_up, "
	"default_role, domains, trusts_second_factor, created_at, updated_at) values ('p1', 'acme', 'Acme', "
	"'https://id.example', 'x', 'none', 'openid', 1, 0, 'member', '[]', 0, 1, 1);"
	"insert into identities (id, user_id, provider_id, identity_hash, subject, created_at) values ('i1', 'u1', "
	"'p1', '00', 's', 1)",

	"insert into security_webhooks (id, url, description, secret, events, enabled, created_at, updated_at) values "
	"('w1', 'https://a.example/', '', 's1.', '[]', 1, 1, 1);"
	"insert into security_deliveries (id, webhook_id, event, body, created_at, state, tries, next_at, leased) "
	"values ('d1', 'w1', 'user.created', '{}', 1, 'waiting', 0, 1, 0)",

	"update users set confirm_approvals = 1 where id = 'u1'",
};

static void every_earlier_version_becomes_this_one(void **state)
{
	assert_int_equal(ARRAY_SIZE(samples), auth_migrations_n);
	migrations_check(*state, auth_migrations, auth_migrations_n, samples);
}

#define ON(server)                                                                                                     \
	{                                                                                                              \
		server ": every_earlier_version_becomes_this_one", every_earlier_version_becomes_this_one, NULL, NULL, \
			(char *)(server)                                                                               \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {ON("sqlite"), ON("mysql")};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
