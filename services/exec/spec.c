#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "egress/hosts.h"

static const char *const status_names[] = {"queued", "running", "exited", "signalled", "timeout", "cancelled",
					   "oom",    "cpu",     "quota",  "lost",      "error"};

const char *command_status_name(enum command_status s)
{
	return status_names[s];
}

int command_status_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++)
		if (strcmp(status_names[i], name) == 0)
			return (int)i;
	return -EBADMSG;
}

static void add_strings(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, char *const *items)
{
	yyjson_mut_val *arr = yyjson_mut_arr(doc);

	for (; *items; items++)
		yyjson_mut_arr_add_str(doc, arr, *items);
	yyjson_mut_obj_add_val(doc, obj, name, arr);
}

const char *spec_boot_id(void)
{
	static _Thread_local char id[40];
	int fd = id[0] ? -1 : open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return id;
	if (read(fd, id, 36) != 36)
		id[0] = 0;
	close(fd);
	return id;
}

struct str spec_to_json(struct arena *a, const struct spec *s)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	yyjson_mut_obj_add_str(doc, obj, "id", s->id);
	yyjson_mut_obj_add_str(doc, obj, "user_id", s->user_id);
	yyjson_mut_obj_add_str(doc, obj, "key", s->key);
	yyjson_mut_obj_add_str(doc, obj, "request_hash", s->request_hash);
	if (s->argv)
		add_strings(doc, obj, "argv", s->argv);
	else
		yyjson_mut_obj_add_str(doc, obj, "script", s->script);
	if (s->plan)
		add_strings(doc, obj, "plan", s->plan);
	if (s->network)
		yyjson_mut_obj_add_bool(doc, obj, "network", true);
	yyjson_mut_obj_add_str(doc, obj, "cwd", s->cwd);
	add_strings(doc, obj, "env", s->env);
	yyjson_mut_obj_add_strn(doc, obj, "stdin", s->input.p ? s->input.p : "", s->input.n);
	yyjson_mut_obj_add_bool(doc, obj, "has_input", s->has_input);
	yyjson_mut_obj_add_bool(doc, obj, "keeps_input", s->keeps_input);
	yyjson_mut_obj_add_bool(doc, obj, "protects", s->protects);
	yyjson_mut_obj_add_uint(doc, obj, "rows", s->tty.rows);
	yyjson_mut_obj_add_uint(doc, obj, "cols", s->tty.cols);
	if (s->tags)
		add_strings(doc, obj, "tags", s->tags);
	yyjson_mut_obj_add_str(doc, obj, "target", s->target);
	yyjson_mut_obj_add_str(doc, obj, "workspace", s->workspace);
	if (s->session && s->session[0]) {
		yyjson_mut_obj_add_str(doc, obj, "session", s->session);
		yyjson_mut_obj_add_uint(doc, obj, "session_idle_ms", s->session_idle_ms);
		yyjson_mut_obj_add_uint(doc, obj, "sessions_max", s->sessions_max);
	}
	hosts_add_json(doc, obj, "hosts", s->hosts);
	if (s->hosts) {
		yyjson_mut_obj_add_str(doc, obj, "inner", s->inner);
		yyjson_mut_obj_add_str(doc, obj, "dns", s->dns);
	}
	yyjson_mut_obj_add_uint(doc, obj, "uid", s->uid);
	yyjson_mut_obj_add_uint(doc, obj, "timeout_ms", s->timeout_ms);
	yyjson_mut_obj_add_uint(doc, obj, "memory_max", s->memory_max);
	yyjson_mut_obj_add_uint(doc, obj, "tmp_max", s->tmp_max);
	yyjson_mut_obj_add_uint(doc, obj, "output_max", s->output_max);
	yyjson_mut_obj_add_uint(doc, obj, "file_size_max", s->file_size_max);
	yyjson_mut_obj_add_uint(doc, obj, "pids_max", s->pids_max);
	yyjson_mut_obj_add_uint(doc, obj, "cpu_max_ms", s->cpu_max_ms);
	yyjson_mut_obj_add_uint(doc, obj, "cpu_percent", s->cpu_percent);
	yyjson_mut_obj_add_uint(doc, obj, "quota_bytes", s->quota_bytes);
	yyjson_mut_obj_add_uint(doc, obj, "quota_files", s->quota_files);
	yyjson_mut_obj_add_sint(doc, obj, "created_us", s->created_us);
	yyjson_mut_obj_add_str(doc, obj, "boot", s->boot ? s->boot : "");
	return json_text(a, doc);
}

