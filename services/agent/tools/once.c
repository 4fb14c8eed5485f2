#include "agent/tools/once.h"

#include <errno.h>

#include "base/clock.h"
#include "base/id.h"

static int mark(struct db_conn *c, struct db_job *job)
{
	struct tool_once *o = container_of(job, struct tool_once, db);
	struct str rest = str_of(o->key), execution = str_cut(&rest, ':');
	int64_t n = db_exec(c,
			    "insert into tool_marks (call_key, execution_id, created_at) values (?, ?, ?) on conflict "
			    "(call_key) do nothing",
			    DB_TEXT(o->key), DB_STR(execution), DB_INT(clock_now_us()));

	o->is_first = n > 0;
	return (int)MIN(n, 0);
}

static void marked(struct db_job *job, int result)
{
	struct tool_once *o = container_of(job, struct tool_once, db);

	/* Unknown whether the mark is there: a call that is not made is the smaller harm. */
	o->on_done(o, result < 0 ? result : 0, result == 0 && o->is_first);
}

void tool_once_mark(struct agent *agent, struct tool_once *o)
{
	o->db = (struct db_job){.run = mark, .done = marked};
	db_write(agent->db, &o->db);
}
