#include <stdio.h>

#include "command.h"

void report_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct sandbox_report *r,
		     enum sandbox_level wanted)
{
	yyjson_mut_val *layers;

	yyjson_mut_obj_add_str(doc, obj, "level", sandbox_level_name(r->level));
	yyjson_mut_obj_add_str(doc, obj, "required", sandbox_level_name(wanted));
	yyjson_mut_obj_add_bool(doc, obj, "ok", r->level >= wanted);
	layers = yyjson_mut_obj_add_obj(doc, obj, "layers");
	for (int i = 0; i < LAYER_COUNT; i++) {
		yyjson_mut_val *layer = yyjson_mut_obj_add_obj(doc, layers, sandbox_layer_name((enum sandbox_layer)i));

		yyjson_mut_obj_add_bool(doc, layer, "ok", r->layers[i].ok);
		yyjson_mut_obj_add_strcpy(doc, layer, "detail", r->layers[i].detail);
		if (i == LAYER_LANDLOCK)
			yyjson_mut_obj_add_int(doc, layer, "abi", r->landlock_abi);
		if (i == LAYER_CGROUP) {
			yyjson_mut_obj_add_int(doc, layer, "version", r->cgroup_version);
			yyjson_mut_obj_add_bool(doc, layer, "kill", r->cgroup_kill);
			for (int c = 0; c < CGROUP_CONTROLLERS; c++)
				yyjson_mut_obj_add_int(doc, layer, cgroup_controller_name((enum cgroup_controller)c),
						       r->controllers[c]);
		}
	}
}

/* What /healthz says of the sandbox. */
void exec_health(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	const struct exec *e = arg;

	report_add_json(doc, yyjson_mut_obj_add_obj(doc, obj, "sandbox"), &e->spawner.report, e->wanted);
}

static double count_running(void *arg)
{
	const struct exec *e = arg;

	return HASH_CNT(hh_id, e->by_id);
}

void exec_make_metrics(struct exec *e)
{
	char labels[80];

	for (int i = COMMAND_EXITED; i < COMMAND_STATUSES; i++) {
		snprintf(labels, sizeof(labels), "status=\"%s\"", command_status_name((enum command_status)i));
		e->metrics.ended[i] = metric_counter("ogent_commands_total", "Commands by their end", labels);
	}
	e->metrics.seconds = metric_histogram("ogent_command_seconds", "Commands, from start to end", "");
	e->metrics.output_bytes = metric_counter("ogent_command_output_bytes_total", "Output of commands", "");
	metric_gauge_fn("ogent_commands_running", "Commands that have not ended", "", count_running, e);
	for (int i = 0; i < LAYER_COUNT; i++) {
		snprintf(labels, sizeof(labels), "layer=\"%s\"", sandbox_layer_name((enum sandbox_layer)i));
		metric_set(
			metric_gauge("ogent_sandbox_layer", "Whether this layer of the sandbox works: 1 or 0", labels),
			e->spawner.report.layers[i].ok);
	}
	metric_set(metric_gauge("ogent_sandbox_ok", "Whether commands may run: the required level is reached", ""),
		   e->spawner.report.level >= e->wanted);
}

/* The layer whose absence keeps the level below the wanted one. */
static const struct sandbox_layer_state *missing_layer(const struct sandbox_report *r, enum sandbox_level wanted,
						       enum sandbox_layer *ret)
{
	static const enum sandbox_layer order[] = {
		LAYER_SECCOMP, LAYER_NO_NEW_PRIVS, LAYER_CAPABILITIES, LAYER_RLIMITS, LAYER_USERNS,
		LAYER_PIDNS,   LAYER_MOUNTNS,      LAYER_NETNS,        LAYER_IPCNS,   LAYER_UTSNS,
		LAYER_ROOT,    LAYER_LANDLOCK,     LAYER_CGROUP,
	};
	size_t first = wanted == SANDBOX_LANDLOCK ? 11 : 0;

	for (size_t n = 0; n < ARRAY_SIZE(order); n++) {
		size_t i = (first + n) % ARRAY_SIZE(order);
		const struct sandbox_layer_state *s = &r->layers[order[i]];

		/* "not used, because…" is a consequence; the cause stands elsewhere. */
		if (!s->ok && strncmp(s->detail, "not used", 8) != 0) {
			*ret = order[i];
			return s;
		}
	}
	return NULL;
}

const char *report_refusal(const struct sandbox_report *r, enum sandbox_level wanted, const char *where,
			   struct arena *a)
{
	const struct sandbox_layer_state *s;
	enum sandbox_layer layer;

	if (r->level >= wanted)
		return NULL;
	s = missing_layer(r, wanted, &layer);
	return arena_printf(a,
			    "No command runs: %s gives the sandbox level '%s', and '%s' is required (option "
			    "sandbox_level). Missing: %s (%s).",
			    where, sandbox_level_name(r->level), sandbox_level_name(wanted),
			    s ? sandbox_layer_name(layer) : "a layer", s ? s->detail : "see /healthz");
}

const char *exec_unavailable(const struct exec *e, struct arena *a)
{
	return report_refusal(&e->spawner.report, e->wanted, "this machine", a);
}
