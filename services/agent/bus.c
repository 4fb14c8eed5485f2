#include "agent/bus.h"

#include <stdlib.h>

#include "agent/agent.h"
#include "agent/handlers.h"
#include "agent/models/choice.h"
#include "agent/runner.h"
#include "base/alloc.h"

#define CHANNEL "ogent_agent"
#define MAX_SENDING 1000 /* beyond, hints are left out: whoever waits looks by itself */

static const char *const names[] = {[BUS_QUEUE] = "queue",
				    [BUS_CANCEL] = "cancel",
				    [BUS_FOLLOW] = "follow",
				    [BUS_EVENTS] = "events",
				    [BUS_MODELS] = "models"};

struct bus {
	struct agent *agent;
	struct db_listener *listener;
	bool is_shared, is_up;
	unsigned n_sending;
};

/* A hint under way. */
struct sending {
	struct db_job db;
	struct bus *bus;
	enum bus_hint hint;
	char execution_id[ID_SIZE];
};

int bus_tell(struct db_conn *c, enum bus_hint hint, const char *execution_id)
{
	char message[64];

	snprintf(message, sizeof(message), "%s %s", names[hint], execution_id ? execution_id : "");
	return db_notify(c, CHANNEL, message);
}

static int send_run(struct db_conn *c, struct db_job *job)
{
	struct sending *s = container_of(job, struct sending, db);

	return bus_tell(c, s->hint, s->execution_id);
}

static void on_sent(struct db_job *job, int result)
{
	struct sending *s = container_of(job, struct sending, db);

	s->bus->n_sending--;
	free(s);
}

void bus_send(struct bus *b, enum bus_hint hint, const char *execution_id)
{
	struct sending *s;

	if (!b->listener || b->n_sending >= MAX_SENDING)
		return;
	s = xcalloc(1, sizeof(*s));
	s->bus = b;
	s->hint = hint;
	snprintf(s->execution_id, sizeof(s->execution_id), "%s", execution_id ? execution_id : "");
	s->db.run = send_run;
	s->db.done = on_sent;
	b->n_sending++;
	db_write(b->agent->db, &s->db);
}

/* Hints may have been missed: everything is looked at. */
static void look_at_all(struct agent *a)
{
	runner_wake(a->runner);
	events_wake(a, NULL);
	connections_reload(models_connections(a->models), NULL, NULL);
}

static void on_message(void *arg, const char *message)
{
	struct bus *b = arg;
	struct agent *a = b->agent;
	struct str rest = str_of(message ? message : ""), name = str_cut(&rest, ' ');

	b->is_up = true;
	if (!message)
		look_at_all(a);
	else if (str_is(name, names[BUS_QUEUE]))
		runner_wake(a->runner);
	else if (str_is(name, names[BUS_MODELS]))
		connections_reload(models_connections(a->models), NULL, NULL);
	else if (!id_is_valid(rest))
		return;
	else if (str_is(name, names[BUS_CANCEL]))
		runner_cancel(a->runner, rest.p);
	else if (str_is(name, names[BUS_EVENTS]))
		events_wake(a, rest.p);
	else if (str_is(name, names[BUS_FOLLOW]) && runner_tell_events(a->runner, rest.p))
		bus_send(b, BUS_EVENTS, rest.p);
}

bool bus_is_shared(const struct bus *b)
{
	return b->is_shared;
}

bool bus_is_up(const struct bus *b)
{
	return b->is_up;
}

struct bus *bus_new(struct agent *agent)
{
	struct bus *b = xcalloc(1, sizeof(*b));

	b->agent = agent;
	b->listener = db_listen(service_loop(agent->service), agent->db, CHANNEL, on_message, b);
	b->is_shared = b->listener != NULL;
	return b;
}

void bus_stop(struct bus *b)
{
	db_listener_free(b->listener);
	b->listener = NULL;
}

void bus_free(struct bus *b)
{
	free(b);
}