static char **get_strings(struct arena *a, yyjson_val *obj, const char *name)
{
	yyjson_val *arr = json_get_arr(obj, name), *item;
	size_t i, max, n = 0;
	char **items;

	if (!arr)
		return NULL;
	items = arena_alloc(a, (yyjson_arr_size(arr) + 1) * sizeof(*items));
	yyjson_arr_foreach(arr, i, max, item) if (yyjson_is_str(item)) items[n++] =
		arena_strdup(a, yyjson_get_str(item));
	return items;
}

static uint64_t get_u64(yyjson_val *obj, const char *name)
{
	int64_t n = json_get_int(obj, name, 0);

	return n < 0 ? 0 : (uint64_t)n;
}

int spec_from_json(struct arena *a, struct str text, struct spec *ret)
{
	struct error err;
	yyjson_doc *doc = json_parse(a, text.p, text.n, &err);
	yyjson_val *obj = yyjson_doc_get_root(doc);
	const char *id = json_get_str(obj, "id", "");
	struct egress_rules *hosts;
	struct spec s = {0};

	if (!yyjson_is_obj(obj) || !id_is_valid(str_of(id)))
		return -EBADMSG;
	memcpy(s.id, id, ID_SIZE);
	s.user_id = json_get_str(obj, "user_id", "");
	s.key = json_get_str(obj, "key", "");
	s.request_hash = json_get_str(obj, "request_hash", "");
	s.argv = get_strings(a, obj, "argv");
	s.plan = get_strings(a, obj, "plan");
	s.network = json_get_bool(obj, "network", false);
	if (hosts_read(a, yyjson_obj_get(obj, "hosts"), "hosts", &hosts, &err) < 0)
		return -EBADMSG;
	s.hosts = hosts;
	s.inner = json_get_str(obj, "inner", "");
	s.dns = json_get_str(obj, "dns", "");
	s.script = json_get_str(obj, "script", NULL);
	s.cwd = json_get_str(obj, "cwd", "");
	s.env = get_strings(a, obj, "env");
	s.input = str_of(json_get_str(obj, "stdin", ""));
	s.has_input = json_get_bool(obj, "has_input", false);
	s.keeps_input = json_get_bool(obj, "keeps_input", false);
	s.protects = json_get_bool(obj, "protects", false);
	s.tty = (struct tty_size){(unsigned)get_u64(obj, "rows"), (unsigned)get_u64(obj, "cols")};
	s.tags = get_strings(a, obj, "tags");
	s.target = json_get_str(obj, "target", "");
	s.workspace = json_get_str(obj, "workspace", "");
	s.session = json_get_str(obj, "session", "");
	s.session_idle_ms = get_u64(obj, "session_idle_ms");
	s.sessions_max = (unsigned)get_u64(obj, "sessions_max");
	s.uid = (uid_t)get_u64(obj, "uid");
	s.timeout_ms = get_u64(obj, "timeout_ms");
	s.memory_max = get_u64(obj, "memory_max");
	s.tmp_max = get_u64(obj, "tmp_max");
	s.output_max = get_u64(obj, "output_max");
	s.file_size_max = get_u64(obj, "file_size_max");
	s.pids_max = (unsigned)get_u64(obj, "pids_max");
	s.cpu_max_ms = get_u64(obj, "cpu_max_ms");
	s.cpu_percent = (unsigned)get_u64(obj, "cpu_percent");
	s.quota_bytes = get_u64(obj, "quota_bytes");
	s.quota_files = get_u64(obj, "quota_files");
	s.created_us = json_get_int(obj, "created_us", 0);
	s.boot = json_get_str(obj, "boot", "");
	if ((!s.argv || !s.argv[0]) && !s.script)
		return -EBADMSG;
	if (!s.env || s.timeout_ms == 0 || s.memory_max == 0 || s.pids_max == 0 || s.output_max == 0)
		return -EBADMSG;
	*ret = s;
	return 0;
}

