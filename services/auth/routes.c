#include "handlers.h"

#define PUBLIC_JSON (ROUTE_PUBLIC | ROUTE_BODY_JSON)
#define SMALL_BODY 16384

const struct route auth_routes[] = {
	{HTTP_GET_, "/api/auth/setup", NULL, ROUTE_PUBLIC, 0, auth_setup_get},
	{HTTP_POST_, "/api/auth/setup", NULL, PUBLIC_JSON, SMALL_BODY, auth_setup_post},
	{HTTP_POST_, "/api/auth/setup-link", "users.manage", 0, SMALL_BODY, auth_setup_link},
	{HTTP_GET_, "/api/auth/settings", "users.manage", 0, 0, auth_settings_get},
	{HTTP_PATCH_, "/api/auth/settings", "users.manage", ROUTE_BODY_JSON, SMALL_BODY, auth_settings_patch},
	{HTTP_POST_, "/api/auth/register", NULL, PUBLIC_JSON, SMALL_BODY, auth_register},
	{HTTP_POST_, "/api/auth/login", NULL, PUBLIC_JSON, SMALL_BODY, auth_login},
	{HTTP_POST_, "/api/auth/refresh", NULL, PUBLIC_JSON | ROUTE_BODY_OPTIONAL, SMALL_BODY, auth_refresh},
	{HTTP_POST_, "/api/auth/logout", NULL, ROUTE_PUBLIC, SMALL_BODY, auth_logout},
	{HTTP_GET_, "/api/auth/me", NULL, 0, 0, auth_me},
	{HTTP_POST_, "/api/auth/local", NULL, PUBLIC_JSON, SMALL_BODY, auth_local},
	{HTTP_GET_, "/revocations", NULL, ROUTE_INTERNAL, 0, auth_revocations},
	{HTTP_GET_, "/.well-known/jwks.json", NULL, ROUTE_PUBLIC, 0, auth_jwks},
	{HTTP_GET_, "/api/users", "users.read", 0, 0, users_list},
	{HTTP_POST_, "/api/users", "users.manage", ROUTE_BODY_JSON, SMALL_BODY, users_create},
	{HTTP_GET_, "/api/users/{id}", "users.read", 0, 0, users_get},
	{HTTP_PATCH_, "/api/users/{id}", "users.manage", ROUTE_BODY_JSON, SMALL_BODY, users_patch},
	{HTTP_DELETE_, "/api/users/{id}", "users.manage", 0, SMALL_BODY, users_delete},
	{HTTP_GET_, "/api/audit", "audit.read", 0, 0, audit_list},
	{HTTP_GET_, "/api/audit/verify", "audit.read", 0, 0, audit_verify},
	{HTTP_GET_, "/api/roles", "users.read", 0, 0, roles_list},
	{HTTP_POST_, "/api/roles", "roles.manage", ROUTE_BODY_JSON, SMALL_BODY, roles_create},
	{HTTP_GET_, "/api/roles/{name}", "users.read", 0, 0, roles_get},
	{HTTP_PATCH_, "/api/roles/{name}", "roles.manage", ROUTE_BODY_JSON, SMALL_BODY, roles_patch},
	{HTTP_DELETE_, "/api/roles/{name}", "roles.manage", 0, SMALL_BODY, roles_delete},
	{HTTP_GET_, "/api/users/{id}/permissions", "users.read", 0, 0, user_permissions_get},
	{HTTP_PUT_, "/api/users/{id}/permissions", "roles.manage", ROUTE_BODY_JSON, SMALL_BODY, user_permissions_put},
	{HTTP_POST_, "/api/permissions/check", NULL, ROUTE_BODY_JSON, SMALL_BODY, permissions_check},
	{HTTP_GET_, "/api/permissions", "users.read", 0, 0, permissions_list},
};
const size_t auth_routes_n = ARRAY_SIZE(auth_routes);
