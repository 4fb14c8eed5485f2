#include "target/wire.h"

#include <ctype.h>
#include <errno.h>

#include "target/bytes.h"

/* ---- Writing ---- */

static void add_texts(struct buf *b, char *const *items)
{
	uint32_t n = 0;

	while (items[n])
		n++;
	add_u32(b, n);
	for (; *items; items++)
		add_text(b, str_of(*items));
}

void wire_add_hello(struct buf *out)
{
	struct buf b = BUF_INIT;

	add_text(&b, STR(TARGET_NAME));
	add_u32(&b, TARGET_VERSION);
	finish(out, FRAME_HELLO, &b);
}

void wire_add_probe(struct buf *out)
{
	struct buf b = BUF_INIT;

	add_u32(&b, TARGET_VERSION);
	finish(out, FRAME_PROBE, &b);
}

void wire_add_run(struct buf *out, const struct target_request *req)
{
	const struct spec *s = &req->spec;
	char *const script[] = {(char *)(uintptr_t)s->script, NULL};
	struct buf b = BUF_INIT;

	add_u32(&b, TARGET_VERSION);
	add_text(&b, str_of(s->id));
	add_u32(&b, req->level);
	add_u32(&b, req->shape);
	add_u32(&b, req->network);
	add_u32(&b, s->protects);
	add_u64(&b, s->timeout_ms);
	add_u64(&b, s->memory_max);
	add_u64(&b, s->tmp_max);
	add_u64(&b, s->file_size_max);
	add_u32(&b, s->pids_max);
	add_u64(&b, s->cpu_max_ms);
	add_u32(&b, s->cpu_percent);
	add_u64(&b, s->quota_bytes);
	add_u64(&b, s->quota_files);
	add_text(&b, str_of(s->workspace));
	add_text(&b, str_of(s->cwd));
	add_u32(&b, s->script && !s->plan);
	add_texts(&b, s->plan ? s->plan : s->script ? script : s->argv);
	add_texts(&b, s->env);
	add_text(&b, s->input);
	add_u32(&b, s->has_input);
	add_u32(&b, s->tty.rows);
	add_u32(&b, s->tty.cols);
	finish(out, FRAME_RUN, &b);
}

void wire_add_pair(struct buf *out, enum frame_type type, uint32_t a, uint32_t b)
{
	struct buf text = BUF_INIT;

	add_u32(&text, a);
	add_u32(&text, b);
	finish(out, type, &text);
}

void wire_add_taken(struct buf *out, uint64_t received, uint64_t taken, bool is_closed)
{
	struct buf b = BUF_INIT;

	add_u64(&b, received);
	add_u64(&b, taken);
	add_u32(&b, is_closed);
	finish(out, FRAME_TAKEN, &b);
}

void wire_add_waiting(struct buf *out, bool is_waiting)
{
	struct buf b = BUF_INIT;

	add_u32(&b, is_waiting);
	finish(out, FRAME_WAITING, &b);
}

void wire_add_report(struct buf *out, const struct target_report *r)
{
	struct buf b = BUF_INIT;

	add_u32(&b, r->sandbox.level);
	add_u32(&b, (uint32_t)r->sandbox.landlock_abi);
	add_u32(&b, (uint32_t)r->sandbox.cgroup_version);
	add_u32(&b, r->sandbox.cgroup_kill);
	add_u32(&b, r->shape);
	add_u32(&b, r->is_root);
	add_u32(&b, LAYER_COUNT);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		add_u32(&b, (uint32_t)r->sandbox.controllers[i]);
	for (int i = 0; i < LAYER_COUNT; i++) {
		add_u32(&b, r->sandbox.layers[i].ok);
		add_text(&b, str_of(r->sandbox.layers[i].detail));
	}
	finish(out, FRAME_REPORT, &b);
}

void wire_add_end(struct buf *out, const struct result *r)
{
	struct buf b = BUF_INIT;

	add_u32(&b, r->status);
	add_u32(&b, (uint32_t)r->exit_code);
	add_u32(&b, (uint32_t)r->signal);
	add_u64(&b, r->cpu_ms);
	add_u64(&b, r->max_rss_kib);
	add_text(&b, str_of(r->reason));
	finish(out, FRAME_END, &b);
}

/* ---- Reading ---- */

/* Each item takes four bytes at least, so the number is bounded by what is there. */
static char **get_texts(struct reader *r, struct arena *a)
{
	uint32_t n = get_u32(r);
	char **items;

	if (n > r->n / 4) {
		r->failed = true;
		n = 0;
	}
	items = arena_alloc(a, ((size_t)n + 1) * sizeof(*items));
	for (uint32_t i = 0; i < n; i++)
		items[i] = get_text(r, a);
	return items;
}

int wire_read_hello(struct str data)
{
	struct reader r = reader_of(data);

	if (!str_is(get_bytes(&r), TARGET_NAME) || r.failed)
		return -EBADMSG;
	return get_u32(&r) != TARGET_VERSION ? -EPROTO : ended(&r);
}

int wire_read_probe(struct str data)
{
	struct reader r = reader_of(data);

	return get_u32(&r) != TARGET_VERSION ? -EPROTO : ended(&r);
}

static bool is_word(const char *s)
{
	size_t n = strlen(s);

	for (; *s; s++)
		if (!isascii(*s) || !(isalnum(*s) || *s == '_' || *s == '-'))
			return false;
	return n <= 64;
}

