/* The exec role: its start and its end. The spawner is forked before anything else is made, so that it stays small and
 * holds no secret and no thread's lock. Running commands outlive this process: their supervisors go on, and the next
 * start attaches to them. */
#include "exec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/networks.h"
#include "command.h"
#include "policy/store.h"
#include "removals.h"
#include "roles.h"
#include "service/revocation.h"
#include "snapshot.h"

#define LANE_THREADS 4
#define FILES_THREADS 3
#define TREES_THREADS 3
#define LANE_QUEUE 1024
#define PRUNE_EVERY_MS (3600 * 1000)
#define POOL_IDLE_MS (60 * 1000)

/* DATA/exec, made if missing; commands see paths below it, so it is absolute. */
static char *make_folder(const struct options *o)
{
	const char *data = option_str(o, "data");
	char *path = xasprintf("%s/exec", data), *real;

	if ((mkdir(data, 0700) < 0 && errno != EEXIST) || (mkdir(path, 0700) < 0 && errno != EEXIST))
		fatal("cannot make the folder %s: %s", path, strerror(errno));
	real = realpath(path, NULL);
	if (!real)
		fatal("cannot use the folder %s: %s", path, strerror(errno));
	free(path);
	return real;
}

static void forget(void *options)
{
	options_wipe_secrets(options);
}

static void start_spawner(struct exec *e, const struct options *o)
{
	const struct spawner_pool pool = {.size = (unsigned)option_int(o, "sandbox_pool"),
					  .frame = {.memory_max = (uint64_t)option_int(o, "command_memory"),
						    .tmp_max = (uint64_t)option_int(o, "command_tmp_max"),
						    .pids_max = (unsigned)option_int(o, "command_pids"),
						    .cpu_percent = (unsigned)option_int(o, "command_cpu_percent")}};
	int r = spawner_start(e->dir, &pool, forget, (void *)(uintptr_t)o, &e->spawner);

	if (r < 0)
		fatal("cannot start the spawner: %s", strerror(-r));
}

static void configure(struct exec *e)
{
	const struct options *o = service_options(e->service);
	struct networks inner;
	struct error err = {0};

	e->wanted = sandbox_level_of(option_str(o, "sandbox_level"));
	e->timeout_ms = (uint64_t)option_int(o, "command_timeout");
	e->timeout_max_ms = MAX((uint64_t)option_int(o, "command_timeout_max"), e->timeout_ms);
	e->output_max = (uint64_t)option_int(o, "command_output_max");
	e->memory_max = (uint64_t)option_int(o, "command_memory");
	e->tmp_max = (uint64_t)option_int(o, "command_tmp_max");
	e->file_size_max = (uint64_t)option_int(o, "command_file_max");
	e->pids_max = (unsigned)option_int(o, "command_pids");
	e->cpu_max_ms = (uint64_t)option_int(o, "command_cpu_time");
	e->cpu_percent = (unsigned)option_int(o, "command_cpu_percent");
	e->quota_bytes = (uint64_t)option_int(o, "workspace_quota");
	e->quota_files = (uint64_t)option_int(o, "workspace_files_max");
	e->protects = option_bool(o, "workspace_protect");
	e->network_inner = option_str(o, "exec_network_inner");
	e->network_dns = option_str(o, "exec_network_dns");
	if (networks_parse(&inner, e->network_inner, "exec_network_inner", &err) < 0)
		fatal("%s", err.message);
	e->running_max = (unsigned)option_int(o, "command_running_max");
	e->sessions_max = (unsigned)option_int(o, "sandbox_sessions_max");
	e->session_idle_ms = (uint64_t)option_int(o, "sandbox_session_idle");
	e->workspace_max = (uint64_t)option_int(o, "workspace_max");
	e->snapshots_max = (unsigned)option_int(o, "workspace_snapshots_max");
	e->steps_max = (unsigned)option_int(o, "workspace_steps_max");
	e->retention_ms = (uint64_t)option_int(o, "command_retention");
	e->next_uid = (uid_t)option_int(o, "sandbox_uid_base");
}

static void open_journal(struct exec *e)
{
	int r = journal_open(e->dir, e->spawner.report.is_shared, &e->journal);

	if (r < 0)
		fatal("cannot open %s: %s", e->dir, strerror(-r));
	e->snapshots = (struct snapshots){e->journal.workspaces_fd, e->journal.snapshots_fd, e->workspace_max,
					  e->snapshots_max, e->steps_max};
	e->next_uid = MAX(e->next_uid, journal_greatest_uid(&e->journal) + 1);
	e->lane = job_lane_new(service_loop(e->service), "journal", LANE_THREADS, LANE_QUEUE, NULL, NULL, NULL);
	e->files_lane = job_lane_new(service_loop(e->service), "files", FILES_THREADS, LANE_QUEUE, NULL, NULL, NULL);
	e->trees_lane = job_lane_new(service_loop(e->service), "trees", TREES_THREADS, LANE_QUEUE, NULL, NULL, NULL);
}

/* ---- Retention ---- */

struct prune {
	struct job job;
	struct exec *exec;
	unsigned n;
	int64_t before_us; /* of a sweep */
};

