#include "service/metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define LABEL_MAX 100

static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

struct histogram {
	_Atomic uint64_t counts[ARRAY_SIZE(bounds) + 1]; /* each value in one place; summed up when written */
};

struct metric {
	struct metric *next;
	const char *name, *help, *type;
	char *labels;
	_Atomic double value; /* a histogram's sum */
	double (*fn)(void *arg);
	void *arg;
	struct histogram *histogram;
	bool hides_zero;
};

struct metric_family {
	struct metric_family *next;
	const char *name, *help;
	struct metric *other; /* made at first need */
	const char *other_labels;
	size_t n, max;
	struct metric *members[];
};

struct writer {
	struct writer *next;
	void (*fn)(struct buf *out, void *arg);
	void *arg;
};
static struct writer *first_writer;

/* In the order of making; those of one name stand together. */
static struct metric *first;
static struct metric_family *first_family;

static struct metric *metric_new(const char *type, const char *name, const char *help, const char *labels)
{
	struct metric *m = xcalloc(1, sizeof(*m)), **at = &first, **end = NULL;

	m->name = name;
	m->help = help;
	m->type = type;
	m->labels = xstrdup(labels);
	for (; *at; at = &(*at)->next)
		if (!strcmp((*at)->name, name))
			end = &(*at)->next;
	if (end)
		at = end;
	m->next = *at;
	*at = m;
	return m;
}

struct metric *metric_counter(const char *name, const char *help, const char *labels)
{
	return metric_new("counter", name, help, labels);
}

struct metric *metric_gauge(const char *name, const char *help, const char *labels)
{
	return metric_new("gauge", name, help, labels);
}

struct metric *metric_gauge_fn(const char *name, const char *help, const char *labels, double (*fn)(void *arg),
			       void *arg)
{
	struct metric *m = metric_new("gauge", name, help, labels);

	m->fn = fn;
	m->arg = arg;
	return m;
}

struct metric *metric_counter_fn(const char *name, const char *help, const char *labels, double (*fn)(void *arg),
				 void *arg)
{
	struct metric *m = metric_gauge_fn(name, help, labels, fn, arg);

	m->type = "counter";
	return m;
}

struct metric *metric_histogram(const char *name, const char *help, const char *labels)
{
	struct metric *m = metric_new("histogram", name, help, labels);

	m->histogram = xcalloc(1, sizeof(*m->histogram));
	return m;
}

struct metric_family *metric_family_new(const char *name, const char *help, const char *other, size_t max)
{
	struct metric_family *f = xcalloc(1, sizeof(*f) + max * sizeof(f->members[0]));

	f->name = name;
	f->help = help;
	f->other_labels = other;
	f->max = max;
	f->next = first_family;
	first_family = f;
	return f;
}

struct metric *metric_family_get(struct metric_family *f, struct str labels)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_is(labels, f->members[i]->labels))
			return f->members[i];
	if (f->n == f->max) {
		if (!f->other)
			f->other = metric_counter(f->name, f->help, f->other_labels);
		return f->other;
	}
	char *copy = xstrndup(labels.p, labels.n);
	f->members[f->n] = metric_counter(f->name, f->help, copy);
	free(copy);
	return f->members[f->n++];
}

void metric_label(struct buf *labels, const char *name, const char *value)
{
	if (labels->n)
		buf_add_char(labels, ',');
	buf_add_str(labels, name);
	buf_add_str(labels, "=\"");
	for (size_t i = 0; value[i] && (i < LABEL_MAX || ((unsigned char)value[i] & 0xc0) == 0x80); i++) {
		if (value[i] == '\n') {
			buf_add(labels, "\\n", 2);
			continue;
		}
		if (value[i] == '"' || value[i] == '\\')
			buf_add_char(labels, '\\');
		buf_add_char(labels, value[i]);
	}
	buf_add_char(labels, '"');
}

void metric_hide_zero(struct metric *m)
{
	m->hides_zero = true;
}

void metric_add(struct metric *m, double v)
{
	double old = atomic_load_explicit(&m->value, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&m->value, &old, old + v, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void metric_set(struct metric *m, double v)
{
	atomic_store_explicit(&m->value, v, memory_order_relaxed);
}

void metric_observe(struct metric *m, double seconds)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(bounds) && seconds > bounds[i])
		i++;
	atomic_fetch_add_explicit(&m->histogram->counts[i], 1, memory_order_relaxed);
	metric_add(m, seconds);
}

static void write_number(struct buf *out, double v)
{
	if (v == floor(v) && fabs(v) < 1e15)
		buf_printf(out, "%.0f\n", v);
	else
		buf_printf(out, "%.9g\n", v);
}

static void write_histogram(struct buf *out, const struct metric *m)
{
	const char *comma = m->labels[0] ? "," : "";
	const char *open = m->labels[0] ? "{" : "", *close = m->labels[0] ? "}" : "";
	uint64_t sum = 0;

	/* The sum of what was read is the number: both are of one moment, whatever is counted meanwhile. */
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
		sum += m->histogram->counts[i];
		buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", m->name, m->labels, comma, bounds[i],
			   (unsigned long long)sum);
	}
	sum += m->histogram->counts[ARRAY_SIZE(bounds)];
	buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", m->name, m->labels, comma, (unsigned long long)sum);
	buf_printf(out, "%s_sum%s%s%s ", m->name, open, m->labels, close);
	write_number(out, m->value);
	buf_printf(out, "%s_count%s%s%s %llu\n", m->name, open, m->labels, close, (unsigned long long)sum);
}

void metrics_on_write(void (*fn)(struct buf *out, void *arg), void *arg)
{
	struct writer *w = xcalloc(1, sizeof(*w)), **at = &first_writer;

	while (*at)
		at = &(*at)->next;
	w->fn = fn;
	w->arg = arg;
	*at = w;
}

void metrics_write(struct buf *out)
{
	const char *last = "";

	for (struct metric *m = first; m; m = m->next) {
		if (m->hides_zero && m->value == 0)
			continue;
		if (strcmp(m->name, last))
			buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
		last = m->name;
		if (m->histogram) {
			write_histogram(out, m);
			continue;
		}
		buf_printf(out, m->labels[0] ? "%s{%s} " : "%s%s ", m->name, m->labels);
		write_number(out, m->fn ? m->fn(m->arg) : m->value);
	}
	for (const struct writer *w = first_writer; w; w = w->next)
		w->fn(out, w->arg);
}

void metrics_free(void)
{
	while (first_writer) {
		struct writer *w = first_writer;

		first_writer = w->next;
		free(w);
	}
	while (first) {
		struct metric *m = first;

		first = m->next;
		free(m->labels);
		free(m->histogram);
		free(m);
	}
	while (first_family) {
		struct metric_family *f = first_family;

		first_family = f->next;
		free(f);
	}
}
