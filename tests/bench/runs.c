/* The load of `agent.runs_per_second`: WIDTH clients, each with one connection, begin runs one after the other in
 * conversations of their own. Usage: runs SOCKET TOKEN AGENT N WIDTH follow|leave. Prints runs per second: until the
 * streams of all have ended, or, when they are left, until none works any more. */
#include "client.h"

static const char *agent;
static bool follows;

static void id_of(const struct client *c, char ret[37])
{
	const char *id = strstr(c->text, "{\"id\":\"");

	if (!id)
		die("no id", c->text);
	snprintf(ret, 37, "%s", id + 7);
}

static void *work(void *arg)
{
	struct client *c = client_new();
	char id[37], where[200], body[200];

	while (atomic_fetch_sub(&left, 1) > 0) {
		snprintf(body, sizeof(body), "{\"agent_id\":\"%s\"}", agent);
		ask(c, "POST", "/api/conversations", "*/*", body);
		id_of(c, id);
		snprintf(where, sizeof(where), "/api/conversations/%s/messages", id);
		ask(c, "POST", where, "*/*", "{\"content\":\"hello\"}");
		id_of(c, id);
		if (!follows)
			continue;
		snprintf(where, sizeof(where), "/api/executions/%s/events", id);
		ask(c, "GET", where, "text/event-stream", "");
		if (!strstr(c->text, "\"status\":\"succeeded\""))
			die("a run did not end well", c->text);
	}
	return NULL;
}

static void wait_for_all(void)
{
	static const char *const lists[] = {"/api/executions?limit=1&status=queued",
					    "/api/executions?limit=1&status=running"};
	struct client *c = client_new();
	int quiet = 0;

	while (quiet < 2) {
		ask(c, "GET", lists[quiet], "*/*", "");
		if (strstr(c->text, "\"items\":[]"))
			quiet++;
		else
			quiet = 0, usleep(5000);
	}
}

int main(int argc, char **argv)
{
	double from = now();

	if (argc != 7)
		return 2;
	place = argv[1], token = argv[2], agent = argv[3];
	int n = atoi(argv[4]);
	follows = strcmp(argv[6], "follow") == 0;
	left = n;
	run_all(atoi(argv[5]), work);
	if (!follows)
		wait_for_all();
	printf("%.1f\n", n / (now() - from));
	return 0;
}
