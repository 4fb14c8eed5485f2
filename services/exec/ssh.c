/* Targets of the kind "ssh". */
#include "ssh.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

#define LINKS_MAX 64
#define AGAIN_MIN_MS 100
#define AGAIN_MAX_MS 30000
#define DEMAND_MS 500 /* a waiting command shortens the pause to this */

static struct ssh_target *ssh_of(const struct target *t)
{
	return container_of((struct target *)(uintptr_t)t, struct ssh_target, target);
}

/* ---- Connections ---- */

static struct ssh_link *link_with_room(struct ssh_target *t)
{
	struct ssh_link *l;

	list_foreach (l, &t->links, struct ssh_link, link)
		if (l->state == LINK_READY && l->n_runs < t->sessions_max && clock_mono_us() >= l->full_us)
			return l;
	return NULL;
}

static bool is_connecting(struct ssh_target *t)
{
	struct ssh_link *l;

	list_foreach (l, &t->links, struct ssh_link, link)
		if (l->state < LINK_READY)
			return true;
	return false;
}

static unsigned count_links(struct ssh_target *t, enum ssh_link_state state)
{
	struct ssh_link *l;
	unsigned n = 0;

	list_foreach (l, &t->links, struct ssh_link, link)
		n += l->state == state;
	return n;
}

/* Now, or after a pause since the last failure. */
static void connect_soon(struct ssh_target *t, uint64_t pause_ms)
{
	uint64_t since_ms = t->failed_us ? (clock_mono_us() - t->failed_us) / 1000 : UINT64_MAX;

	if (t->is_stopping || !t->api || is_connecting(t) || count_links(t, LINK_READY) >= LINKS_MAX)
		return;
	if (since_ms >= pause_ms) {
		deadline_clear(&t->again);
		ssh_link_new(t);
	} else {
		deadline_set(service_wheel(t->target.exec->service), &t->again, pause_ms - since_ms);
	}
}

static uint64_t back_off(const struct ssh_target *t)
{
	return MIN((uint64_t)AGAIN_MIN_MS << MIN(t->failures, 10u), AGAIN_MAX_MS);
}

void ssh_target_dispatch(struct ssh_target *t)
{
	struct ssh_run *run;
	struct ssh_link *l;

	while ((run = ssh_run_waiting(t)) && (l = link_with_room(t)))
		ssh_run_assign(run, l);
	if (ssh_run_waiting(t))
		connect_soon(t, MIN(back_off(t), DEMAND_MS));
}

static void on_again(struct deadline *d)
{
	struct ssh_target *t = container_of(d, struct ssh_target, again);

	if (ssh_run_waiting(t) || count_links(t, LINK_READY) == 0)
		connect_soon(t, 0);
}

void ssh_target_ready(struct ssh_target *t)
{
	if (t->reason[0] || t->failures)
		log_event(LOG_INFO, "target reached", "target", t->target.name, "level",
			  sandbox_level_name(t->report.sandbox.level), NULL);
	t->failures = 0;
	t->failed_us = 0;
	t->is_refused = false;
	t->reason[0] = 0;
	metric_set(t->is_up, 1);
	ssh_target_dispatch(t);
}

void ssh_target_lost(struct ssh_target *t, struct ssh_link *l)
{
	bool is_alone = count_links(t, LINK_READY) == 0;

	if (t->is_stopping)
		return;
	t->failed_us = clock_mono_us();
	metric_set(t->is_up, !is_alone);
	if (is_alone) {
		if (strcmp(t->reason, l->reason) != 0)
			log_event(LOG_WARN, "target lost", "target", t->target.name, "reason", l->reason, NULL);
		memcpy(t->reason, l->reason, sizeof(t->reason));
		t->is_refused = l->is_refused;
	}
	/* A first failure may be that of a connection that has just died: those who wait get one new one. */
	if (is_alone && ++t->failures > 1)
		ssh_run_refuse_all(t, t->reason);
	if (is_alone || ssh_run_waiting(t))
		connect_soon(t, back_off(t));
}

/* ---- The kind ---- */

static void ssh_start(struct command *c)
{
	ssh_run_command(ssh_of(c->target), c);
}

/* Nothing of it goes on without the exec that started it. */
static void ssh_adopt(struct command *c)
{
	if (!command_settle(c))
		ssh_start(c);
}

static void ssh_cancel(struct command *c)
{
	if (c->run)
		ssh_run_cancel(c->run);
}

static void ssh_seen(struct command *c)
{
}

static void ssh_leave(struct command *c)
{
	if (c->run)
		ssh_run_leave(c->run);
}

static ssize_t ssh_input(struct command *c, const void *data, size_t n)
{
	return c->run ? ssh_run_input(c->run, data, n) : 0;
}

static int ssh_input_end(struct command *c)
{
	return c->run ? ssh_run_input_end(c->run) : -EAGAIN;
}

static int ssh_signal(struct command *c, int sig, bool leader_alone)
{
	return c->run ? ssh_run_signal(c->run, sig, leader_alone) : -EAGAIN;
}

