#include "seed.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "feed.h"
#include "new_user.h"

const struct permission_seed permission_seeds[] = {
	{"agents.read", "See agents and their versions"},
	{"agents.write", "Create, change and archive agents"},
	{"agents.write_any", "Change and archive everybody's agents"},
	{"conversations.read", "See one's conversations and their messages"},
	{"conversations.read_any", "See everybody's conversations and their messages"},
	{"conversations.use", "Start conversations and write messages"},
	{"conversations.use_any", "Write in everybody's conversations"},
	{"executions.read", "See one's executions and their events"},
	{"executions.read_any", "See everybody's executions"},
	{"executions.cancel", "Stop executions"},
	{"executions.cancel_any", "Stop everybody's executions"},
	{"executions.approve", "Decide what one's executions wait for"},
	{"executions.approve_any", "Decide what everybody's executions wait for"},
	{"commands.run", "Run commands in the sandbox"},
	{"commands.run_any", "Type into, signal and stop everybody's commands, change everybody's workspaces"},
	{"commands.read", "See one's commands and their output"},
	{"commands.read_any", "See everybody's commands and their output"},
	{"commands.approve", "Approve commands that a policy asks about"},
	{"policies.manage", "Change the policies for commands"},
	{"models.read", "See which models there are"},
	{"models.connect", "Connect providers of models with keys of one's own, for oneself"},
	{"models.manage", "Connect and change providers of models for everybody"},
	{"knowledge.read", "See and search one's collections of documents and the shared ones"},
	{"knowledge.write", "Make collections and send documents"},
	{"knowledge.manage", "Share collections with everybody, see and change everybody's"},
	{"users.read", "See users, roles and permissions"},
	{"users.manage", "Create, change, disable and remove users, open and close sign-up"},
	{"roles.manage", "Make and change roles, grant and deny users single permissions"},
	{"settings.manage", "Change the settings of the platform"},
	{"audit.read", "See the audit log"},
	{"keys.manage", "See and rotate the keys that sign tokens"},
	{"tokens.manage", "See and revoke everybody's access tokens, make them for service accounts"},
	{"gateway.manage", "See the gateway's routes and servers, and load the routes anew"},
	{"apis.use", "Describe HTTP APIs with credentials of one's own, and use them and those shared with one"},
	{"apis.use_any", "See, use and change everybody's HTTP APIs"},
	{"schedules.use", "Make schedules and batches that begin runs by themselves, with one's own rights"},
	{"schedules.use_any", "See and change everybody's schedules and batches"},
	{"evaluations.use", "Make evaluation sets and run them against agents, with one's own rights"},
	{"evaluations.use_any", "See and change everybody's evaluation sets and their runs"},
	{"webhooks.use", "Have addresses told of one's runs, and have others begin them"},
	{"webhooks.use_any", "See and change everybody's webhooks"},
	{"socket.publish", "Send events to connected clients, into every room"},
	{"channels.read", "Hear what is published in channels for users; channels.read.NAME: in one"},
	{"channels.publish", "Publish in channels for users; channels.publish.NAME: in one"},
};
const size_t permission_seeds_n = ARRAY_SIZE(permission_seeds);

const struct role_seed role_seeds[] = {
	{"admin", "May do everything", {"*"}},
	{"operator",
	 "Runs the platform: all agents, conversations, executions and commands",
	 {"agents.*", "conversations.*", "executions.*", "commands.*", "channels.*", "models.*", "apis.*",
	  "schedules.*", "evaluations.*", "webhooks.*", "knowledge.*", "users.read"}},
	{"member",
	 "Works with agents: creates them, talks to them, runs commands",
	 {"agents.read", "agents.write", "conversations.read", "conversations.use", "executions.read",
	  "executions.cancel", "executions.approve", "commands.run", "commands.read", "channels.read", "models.read",
	  "models.connect", "apis.use", "schedules.use", "evaluations.use", "webhooks.use", "knowledge.read",
	  "knowledge.write"}},
	{"viewer",
	 "Looks on",
	 {"agents.read", "executions.read", "models.read", "conversations.read", "knowledge.read"}},
};
const size_t role_seeds_n = ARRAY_SIZE(role_seeds);

/* Returns 1 when it is new here, 0 or -errno. */
static int seed_permission(struct db_conn *c, const struct permission_seed *p)
{
	int64_t one, r = db_get_int(c, &one, "select 1 from permissions where name = ?", DB_TEXT(p->name));

	if (r != 0)
		return MIN(r, 0);
	r = db_exec(c, "insert into permissions (name, description) values (?, ?)", DB_TEXT(p->name),
		    DB_TEXT(p->description));
	return r < 0 ? (int)r : 1;
}

