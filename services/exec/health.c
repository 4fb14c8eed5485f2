#include "exec.h"

/* What /healthz says of the sandbox. */
void exec_health(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	const struct exec *e = arg;
	const struct sandbox_report *r = &e->spawner.report;
	yyjson_mut_val *sandbox = yyjson_mut_obj_add_obj(doc, obj, "sandbox"), *layers;

	yyjson_mut_obj_add_str(doc, sandbox, "level", sandbox_level_name(r->level));
	yyjson_mut_obj_add_str(doc, sandbox, "required", sandbox_level_name(e->wanted));
	yyjson_mut_obj_add_bool(doc, sandbox, "ok", r->level >= e->wanted);
	layers = yyjson_mut_obj_add_obj(doc, sandbox, "layers");
	for (int i = 0; i < LAYER_COUNT; i++) {
		yyjson_mut_val *layer = yyjson_mut_obj_add_obj(doc, layers, sandbox_layer_name((enum sandbox_layer)i));

		yyjson_mut_obj_add_bool(doc, layer, "ok", r->layers[i].ok);
		yyjson_mut_obj_add_str(doc, layer, "detail", r->layers[i].detail);
		if (i == LAYER_LANDLOCK)
			yyjson_mut_obj_add_int(doc, layer, "abi", r->landlock_abi);
		if (i == LAYER_CGROUP) {
			yyjson_mut_obj_add_int(doc, layer, "version", r->cgroup_version);
			yyjson_mut_obj_add_bool(doc, layer, "kill", r->cgroup_kill);
		}
	}
}

/* The layer whose absence keeps the level below the wanted one. */
static const struct sandbox_layer_state *missing_layer(const struct exec *e, enum sandbox_layer *ret)
{
	static const enum sandbox_layer order[] = {
		LAYER_SECCOMP, LAYER_NO_NEW_PRIVS, LAYER_CAPABILITIES, LAYER_RLIMITS, LAYER_USERNS,
		LAYER_PIDNS,   LAYER_MOUNTNS,      LAYER_NETNS,        LAYER_IPCNS,   LAYER_UTSNS,
		LAYER_ROOT,    LAYER_LANDLOCK,     LAYER_CGROUP,
	};
	size_t first = e->wanted == SANDBOX_LANDLOCK ? 11 : 0;

	for (size_t n = 0; n < ARRAY_SIZE(order); n++) {
		size_t i = (first + n) % ARRAY_SIZE(order);
		const struct sandbox_layer_state *s = &e->spawner.report.layers[order[i]];

		/* "not used, because…" is a consequence; the cause stands elsewhere. */
		if (!s->ok && strncmp(s->detail, "not used", 8) != 0) {
			*ret = order[i];
			return s;
		}
	}
	return NULL;
}

const char *exec_unavailable(const struct exec *e, struct arena *a)
{
	const struct sandbox_report *r = &e->spawner.report;
	const struct sandbox_layer_state *s;
	enum sandbox_layer layer;

	if (r->level >= e->wanted)
		return NULL;
	s = missing_layer(e, &layer);
	return arena_printf(a,
			    "No command runs: this machine gives the sandbox level '%s', and '%s' is required (option "
			    "sandbox_level). Missing: %s (%s).",
			    sandbox_level_name(r->level), sandbox_level_name(e->wanted),
			    s ? sandbox_layer_name(layer) : "a layer", s ? s->detail : "see /healthz");
}