struct str result_to_json(struct arena *a, const struct result *r)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc);

	yyjson_mut_obj_add_str(doc, obj, "status", command_status_name(r->status));
	yyjson_mut_obj_add_int(doc, obj, "exit_code", r->exit_code);
	yyjson_mut_obj_add_int(doc, obj, "signal", r->signal);
	yyjson_mut_obj_add_str(doc, obj, "reason", r->reason);
	yyjson_mut_obj_add_uint(doc, obj, "output_bytes", r->output_bytes);
	yyjson_mut_obj_add_uint(doc, obj, "truncated_bytes", r->truncated_bytes);
	yyjson_mut_obj_add_sint(doc, obj, "started_us", r->started_us);
	yyjson_mut_obj_add_sint(doc, obj, "ended_us", r->ended_us);
	yyjson_mut_obj_add_uint(doc, obj, "cpu_ms", r->cpu_ms);
	yyjson_mut_obj_add_uint(doc, obj, "max_rss_kib", r->max_rss_kib);
	yyjson_mut_obj_add_uint(doc, obj, "system_ms", r->system_ms);
	yyjson_mut_obj_add_uint(doc, obj, "read_bytes", r->read_bytes);
	yyjson_mut_obj_add_uint(doc, obj, "write_bytes", r->write_bytes);
	yyjson_mut_obj_add_uint(doc, obj, "pids_peak", r->pids_peak);
	yyjson_mut_obj_add_uint(doc, obj, "forks_refused", r->forks_refused);
	yyjson_mut_obj_add_uint(doc, obj, "memory_kills", r->memory_kills);
	yyjson_mut_obj_add_uint(doc, obj, "throttled", r->throttled);
	yyjson_mut_obj_add_str(doc, obj, "removed", r->removed);
	return json_text(a, doc);
}

int result_from_json(struct arena *a, struct str text, struct result *ret)
{
	struct error err;
	yyjson_doc *doc = json_parse(a, text.p, text.n, &err);
	yyjson_val *obj = yyjson_doc_get_root(doc);
	int status = command_status_of(json_get_str(obj, "status", ""));

	if (status < 0 || !command_status_is_end((enum command_status)status))
		return -EBADMSG;
	*ret = (struct result){
		.status = (enum command_status)status,
		.exit_code = (int)json_get_int(obj, "exit_code", -1),
		.signal = (int)json_get_int(obj, "signal", 0),
		.output_bytes = get_u64(obj, "output_bytes"),
		.truncated_bytes = get_u64(obj, "truncated_bytes"),
		.started_us = json_get_int(obj, "started_us", 0),
		.ended_us = json_get_int(obj, "ended_us", 0),
		.cpu_ms = get_u64(obj, "cpu_ms"),
		.max_rss_kib = get_u64(obj, "max_rss_kib"),
		.system_ms = get_u64(obj, "system_ms"),
		.read_bytes = get_u64(obj, "read_bytes"),
		.write_bytes = get_u64(obj, "write_bytes"),
		.pids_peak = (unsigned)get_u64(obj, "pids_peak"),
		.forks_refused = (unsigned)get_u64(obj, "forks_refused"),
		.memory_kills = (unsigned)get_u64(obj, "memory_kills"),
		.throttled = (unsigned)get_u64(obj, "throttled"),
	};
	strncpy(ret->removed, json_get_str(obj, "removed", ""), sizeof(ret->removed) - 1);
	strncpy(ret->reason, json_get_str(obj, "reason", ""), sizeof(ret->reason) - 1);
	return 0;
}