static int give(struct db_conn *c, const char *role_id, const char *permission)
{
	return error_only(db_exec(c, "insert into role_permissions (role_id, permission) values (?, ?)",
				  DB_TEXT(role_id), DB_TEXT(permission)));
}

static int new_role(struct db_conn *c, const struct role_seed *role)
{
	char id[ID_SIZE];
	int64_t r;

	id_new(id);
	r = db_exec(c, "insert into roles (id, name, description, built_in, created_at) values (?, ?, ?, 1, ?)",
		    DB_TEXT(id), DB_TEXT(role->name), DB_TEXT(role->description), DB_INT(clock_now_us()));
	for (const char *const *p = role->permissions; r >= 0 && *p; p++)
		r = give(c, id, *p);
	return (int)MIN(r, 0);
}

static bool covers_new(const char *pattern, const bool *is_new)
{
	for (size_t i = 0; i < permission_seeds_n; i++)
		if (is_new[i] && permission_covers(pattern, permission_seeds[i].name))
			return true;
	return false;
}

/* A newer program has more permissions: the built-in roles get theirs. What an administrator has taken from a role
 * before is not new, and stays taken. */
static int grow_role(struct db_conn *c, const struct role_seed *role, const char *id, const bool *is_new)
{
	bool has_grown = false;
	int64_t one;
	int r = 0;

	for (const char *const *p = role->permissions; r >= 0 && *p; p++) {
		if (!covers_new(*p, is_new))
			continue;
		r = db_get_int(c, &one, "select 1 from role_permissions where role_id = ? and permission = ?",
			       DB_TEXT(id), DB_TEXT(*p));
		if (r != 0)
			continue;
		r = give(c, id, *p);
		has_grown = true;
	}
	return r >= 0 && has_grown ? feed_add_role(c, id) : MIN(r, 0);
}

static int seed_role(struct db_conn *c, const struct role_seed *role, const bool *is_new)
{
	struct db_stmt *st = db_query(c, "select id, built_in from roles where name = ?", DB_TEXT(role->name));
	char id[ID_SIZE] = "";
	bool is_built_in = false;
	int r = db_step(c, st);

	if (r == 1) {
		snprintf(id, sizeof(id), "%.*s", STR_ARG(db_col_str(st, 0)));
		is_built_in = db_col_int(st, 1) != 0;
	}
	db_done(st);
	if (r == 0)
		return new_role(c, role);
	return r == 1 && is_built_in ? grow_role(c, role, id, is_new) : MIN(r, 0);
}

int seed_rights(struct db_conn *c)
{
	bool is_new[64] = {false};
	int r = 0;

	assert(permission_seeds_n <= ARRAY_SIZE(is_new));
	for (size_t i = 0; r >= 0 && i < permission_seeds_n; i++)
		is_new[i] = (r = seed_permission(c, &permission_seeds[i])) == 1;
	for (size_t i = 0; r >= 0 && i < role_seeds_n; i++)
		r = seed_role(c, &role_seeds[i], is_new);
	return MIN(r, 0);
}

static int find_owner(struct db_conn *c, char ret_id[static ID_SIZE])
{
	_cleanup_(db_done_p) struct db_stmt *st = db_query(c, "select owner_id from setup where id = 1");
	int r = db_step(c, st);

	if (r == 1)
		snprintf(ret_id, ID_SIZE, "%.*s", STR_ARG(db_col_str(st, 0)));
	return r;
}

int seed_owner(struct db_conn *c, char ret_id[static ID_SIZE])
{
	static const char *const roles[] = {"admin", NULL};
	int64_t now = clock_now_us(), r = find_owner(c, ret_id);

	if (r != 0)
		return MIN(r, 0);
	id_new(ret_id);
	r = db_exec(c,
		    "insert into users (id, kind, name, disabled, permission_epoch, created_at, updated_at) "
		    "values (?, 'local', 'Owner', 0, 1, ?, ?)",
		    DB_TEXT(ret_id), DB_INT(now), DB_INT(now));
	if (r >= 0)
		r = user_roles_set(c, ret_id, roles);
	if (r >= 0)
		r = db_exec(c, "insert into setup (id, owner_id, expires_at) values (1, ?, 0)", DB_TEXT(ret_id));
	return MIN(r, 0);
}