static void prune_run(struct job *job)
{
	struct prune *p = container_of(job, struct prune, job);

	p->n = journal_prune(&p->exec->journal, clock_now_us() - (int64_t)p->exec->retention_ms * 1000);
}

static void prune_done(struct job *job)
{
	struct prune *p = container_of(job, struct prune, job);

	if (p->n)
		log_info("%u old commands removed", p->n);
	free(p);
}

static void on_prune(struct deadline *d)
{
	struct exec *e = container_of(d, struct exec, prune);
	struct prune *p = xcalloc(1, sizeof(*p));

	p->job = (struct job){.run = prune_run, .done = prune_done};
	p->exec = e;
	if (job_submit(e->lane, &p->job) < 0)
		free(p);
	deadline_set(service_wheel(e->service), d, PRUNE_EVERY_MS);
}

/* What a crash left in the middle of removing, restoring and copying workspaces. Once, behind the start. */
static void sweep_run(struct job *job)
{
	struct prune *p = container_of(job, struct prune, job);

	snapshot_sweep_trash(&p->exec->snapshots, p->before_us);
	snapshot_sweep(&p->exec->snapshots, p->before_us);
}

static void sweep_done(struct job *job)
{
	free(container_of(job, struct prune, job));
}

static void sweep(struct exec *e)
{
	struct prune *p = xcalloc(1, sizeof(*p));

	p->job = (struct job){.run = sweep_run, .done = sweep_done};
	p->before_us = clock_now_us();
	p->exec = e;
	if (job_submit(e->trees_lane, &p->job) < 0)
		free(p);
}

/* ---- The spawner, the end ---- */

/* Without it we end, are started again, and attach to what runs. */
static void on_spawner(uv_poll_t *poll, int status, int events)
{
	struct exec *e = poll->data;

	if (spawner_receive(&e->spawner) < 0)
		fatal("the spawner died");
}

/* Nobody has asked for a command for a while. */
static void on_pool_idle(struct deadline *d)
{
	spawner_empty(&container_of(d, struct exec, pool_idle)->spawner);
}

int exec_ask_spawner(struct exec *e, const char *id, int *ret_control)
{
	deadline_set(service_wheel(e->service), &e->pool_idle, POOL_IDLE_MS);
	return spawner_ask(&e->spawner, id, ret_control);
}

static void watch_spawner(struct exec *e)
{
	if (uv_poll_init(service_loop(e->service), &e->spawner_poll, e->spawner.fd) < 0 ||
	    uv_poll_init(service_loop(e->service), &e->offers_poll, e->spawner.offers) < 0)
		fatal("cannot watch the spawner");
	e->spawner_poll.data = e->offers_poll.data = e;
	uv_poll_start(&e->spawner_poll, UV_READABLE, on_spawner);
	uv_poll_start(&e->offers_poll, UV_READABLE, on_spawner);
}

static void drain(void *arg)
{
	terminals_end(arg);
}

static void stop(void *arg)
{
	struct exec *e = arg;

	terminals_cut(e);
	removals_stop(e->removals);
	targets_end_errands(e);
	job_lane_free(e->trees_lane);
	job_lane_free(e->files_lane);
	job_lane_free(e->lane);
	removals_free(e->removals);
	deadline_clear(&e->prune);
	deadline_clear(&e->pool_idle);
	commands_leave_all(e);
	targets_close(e);
	policies_close(e);
	uv_close((uv_handle_t *)&e->spawner_poll, NULL);
	uv_close((uv_handle_t *)&e->offers_poll, NULL);
}

int exec_main(const struct options *options)
{
	struct exec e = {.dir = make_folder(options)};
	int status;

	start_spawner(&e, options);
	e.service = service_new("exec", options);
	configure(&e);
	list_init(&e.terminals);
	open_journal(&e);
	exec_make_metrics(&e);
	watch_spawner(&e);
	targets_open(&e);
	policies_open(&e);
	deadline_init(&e.pool_idle, on_pool_idle);
	commands_attach_all(&e);
	sweep(&e);
	e.removals = removals_new(&e);
	deadline_init(&e.prune, on_prune);
	deadline_set(service_wheel(e.service), &e.prune, 1000);
	log_event(LOG_INFO, "sandbox", "level", sandbox_level_name(e.spawner.report.level), "required",
		  sandbox_level_name(e.wanted), NULL);
	service_watch_lane(e.service, "journal", e.lane);
	service_watch_lane(e.service, "files", e.files_lane);
	service_watch_lane(e.service, "trees", e.trees_lane);
	service_routes(e.service, exec_routes, exec_routes_n, &e);
	service_health_info(e.service, exec_health, &e);
	service_on_drain(e.service, drain, &e);
	revocation_on_change(e.service, terminals_revoke, &e);
	revocation_on_change(e.service, commands_revoke, &e);
	service_on_stop(e.service, stop, &e);
	service_listen(e.service);
	status = service_run(e.service);
	spawner_deinit(&e.spawner);
	journal_close(&e.journal);
	free(e.dir);
	return status;
}
