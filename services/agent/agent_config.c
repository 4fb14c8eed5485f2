#include "agent/agent_config.h"

#include <ctype.h>
#include <errno.h>

#include "agent/apis/tools.h"
#include "agent/handlers.h"
#include "agent/retention_rules.h"
#include "agent/run.h"
#include "agent/tools/tools.h"
#include "agent/variables.h"
#include "io/json_schema.h"

#define MAX_STEPS 200
#define MAX_SECONDS 86400
#define MAX_OUTPUT_TOKENS 1000000

/* {default, tools: {NAME: mode}}: when a person must see a call first. */
static void add_approval(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *approval)
{
	yyjson_mut_val *ret = yyjson_mut_obj_add_obj(doc, obj, "approval");
	yyjson_val *tools = json_get_obj(approval, "tools");

	json_add_str(doc, ret, "default", json_get_str(approval, "default", "never"));
	yyjson_mut_obj_add_val(doc, ret, "tools", tools ? yyjson_val_mut_copy(doc, tools) : yyjson_mut_obj(doc));
}

/* What its runs may spend, each and in a day; 0 = no limit. */
static void add_budget(yyjson_mut_doc *doc, yyjson_mut_val *obj, yyjson_val *budget)
{
	yyjson_mut_val *ret = yyjson_mut_obj_add_obj(doc, obj, "budget");

	yyjson_mut_obj_add_int(doc, ret, "run_tokens", json_get_int(budget, "run_tokens", 0));
	yyjson_mut_obj_add_real(doc, ret, "run_cost_usd", json_get_num(budget, "run_cost_usd", 0));
	yyjson_mut_obj_add_int(doc, ret, "day_tokens", json_get_int(budget, "day_tokens", 0));
	yyjson_mut_obj_add_real(doc, ret, "day_cost_usd", json_get_num(budget, "day_cost_usd", 0));
}

/* The members of a configuration: instructions, model, tools, target, policy, limits. One of before there were targets
 * or policies has none. */
void agent_config_add(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *config)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, config, strlen(config), NULL)), *key, *val;
	size_t i, max;

	yyjson_obj_foreach(root, i, max, key, val)
		yyjson_mut_obj_add(obj, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, val));
	if (!yyjson_obj_get(root, "fallback_models"))
		yyjson_mut_obj_add_arr(doc, obj, "fallback_models");
	if (!yyjson_obj_get(root, "output_schema"))
		yyjson_mut_obj_add_obj(doc, obj, "output_schema");
	if (!yyjson_obj_get(root, "tool_options"))
		yyjson_mut_obj_add_obj(doc, obj, "tool_options");
	if (!yyjson_obj_get(root, "budget"))
		add_budget(doc, obj, NULL);
	if (!yyjson_obj_get(root, "retention"))
		yyjson_mut_obj_add_obj(doc, obj, "retention");
	if (!yyjson_obj_get(root, "approval"))
		add_approval(doc, obj, NULL);
	if (!yyjson_obj_get(root, "target"))
		json_add_str(doc, obj, "target", "local");
	if (!yyjson_obj_get(root, "policy"))
		json_add_str(doc, obj, "policy", NULL);
	if (!yyjson_obj_get(root, "variables"))
		yyjson_mut_obj_add_arr(doc, obj, "variables");
	if (!yyjson_obj_get(root, "apis"))
		yyjson_mut_obj_add_arr(doc, obj, "apis");
}
static const struct json_field create_fields[] = {
	{"name", JSON_STRING, true, 1, 100},
	{"slug", JSON_STRING, false, 1, 63},
	{"description", JSON_STRING, false, 0, 1000},
	{"instructions", JSON_STRING, false, 0, 100000},
	{"model", JSON_STRING, false, 1, 200},
	{"fallback_models", JSON_ARRAY, false, 0, 5},
	{"tools", JSON_ARRAY, false, 0, RUN_MAX_TOOLS},
	{"tool_options", JSON_OBJECT},
	{"output_schema", JSON_OBJECT},
	{"approval", JSON_OBJECT},
	{"budget", JSON_OBJECT},
	{"target", JSON_STRING, false, 1, 32},
	{"policy", JSON_STRING_OR_NULL, false, 1, 40},
	{"limits", JSON_OBJECT},
	{"retention", JSON_OBJECT},
	{"variables", JSON_ARRAY, false, 0, 32},
	{"apis", JSON_ARRAY, false, 0, API_AGENT_MAX},
};

