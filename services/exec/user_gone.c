/* POST /users/{id}/gone, from the agent service: a user was deleted. His commands are cancelled, those that have ended
 * go with their output, a number at a time; his workspaces on targets go when these can be reached (removals.h); the
 * answer says what is left: his other workspaces, which the caller removes, and how many commands. It is asked until
 * nothing is. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "command.h"
#include "lookup.h"
#include "removals.h"

#define COMMANDS_MAX 500
#define WORKSPACES_MAX 200

struct gone {
	struct job job;
	struct exchange *x;
	const char *user_id;
	char (*running)[ID_SIZE];
	size_t n_running, n_left;
	struct workspace_list workspaces;
	int n_given_up, result;
};

static int remove_commands(struct exec *e, struct gone *g)
{
	_cleanup_(arena_free_p) struct arena *one = arena_new();
	struct journal_entry entry;
	struct id_list list;
	int r = journal_list(&e->journal, g->user_id, g->x->arena, &list);

	if (r < 0)
		return r;
	g->running = arena_alloc(g->x->arena, MIN(list.n, COMMANDS_MAX) * ID_SIZE + 1);
	g->n_left = list.n > COMMANDS_MAX ? list.n - COMMANDS_MAX : 0;
	for (size_t i = 0; i < MIN(list.n, COMMANDS_MAX); i++) {
		arena_reset(one);
		r = journal_load(&e->journal, list.ids[i], one, &entry);
		if (r == 0 && entry.has_result)
			journal_remove(&e->journal, &entry.spec);
		else if (r == 0)
			memcpy(g->running[g->n_running++], list.ids[i], ID_SIZE);
	}
	g->n_left += g->n_running;
	if (g->n_left == 0)
		journal_forget_user(&e->journal, g->user_id);
	return 0;
}

static void gone_run(struct job *job)
{
	struct gone *g = container_of(job, struct gone, job);
	struct exec *e = g->x->self;

	g->result = remove_commands(e, g);
	if (g->result == 0)
		g->result = error_only(g->n_given_up = journal_give_up(&e->journal, NULL, g->user_id));
	if (g->result == 0)
		g->result = journal_list_workspaces(&e->journal, "", g->user_id, NULL, WORKSPACES_MAX, g->x->arena,
						    &g->workspaces);
}

static void cancel_running(struct exec *e, const struct gone *g)
{
	for (size_t i = 0; i < g->n_running; i++) {
		if (!command_by_id(e, g->running[i]))
			command_adopt(e, g->running[i]);
		if (command_by_id(e, g->running[i]))
			command_cancel(command_by_id(e, g->running[i]));
	}
}

static void gone_done(struct job *job)
{
	struct gone *g = container_of(job, struct gone, job);
	struct exchange *x = g->x;
	struct exec *e = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *names = yyjson_mut_obj_add_arr(doc, obj, "workspaces");

	cancel_running(e, g);
	if (g->n_given_up > 0)
		removals_wake(e->removals);
	for (size_t i = 0; i < g->workspaces.n; i++)
		yyjson_mut_arr_add_strcpy(doc, names, g->workspaces.items[i].name);
	yyjson_mut_obj_add_uint(doc, obj, "commands", g->n_left);
	if (x->req && g->result < 0)
		reply_problem(x, 500, "internal", "Not all can be removed: %s.", strerror(-g->result));
	else if (x->req)
		reply_json(x, 200, doc);
	exchange_drop(x);
}

void exec_user_gone(struct exchange *x)
{
	struct exec *e = x->self;
	struct gone *g = arena_new_of(x->arena, struct gone);

	*g = (struct gone){.job = {.run = gone_run, .done = gone_done}, .x = x, .user_id = x->params[0].p};
	if (job_submit(e->files_lane, &g->job) < 0)
		reply_busy(x);
	else
		exchange_hold(x);
}
