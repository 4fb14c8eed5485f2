#include "service/trace.h"

#include <string.h>

#include "base/encode.h"
#include "base/id.h"

static bool samples_new;

void trace_set_sampled(bool on)
{
	samples_new = on;
}

static void trace_id_of(const char *id, char ret[33])
{
	char own[ID_SIZE];

	if (!id || !id_is_valid(str_of(id)) || !strcmp(id, "00000000-0000-0000-0000-000000000000")) {
		id_new(own);
		id = own;
	}
	/* What stands between the dashes. */
	memcpy(ret, id, 8);
	memcpy(ret + 8, id + 9, 4);
	memcpy(ret + 12, id + 14, 4);
	memcpy(ret + 16, id + 19, 4);
	memcpy(ret + 20, id + 24, 12);
	ret[32] = '\0';
}

void trace_begin(struct trace *t, const char *traceparent, const char *id)
{
	*t = (struct trace){.is_sampled = samples_new};
	if (traceparent) {
		memcpy(t->trace_id, traceparent + 3, 32);
		memcpy(t->parent_id, traceparent + 36, 16);
		/* The lowest bit of the flags. */
		t->is_sampled = strchr("13579bdf", traceparent[54]) != NULL;
	} else {
		trace_id_of(id, t->trace_id);
	}
	id_hex(t->span_id);
}

void trace_child(struct trace *t, const struct trace *parent)
{
	memcpy(t->trace_id, parent->trace_id, sizeof(t->trace_id));
	memcpy(t->parent_id, parent->span_id, sizeof(t->parent_id));
	t->is_sampled = parent->is_sampled;
	id_hex(t->span_id);
}

void trace_write(const struct trace *t, char ret[TRACEPARENT_SIZE])
{
	memcpy(ret, "00-", 3);
	memcpy(ret + 3, t->trace_id, 32);
	ret[35] = '-';
	memcpy(ret + 36, t->span_id, 16);
	memcpy(ret + 52, t->is_sampled ? "-01" : "-00", 4);
}