static int ssh_resize(struct command *c, const struct tty_size *size)
{
	return c->run ? ssh_run_resize(c->run, size) : -EAGAIN;
}

static const char *ssh_unavailable(const struct target *t, struct arena *a)
{
	if (ssh_of(t)->api)
		return NULL;
	return "Targets over SSH need the library libssh 0.10 or newer: install Debian's package libssh-4.";
}

static const char *state_of(struct ssh_target *t)
{
	if (count_links(t, LINK_READY) > 0)
		return "ready";
	if (!t->reason[0] && t->api)
		return "connecting";
	return t->is_refused || !t->api ? "refused" : "unreachable";
}

static void ssh_describe(const struct target *target, yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	struct ssh_target *t = ssh_of(target);
	const char *reason = t->api ? t->reason : ssh_unavailable(target, NULL);

	yyjson_mut_obj_add_str(doc, obj, "state", state_of(t));
	if (reason[0])
		yyjson_mut_obj_add_strcpy(doc, obj, "reason", reason);
	else
		yyjson_mut_obj_add_null(doc, obj, "reason");
	if (t->report.shape)
		report_add_json(doc, yyjson_mut_obj_add_obj(doc, obj, "sandbox"), &t->report.sandbox,
				target->exec->wanted);
	else
		yyjson_mut_obj_add_null(doc, obj, "sandbox");
}

void ssh_target_unref(struct ssh_target *t)
{
	if (--t->refs > 0)
		return;
	free(t->user);
	free(t->identity);
	free(t->known_hosts);
	free(t);
}

/* The memory goes with the last link. */
static void ssh_stop(struct target *target)
{
	struct ssh_target *t = ssh_of(target);
	struct ssh_link *l;

	t->is_stopping = true;
	deadline_clear(&t->again);
	list_foreach (l, &t->links, struct ssh_link, link)
		ssh_link_close(l);
	ssh_target_unref(t);
}

const struct target_kind target_ssh = {
	.name = "ssh",
	.start = ssh_start,
	.adopt = ssh_adopt,
	.cancel = ssh_cancel,
	.seen = ssh_seen,
	.input = ssh_input,
	.input_end = ssh_input_end,
	.signal = ssh_signal,
	.resize = ssh_resize,
	.leave = ssh_leave,
	.unavailable = ssh_unavailable,
	.describe = ssh_describe,
	.errand_open = ssh_errand_open,
	.errand_step = ssh_errand_step,
	.errand_close = ssh_errand_close,
	.errands_end = ssh_errands_end,
	.stop = ssh_stop,
};

/* ---- The options ---- */

static char *file_option(const struct exec *e, const char *option, const char *name)
{
	const struct options *o = service_options(e->service);
	const char *path = option_str(o, option);

	return path[0] ? xstrdup(path) : xasprintf("%s/secrets/%s", option_str(o, "data"), name);
}

/* USER@HOST[:PORT] after ssh://; nothing behind it. */
static bool parse_url(struct ssh_target *t, const char *url)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	struct str rest = str_of(url), user;
	const char *place;

	if (!str_has_prefix(rest, STR("ssh://")))
		return false;
	rest = (struct str){url + 6, rest.n - 6};
	user = str_cut(&rest, '@');
	if (!rest.p || user.n == 0 || rest.n == 0 || memchr(user.p, ':', user.n) || memchr(rest.p, '/', rest.n))
		return false;
	place = arena_strndup(a, rest.p, rest.n);
	if (address_parse(place, &t->address) < 0 && address_parse(arena_printf(a, "%s:22", place), &t->address) < 0)
		return false;
	t->user = xstrndup(user.p, user.n);
	return !t->address.is_unix;
}

struct target *ssh_target_new(struct exec *e, const char *name, const char *url)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const struct options *o = service_options(e->service);
	struct ssh_target *t = xcalloc(1, sizeof(*t));

	list_init(&t->links);
	list_init(&t->waiting);
	list_init(&t->errands);
	deadline_init(&t->again, on_again);
	t->refs = 1;
	t->target.exec = e;
	if (!parse_url(t, url))
		fatal("option exec_ssh_target: \"%s\" is not of the form ssh://USER@HOST or ssh://USER@HOST:PORT", url);
	snprintf(t->target.name, sizeof(t->target.name), "%s", name);
	t->identity = file_option(e, "exec_ssh_identity", "exec_ssh_key");
	t->known_hosts = file_option(e, "exec_ssh_known_hosts", "exec_ssh_known_hosts");
	t->network = option_bool(o, "exec_ssh_network");
	t->sessions_max = (unsigned)option_int(o, "exec_ssh_sessions");
	t->is_up = metric_gauge("ogent_target_up", "Whether commands can run on this target: 1 or 0",
				arena_printf(a, "target=\"%s\"", name));
	t->api = ssh_api_load();
	if (t->api)
		ssh_link_new(t);
	else
		log_warn("targets over SSH need the library libssh 0.10 or newer: install Debian's package libssh-4");
	return &t->target;
}