static bool are_assignments(char *const *env)
{
	for (; *env; env++)
		if (!strchr(*env, '=') || **env == '=')
			return false;
	return true;
}

static bool makes_sense(const struct spec *s, const struct target_request *req)
{
	return id_is_valid(str_of(s->id)) && req->level >= SANDBOX_LANDLOCK && req->level <= SANDBOX_STRICT &&
	       s->timeout_ms > 0 && s->timeout_ms <= 7ull * 86400000 && s->memory_max > 0 && s->tmp_max > 0 &&
	       s->pids_max > 0 && s->tty.rows <= TTY_SIZE_MAX && s->tty.cols <= TTY_SIZE_MAX &&
	       !s->tty.rows == !s->tty.cols && (!s->tty.rows || s->has_input) && is_word(s->workspace) &&
	       are_assignments(s->env);
}

int wire_read_run(struct arena *a, struct str data, struct target_request *ret)
{
	struct reader r = reader_of(data);
	struct target_request req = {0};
	struct spec *s = &req.spec;
	char **what;
	bool is_script;

	if (get_u32(&r) != TARGET_VERSION)
		return r.failed ? -EBADMSG : -EPROTO;
	get_field(&r, s->id, sizeof(s->id));
	req.level = (enum sandbox_level)get_u32(&r);
	req.shape = get_u32(&r);
	req.network = get_bool(&r);
	s->protects = get_bool(&r);
	s->timeout_ms = get_u64(&r);
	s->memory_max = get_u64(&r);
	s->tmp_max = get_u64(&r);
	s->file_size_max = get_u64(&r);
	s->pids_max = get_u32(&r);
	s->cpu_max_ms = get_u64(&r);
	s->cpu_percent = get_u32(&r);
	s->quota_bytes = get_u64(&r);
	s->quota_files = get_u64(&r);
	s->workspace = get_text(&r, a);
	s->cwd = get_text(&r, a);
	is_script = get_bool(&r);
	what = get_texts(&r, a);
	s->env = get_texts(&r, a);
	s->input = get_bytes(&r);
	s->has_input = get_bool(&r);
	s->tty.rows = get_u32(&r);
	s->tty.cols = get_u32(&r);
	if (ended(&r) < 0 || !what[0] || (is_script && what[1]) ||
	    (!is_script && !what[0][0] && (!what[1] || !what[2])) || !makes_sense(s, &req))
		return -EBADMSG;
	s->plan = what[0][0] ? NULL : what;
	s->script = is_script ? what[0] : s->plan ? "" : NULL;
	s->argv = is_script || s->plan ? NULL : what;
	s->input = arena_str(a, s->input);
	s->user_id = s->key = s->request_hash = s->target = "";
	*ret = req;
	return 0;
}

int wire_read_report(struct str data, struct target_report *ret)
{
	struct reader r = reader_of(data);
	struct target_report t = {0};
	uint32_t level = get_u32(&r), abi = get_u32(&r), version = get_u32(&r), n;

	t.sandbox.cgroup_kill = get_bool(&r);
	t.shape = get_u32(&r);
	t.is_root = get_bool(&r);
	n = get_u32(&r);
	if (r.failed || level > SANDBOX_STRICT || abi > 1000 || version > 2 || n != LAYER_COUNT)
		return -EBADMSG;
	t.sandbox.level = (enum sandbox_level)level;
	t.sandbox.landlock_abi = (int)abi;
	t.sandbox.cgroup_version = (int)version;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		t.sandbox.controllers[i] = (int)(get_u32(&r) & 3);
	for (int i = 0; i < LAYER_COUNT; i++) {
		t.sandbox.layers[i].ok = get_bool(&r);
		get_field(&r, t.sandbox.layers[i].detail, sizeof(t.sandbox.layers[i].detail));
	}
	if (ended(&r) < 0)
		return -EBADMSG;
	*ret = t;
	return 0;
}

int wire_read_end(struct str data, struct result *ret)
{
	struct reader r = reader_of(data);
	struct result end = {0};
	uint32_t status = get_u32(&r);

	end.exit_code = (int)get_u32(&r);
	end.signal = (int)get_u32(&r);
	end.cpu_ms = get_u64(&r);
	end.max_rss_kib = get_u64(&r);
	get_field(&r, end.reason, sizeof(end.reason));
	if (ended(&r) < 0 || status < COMMAND_EXITED || status > COMMAND_ERROR || end.exit_code < -1 ||
	    end.exit_code > 255 || end.signal < 0 || end.signal > 64)
		return -EBADMSG;
	end.status = (enum command_status)status;
	*ret = end;
	return 0;
}

int wire_read_pair(struct str data, uint32_t *ret_a, uint32_t *ret_b)
{
	struct reader r = reader_of(data);

	*ret_a = get_u32(&r);
	*ret_b = get_u32(&r);
	return ended(&r);
}

int wire_read_taken(struct str data, uint64_t *ret_received, uint64_t *ret_taken, bool *ret_closed)
{
	struct reader r = reader_of(data);

	*ret_received = get_u64(&r);
	*ret_taken = get_u64(&r);
	*ret_closed = get_bool(&r);
	return ended(&r) < 0 || *ret_taken > *ret_received ? -EBADMSG : 0;
}

int wire_read_waiting(struct str data, bool *ret)
{
	struct reader r = reader_of(data);

	*ret = get_bool(&r);
	return ended(&r);
}
