/* /healthz, /readyz, /metrics and /routes of the internal listener. */
#include "service/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

static int64_t rss_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return (int64_t)pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void get_healthz(struct exchange *x)
{
	struct service *s = x->service;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);
	struct hook *h;

	yyjson_mut_obj_add_str(doc, obj, "status", "ok");
	yyjson_mut_obj_add_str(doc, obj, "role", s->role);
	yyjson_mut_obj_add_str(doc, obj, "version", OGENT_VERSION);
	yyjson_mut_obj_add_int(doc, obj, "pid", getpid());
	yyjson_mut_obj_add_int(doc, obj, "rss_kib", rss_kib());
	yyjson_mut_obj_add_int(doc, obj, "uptime_ms", (clock_now_us() - s->started_us) / 1000);
	list_foreach (h, &s->health_infos, struct hook, link)
		h->info(h->arg, doc, obj);
	reply_json(x, 200, doc);
}

static void add_reason(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *name, const char *reason)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);

	json_add_str(doc, item, "name", name);
	json_add_str(doc, item, "reason", reason);
}

static void get_readyz(struct exchange *x)
{
	struct service *s = x->service;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *reasons = yyjson_mut_arr(doc);
	struct hook *h;

	if (s->state >= SERVICE_DRAINING)
		add_reason(doc, reasons, "draining", "the service is about to stop");
	list_foreach (h, &s->ready_checks, struct hook, link) {
		const char *reason = h->check(h->arg);

		if (reason)
			add_reason(doc, reasons, h->name, reason);
	}

	bool ready = !yyjson_mut_arr_size(reasons);
	yyjson_mut_obj_add_str(doc, obj, "status", ready ? "ready" : "not_ready");
	yyjson_mut_obj_add_val(doc, obj, "reasons", reasons);
	if (!ready)
		reply_header(x, "Retry-After", "1");
	reply_json(x, ready ? 200 : 503, doc);
}

static void get_metrics(struct exchange *x)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	metrics_write(&text);
	reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text));
}

static void get_routes(struct exchange *x)
{
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *items = yyjson_mut_obj_add_arr(doc, obj, "items");

	for (const struct route_entry *e = router_first(x->service->router); e; e = e->next) {
		yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, items);

		json_add_str(doc, item, "method", http_method_name(e->route->method));
		json_add_str(doc, item, "pattern", e->route->pattern);
		json_add_str(doc, item, "permission", e->route->permission);
		yyjson_mut_obj_add_bool(doc, item, "public", e->route->flags & ROUTE_PUBLIC);
		yyjson_mut_obj_add_bool(doc, item, "internal", e->route->flags & ROUTE_INTERNAL);
		yyjson_mut_obj_add_bool(doc, item, "json_body", e->route->flags & ROUTE_BODY_JSON);
	}
	reply_json(x, 200, doc);
}

static const struct route routes[] = {
	{HTTP_GET_, "/healthz", NULL, ROUTE_PUBLIC | ROUTE_QUIET, 0, get_healthz},
	{HTTP_GET_, "/readyz", NULL, ROUTE_PUBLIC | ROUTE_QUIET, 0, get_readyz},
	{HTTP_GET_, "/metrics", NULL, ROUTE_PUBLIC | ROUTE_QUIET, 0, get_metrics},
	{HTTP_GET_, "/routes", NULL, ROUTE_PUBLIC | ROUTE_QUIET, 0, get_routes},
};

static double metric_rss(void *arg)
{
	return (double)rss_kib() * 1024;
}

static double metric_cpu(void *arg)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double metric_open_fds(void *arg)
{
	/* ThreadSanitizer follows open, not opendir: it would take the descriptor for the last one of its number. */
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	double n = -1; /* the folder's own */

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static double metric_max_fds(void *arg)
{
	struct rlimit files = {0};

	getrlimit(RLIMIT_NOFILE, &files);
	return (double)files.rlim_cur;
}

static double metric_start(void *arg)
{
	const struct service *s = arg;

	return (double)s->started_us / 1e6;
}

void service_add_health(struct service *s)
{
	char *labels = xasprintf("role=\"%s\",version=\"%s\"", s->role, OGENT_VERSION);

	metric_set(metric_gauge("ogent_build_info", "Always 1: which program this is", labels), 1);
	free(labels);
	metric_counter_fn("process_cpu_seconds_total", "CPU time of user and system", "", metric_cpu, s);
	metric_gauge_fn("process_open_fds", "Open descriptors", "", metric_open_fds, s);
	metric_gauge_fn("process_max_fds", "Descriptors allowed", "", metric_max_fds, s);
	metric_gauge_fn("process_resident_memory_bytes", "Resident memory", "", metric_rss, s);
	metric_gauge_fn("process_start_time_seconds", "Start, seconds since 1970", "", metric_start, s);
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		router_add(s->router, &routes[i], NULL);
}
