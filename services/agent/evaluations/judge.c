#include "agent/evaluations/judge.h"

#include "agent/agent_config.h"
#include "agent/agents.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/id.h"

#define MAX_STEPS 5 /* an answer that does not fit its schema is repaired */

#define SCHEMA                                                                                                         \
	"{\"type\":\"object\",\"properties\":{\"reason\":{\"type\":\"string\"},\"passed\":{\"type\":\"boolean\"},"     \
	"\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}},\"required\":[\"reason\",\"passed\",\"score\"]," \
	"\"additionalProperties\":false}"

struct str judge_row(struct arena *a, const char *agent_id, yyjson_val *case_data, struct str answer)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);
	char key[ID_SIZE];

	id_new(key);
	json_add_str(doc, obj, "agent_id", agent_id);
	json_add_str(doc, obj, "input",
		     judge_message(a, key, json_get_str(case_data, "input", ""), yyjson_obj_get(case_data, "expected"),
				   answer));
	return json_text(a, doc);
}

static const char *config_of(const struct agent *agent, struct arena *a, yyjson_val *grader)
{
	const char *schema = SCHEMA, *model = json_get_str(grader, "model", NULL);
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *limits;
	struct str text;

	json_add_str(doc, obj, "instructions", judge_instructions(a, json_get_str(grader, "rubric", "")));
	if (model)
		json_add_str(doc, obj, "model", model);
	json_add_raw(doc, obj, "output_schema", schema);
	limits = yyjson_mut_obj_add_obj(doc, obj, "limits");
	yyjson_mut_obj_add_int(doc, limits, "max_steps", MAX_STEPS);
	text = json_text(a, doc);
	return agent_config_make(agent, a, yyjson_doc_get_root(json_parse(a, text.p, text.n, NULL)), NULL);
}

/* The same user's judge with the same rubric and model is one agent: its slug says which. */
static const char *slug_of(struct arena *a, const char *user_id, const char *config)
{
	char hex[SHA256_HEX_SIZE];
	const char *both = arena_printf(a, "%s\n%s", user_id, config);

	sha256_hex(both, strlen(both), hex);
	return arena_printf(a, "judge~%s", hex);
}

static int make_one(struct db_conn *c, const struct agent *agent, struct arena *a, const char *user_id,
		    yyjson_val *grader, const char **ret)
{
	char *id = arena_alloc(a, ID_SIZE);
	struct agent_row row = {.id = id,
				.name = arena_printf(a, "Judge: %s", json_get_str(grader, "name", "model")),
				.description = "Grades answers for an evaluation set.",
				.config = config_of(agent, a, grader),
				.owner_id = user_id,
				.version = 1,
				.created_at = clock_now_us()};
	struct db_stmt *st;
	int r;

	row.slug = slug_of(a, user_id, row.config);
	row.updated_at = row.created_at;
	st = db_query(c, "select id from agents where slug = ?", DB_TEXT(row.slug));
	r = db_step(c, st);
	*ret = r == 1 ? db_col_dup(st, 0, a) : id;
	db_done(st);
	if (r != 0)
		return MIN(r, 0);
	id_new(id);
	r = agent_row_insert(c, &row);
	return r < 0 ? r
		     : error_only(db_exec(c, "update agents set archived_at = ? where id = ?", DB_INT(row.created_at),
					  DB_TEXT(id)));
}

int judges_make(struct db_conn *c, const struct agent *agent, struct arena *a, const char *user_id, yyjson_val *graders,
		const char **ret)
{
	yyjson_mut_doc *doc = json_new(a);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	yyjson_val *grader;
	size_t i, max;
	int r = 0;

	yyjson_mut_doc_set_root(doc, list);
	yyjson_arr_foreach(graders, i, max, grader)
	{
		const char *id;

		if (r < 0 || strcmp(json_get_str(grader, "type", ""), "model") != 0)
			continue;
		r = make_one(c, agent, a, user_id, grader, &id);
		if (r == 0)
			yyjson_mut_arr_add_strcpy(doc, list, id);
	}
	*ret = json_text(a, doc).p;
	return r;
}
