#include "seed.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
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
	{"users.read", "See users, roles and permissions"},
	{"users.manage", "Create, change, disable and remove users, open and close sign-up"},
	{"roles.manage", "Make and change roles, grant and deny users single permissions"},
	{"settings.manage", "Change the settings of the platform"},
	{"audit.read", "See the audit log"},
	{"keys.manage", "See and rotate the keys that sign tokens"},
	{"tokens.manage", "See and revoke everybody's access tokens, make them for service accounts"},
	{"gateway.manage", "See the gateway's routes and servers, and load the routes anew"},
	{"socket.publish", "Send events to connected clients, into every room"},
	{"channels.read", "Hear what is published in channels for users; channels.read.NAME: in one"},
	{"channels.publish", "Publish in channels for users; channels.publish.NAME: in one"},
};
const size_t permission_seeds_n = ARRAY_SIZE(permission_seeds);

const struct role_seed role_seeds[] = {
	{"admin", "May do everything", {"*"}},
	{"operator",
	 "Runs the platform: all agents, conversations, executions and commands",
	 {"agents.*", "conversations.*", "executions.*", "commands.*", "channels.*", "models.*", "users.read"}},
	{"member",
	 "Works with agents: creates them, talks to them, runs commands",
	 {"agents.read", "agents.write", "conversations.read", "conversations.use", "executions.read",
	  "executions.cancel", "executions.approve", "commands.run", "commands.read", "channels.read", "models.read",
	  "models.connect"}},
	{"viewer", "Looks on", {"agents.read", "executions.read", "models.read", "conversations.read"}},
};
const size_t role_seeds_n = ARRAY_SIZE(role_seeds);

static int seed_permission(struct db_conn *c, const struct permission_seed *p)
{
	int64_t one, r = db_get_int(c, &one, "select 1 from permissions where name = ?", DB_TEXT(p->name));

	if (r == 0)
		r = db_exec(c, "insert into permissions (name, description) values (?, ?)", DB_TEXT(p->name),
			    DB_TEXT(p->description));
	return MIN(r, 0);
}

static int seed_role(struct db_conn *c, const struct role_seed *role)
{
	int64_t one, r = db_get_int(c, &one, "select 1 from roles where name = ?", DB_TEXT(role->name));
	char id[ID_SIZE];

	if (r != 0)
		return MIN(r, 0);
	id_new(id);
	r = db_exec(c, "insert into roles (id, name, description, built_in, created_at) values (?, ?, ?, 1, ?)",
		    DB_TEXT(id), DB_TEXT(role->name), DB_TEXT(role->description), DB_INT(clock_now_us()));
	for (const char *const *p = role->permissions; r >= 0 && *p; p++)
		r = db_exec(c, "insert into role_permissions (role_id, permission) values (?, ?)", DB_TEXT(id),
			    DB_TEXT(*p));
	return MIN(r, 0);
}

int seed_rights(struct db_conn *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < permission_seeds_n; i++)
		r = seed_permission(c, &permission_seeds[i]);
	for (size_t i = 0; r == 0 && i < role_seeds_n; i++)
		r = seed_role(c, &role_seeds[i]);
	return r;
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