static const struct json_field patch_fields[] = {
	{"name", JSON_STRING, false, 1, 100},
	{"description", JSON_STRING, false, 0, 1000},
	{"instructions", JSON_STRING, false, 0, 100000},
	{"model", JSON_STRING, false, 1, 200},
	{"fallback_models", JSON_ARRAY, false, 0, 5},
	{"tools", JSON_ARRAY, false, 0, RUN_MAX_TOOLS},
	{"tool_options", JSON_OBJECT},
	{"output_schema", JSON_OBJECT},
	{"approval", JSON_OBJECT},
	{"budget", JSON_OBJECT},
	{"target", JSON_STRING, false, 1, 32},
	{"policy", JSON_STRING_OR_NULL, false, 1, 40},
	{"limits", JSON_OBJECT},
	{"retention", JSON_OBJECT},
	{"variables", JSON_ARRAY, false, 0, 32},
	{"apis", JSON_ARRAY, false, 0, API_AGENT_MAX},
};

static const struct json_field limit_fields[] = {
	{"max_steps", JSON_INT, false, 1, MAX_STEPS},
	{"max_seconds", JSON_INT, false, 1, MAX_SECONDS},
	{"max_output_tokens", JSON_INT, false, 1, MAX_OUTPUT_TOKENS},
};

static int check_tools(yyjson_val *tools, struct error *err)
{
	_cleanup_(buf_deinit) struct buf names = BUF_INIT;
	yyjson_val *tool;
	size_t i, max;

	yyjson_arr_foreach(tools, i, max, tool)
	{
		if (yyjson_is_str(tool) && tool_group_find(yyjson_get_str(tool)))
			continue;
		tools_list_names(&names);
		return error_set(err, "invalid_field", "\"tools\" may hold these names only: %s", names.p);
	}
	return 0;
}

static int check_tool_options(yyjson_val *options, struct error *err)
{
	yyjson_val *key, *val;
	size_t i, max;

	yyjson_obj_foreach(options, i, max, key, val)
	{
		const struct tool *t = tool_find(yyjson_get_str(key));
		if (!t || !t->check_options)
			return error_set(err, "invalid_field",
					 "In \"tool_options\": there is no tool \"%.60s\" that has options",
					 yyjson_get_str(key));
		if (t->check_options(val, err) == 0)
			continue;
		error_prefix(err, "In \"tool_options\", %s", t->spec.name);
		return -EINVAL;
	}
	return 0;
}

/* An empty one is none. */
static int check_output_schema(yyjson_val *schema, struct error *err)
{
	if (!schema || json_schema_check(schema, err) == 0)
		return 0;
	error_prefix(err, "In \"output_schema\"");
	return -EINVAL;
}

static int check_fallbacks(yyjson_val *models, struct error *err)
{
	yyjson_val *model;
	size_t i, max;

	yyjson_arr_foreach(models, i, max, model)
	{
		if (!yyjson_is_str(model) || yyjson_get_len(model) == 0 || yyjson_get_len(model) > 200)
			return error_set(err, "invalid_field",
					 "\"fallback_models\" may hold ids of models only: see GET /api/models");
	}
	return 0;
}

static const struct json_field approval_fields[] = {{"default", JSON_STRING}, {"tools", JSON_OBJECT}};

static const struct json_field budget_fields[] = {
	{"run_tokens", JSON_INT, false, 0, 1000000000000ll},
	{"run_cost_usd", JSON_NUMBER},
	{"day_tokens", JSON_INT, false, 0, 1000000000000ll},
	{"day_cost_usd", JSON_NUMBER},
};

