/* The listener for Prometheus (option metrics_listen): GET /metrics there gives the metrics of all roles in one text,
 * each line with the label `service`, and ogent_up for each role that answered. It asks every role at its internal
 * address; where a role has several processes, scrape them one by one instead. It never stands on the public listener.
 */
#include "gateway.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/alloc.h"

#define ANSWER_MS 2000
#define ANSWER_MAX (8 << 20)

/* One metric's name with the lines of every role, because a name may have one head only. */
struct family {
	UT_hash_handle hh;
	char *name;
	struct buf head, lines;
};

struct scrape_part {
	struct scrape *scrape;
	struct http_fetch *fetch; /* NULL when it has answered */
	const char *role;
	bool is_up;
};

struct scrape {
	struct gateway *gateway;
	struct http_request *r; /* NULL once the client has left */
	struct scrape_part parts[ROLE_COUNT];
	unsigned waiting;
	struct family *families;
};

static struct family *family_of(struct scrape *s, struct str name)
{
	struct family *f;

	HASH_FIND(hh, s->families, name.p, name.n, f);
	if (f)
		return f;
	f = xcalloc(1, sizeof(*f));
	f->name = xstrndup(name.p, name.n);
	HASH_ADD_KEYPTR(hh, s->families, f->name, name.n, f);
	return f;
}

/* `name{labels} value` or `name value`. */
static void add_sample(struct family *f, const char *role, struct str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] != '{' && line.p[n] != ' ')
		n++;
	if (n == line.n)
		return;
	buf_add(&f->lines, line.p, n);
	buf_printf(&f->lines, "{service=\"%s\"%s", role, line.p[n] == '{' ? "," : "}");
	if (line.p[n] == '{')
		n++;
	buf_add(&f->lines, line.p + n, line.n - n);
	buf_add_char(&f->lines, '\n');
}

/* Every family begins with its "# HELP NAME …" and "# TYPE NAME …". */
static void add_text(struct scrape *s, const char *role, struct str text)
{
	struct family *f = NULL;
	bool is_first = false;

	while (text.p) {
		struct str line = str_cut(&text, '\n');

		if (str_has_prefix(line, STR("# HELP "))) {
			struct str rest = {line.p + 7, line.n - 7};
			f = family_of(s, str_cut(&rest, ' '));
			is_first = f->head.n == 0;
		}
		if (!f || !line.n)
			continue;
		if (line.p[0] != '#') {
			add_sample(f, role, line);
		} else if (is_first) {
			buf_add(&f->head, line.p, line.n);
			buf_add_char(&f->head, '\n');
		}
	}
}

static void write_all(struct scrape *s, struct buf *out)
{
	buf_add_str(out, "# HELP ogent_up Whether the role answered\n# TYPE ogent_up gauge\n"
			 "ogent_up{service=\"gateway\"} 1\n");
	for (size_t i = 0; i < ROLE_COUNT; i++)
		buf_printf(out, "ogent_up{service=\"%s\"} %d\n", s->parts[i].role, s->parts[i].is_up);
	for (struct family *f = s->families; f; f = f->hh.next) {
		buf_add(out, f->head.p, f->head.n);
		buf_add(out, f->lines.p, f->lines.n);
	}
}

static void scrape_free(struct scrape *s)
{
	struct family *f, *next;

	HASH_ITER(hh, s->families, f, next)
	{
		HASH_DEL(s->families, f);
		buf_deinit(&f->head);
		buf_deinit(&f->lines);
		free(f->name);
		free(f);
	}
	free(s);
}

static void finish(struct scrape *s)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (s->r) {
		write_all(s, &text);
		s->r->owner = NULL;
		http_reply(s->r, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, text.p, text.n);
	}
	scrape_free(s);
}

static void on_answer(void *arg, int err, int status, struct str body)
{
	struct scrape_part *part = arg;
	struct scrape *s = part->scrape;

	part->fetch = NULL;
	part->is_up = !err && status == 200;
	if (part->is_up && s->r)
		add_text(s, part->role, body);
	if (--s->waiting == 0)
		finish(s);
}

static void on_close(struct http_request *r, int err)
{
	struct scrape *s = r->owner;

	if (!s)
		return;
	s->r = NULL;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (s->parts[i].fetch)
			http_fetch_cancel(s->parts[i].fetch);
}

static void start(struct gateway *g, struct http_request *r)
{
	struct scrape *s = xcalloc(1, sizeof(*s));
	_cleanup_(buf_deinit) struct buf own = BUF_INIT;

	s->gateway = g;
	s->r = r;
	s->waiting = ROLE_COUNT;
	r->owner = s;
	metrics_write(&own);
	add_text(s, "gateway", buf_str(&own));
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		struct scrape_part *part = &s->parts[i];

		part->scrape = s;
		part->role = role_names[i];
		part->fetch = http_fetch(service_peer(g->service, part->role), "GET", "/metrics", NULL, NULL,
					 (struct str){0}, ANSWER_MAX, ANSWER_MS, on_answer, part);
	}
}

void scrape_on_request(void *gateway, struct http_request *r)
{
	r->owner = NULL;
	r->on_close = on_close;
	if (!str_is(r->path, "/metrics"))
		problem_reply(r, 404, "not_found", "Only /metrics is here.");
	else if (r->method != HTTP_GET_)
		problem_reply(r, 405, "method_not_allowed", "This can only be read: use GET.");
	else
		start(gateway, r);
}