static int check_budget(yyjson_val *budget, struct error *err)
{
	if (!budget || json_check(budget, budget_fields, ARRAY_SIZE(budget_fields), err) == 0)
		return 0;
	error_prefix(err, "In \"budget\"");
	return -EINVAL;
}

static int check_mode(yyjson_val *mode, struct error *err)
{
	static const char *const modes[] = {"never", "risky", "always"};

	for (size_t i = 0; mode && i < ARRAY_SIZE(modes); i++)
		if (yyjson_equals_str(mode, modes[i]))
			return 0;
	return mode ? error_set(err, "invalid_field", "In \"approval\": a mode is never, risky or always") : 0;
}

static int check_approval(yyjson_val *approval, struct error *err)
{
	yyjson_val *key, *mode;
	size_t i, max;

	if (!approval)
		return 0;
	if (json_check(approval, approval_fields, ARRAY_SIZE(approval_fields), err) < 0) {
		error_prefix(err, "In \"approval\"");
		return -EINVAL;
	}
	if (check_mode(yyjson_obj_get(approval, "default"), err) < 0)
		return -EINVAL;
	yyjson_obj_foreach(json_get_obj(approval, "tools"), i, max, key, mode)
	{
		if (!tool_find(yyjson_get_str(key)) && !tool_group_find(yyjson_get_str(key)))
			return error_set(err, "invalid_field", "In \"approval\": there is no tool \"%.60s\"",
					 yyjson_get_str(key));
		if (check_mode(mode, err) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_slug(const char *slug, struct error *err)
{
	for (const char *p = slug; p && *p; p++)
		if (!(islower((unsigned char)*p) || isdigit((unsigned char)*p) || (*p == '-' && p > slug)))
			return error_set(err, "invalid_field",
					 "\"slug\" may hold a to z, 0 to 9 and, not at its start, hyphens");
	return 0;
}

/* Whether exec has it, exec says when a command is to run there. */
static int check_target(const char *target, struct error *err)
{
	for (const char *p = target; p && *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-')
			return error_set(err, "invalid_field",
					 "\"target\" may hold a to z, 0 to 9 and hyphens: a name of GET /api/targets");
	return 0;
}

static int check_limits(yyjson_val *limits, struct error *err)
{
	if (!limits || json_check(limits, limit_fields, ARRAY_SIZE(limit_fields), err) == 0)
		return 0;
	error_prefix(err, "In \"limits\"");
	return -EINVAL;
}

int agent_config_check(yyjson_val *body, bool is_new, struct error *err)
{
	const struct json_field *fields = is_new ? create_fields : patch_fields;
	size_t n = is_new ? ARRAY_SIZE(create_fields) : ARRAY_SIZE(patch_fields);

	if (json_check(body, fields, n, err) == 0 && check_tools(yyjson_obj_get(body, "tools"), err) == 0 &&
	    check_tool_options(yyjson_obj_get(body, "tool_options"), err) == 0 &&
	    check_output_schema(yyjson_obj_get(body, "output_schema"), err) == 0 &&
	    check_fallbacks(yyjson_obj_get(body, "fallback_models"), err) == 0 &&
	    check_approval(yyjson_obj_get(body, "approval"), err) == 0 &&
	    api_tools_check(yyjson_obj_get(body, "apis"), err) == 0 &&
	    check_budget(yyjson_obj_get(body, "budget"), err) == 0 &&
	    retention_setting_check(yyjson_obj_get(body, "retention"), err) == 0 &&
	    check_slug(json_get_str(body, "slug", NULL), err) == 0 &&
	    variables_check_declared(json_get_arr(body, "variables"), err) == 0 &&
	    check_target(json_get_str(body, "target", NULL), err) == 0)
		return check_limits(yyjson_obj_get(body, "limits"), err);
	return -EINVAL;
}

static int64_t limit(yyjson_val *body, yyjson_val *old, const char *name, int64_t def)
{
	return json_get_int(json_get_obj(body, "limits"), name, json_get_int(json_get_obj(old, "limits"), name, def));
}

const char *agent_config_make(const struct agent *agent, struct arena *a, yyjson_val *body, const char *old_config)
{
	yyjson_val *old = old_config ? yyjson_doc_get_root(json_parse(a, old_config, strlen(old_config), NULL)) : NULL;
	yyjson_val *tools = json_get_arr(body, "tools"), *fallbacks = json_get_arr(body, "fallback_models"), *options;
	/* An agent of before there were targets keeps its own machine. */
	const char *target = old ? "local" : option_str(service_options(agent->service), "agent_target");
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *limits;

	if (!tools)
		tools = json_get_arr(old, "tools");
	json_add_str(doc, obj, "instructions",
		     json_get_str(body, "instructions", json_get_str(old, "instructions", "")));
	json_add_str(doc, obj, "model", json_get_str(body, "model", json_get_str(old, "model", "default")));
	if (!fallbacks)
		fallbacks = json_get_arr(old, "fallback_models");
	yyjson_mut_obj_add_val(doc, obj, "fallback_models",
			       fallbacks ? yyjson_val_mut_copy(doc, fallbacks) : yyjson_mut_arr(doc));
	yyjson_mut_obj_add_val(doc, obj, "tools", tools ? yyjson_val_mut_copy(doc, tools) : yyjson_mut_arr(doc));
	options = json_get_obj(body, "tool_options") ?: json_get_obj(old, "tool_options");
	yyjson_mut_obj_add_val(doc, obj, "tool_options",
			       options ? yyjson_val_mut_copy(doc, options) : yyjson_mut_obj(doc));
	yyjson_val *schema = json_get_obj(body, "output_schema") ?: json_get_obj(old, "output_schema");
	yyjson_mut_obj_add_val(doc, obj, "output_schema",
			       schema ? yyjson_val_mut_copy(doc, schema) : yyjson_mut_obj(doc));
	add_budget(doc, obj, json_get_obj(body, "budget") ?: json_get_obj(old, "budget"));
	yyjson_val *retention = json_get_obj(body, "retention") ?: json_get_obj(old, "retention");
	yyjson_mut_obj_add_val(doc, obj, "retention",
			       retention ? yyjson_val_mut_copy(doc, retention) : yyjson_mut_obj(doc));
	add_approval(doc, obj, json_get_obj(body, "approval") ?: json_get_obj(old, "approval"));
	json_add_str(doc, obj, "target", json_get_str(body, "target", json_get_str(old, "target", target)));
	/* Null takes it away. */
	json_add_str(doc, obj, "policy", json_get_str(yyjson_obj_get(body, "policy") ? body : old, "policy", NULL));
	yyjson_val *variables = json_get_arr(body, "variables") ?: json_get_arr(old, "variables");
	yyjson_mut_obj_add_val(doc, obj, "variables",
			       variables ? yyjson_val_mut_copy(doc, variables) : yyjson_mut_arr(doc));
	yyjson_val *apis = json_get_arr(body, "apis") ?: json_get_arr(old, "apis");
	yyjson_mut_obj_add_val(doc, obj, "apis", apis ? yyjson_val_mut_copy(doc, apis) : yyjson_mut_arr(doc));
	limits = yyjson_mut_obj_add_obj(doc, obj, "limits");
	yyjson_mut_obj_add_int(doc, limits, "max_steps", limit(body, old, "max_steps", 25));
	yyjson_mut_obj_add_int(doc, limits, "max_seconds", limit(body, old, "max_seconds", 600));
	yyjson_mut_obj_add_int(doc, limits, "max_output_tokens", limit(body, old, "max_output_tokens", 4096));
	return json_text(a, doc).p;
}

int agent_config_check_whole(struct arena *a, const char *config, struct error *err)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(a, config, strlen(config), NULL));

	return variables_check_used(json_get_str(root, "instructions", ""), json_get_arr(root, "variables"), err);
}
