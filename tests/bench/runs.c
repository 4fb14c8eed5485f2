/* The load of `agent.runs_per_second`: WIDTH clients, each with one connection, begin runs one after the other in
 * conversations of their own. Usage: runs SOCKET TOKEN AGENT N WIDTH follow|leave. Prints runs per second: until the
 * streams of all have ended, or, when they are left, until none works any more. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct client {
	int fd;
	size_t n;
	char text[1 << 18]; /* one answer */
};

static const char *path, *token, *agent;
static bool follows;
static atomic_int left;

static void die(const char *what, const char *text)
{
	fprintf(stderr, "%s: %.400s\n", what, text);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct client *client_new(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct client *c = calloc(1, sizeof(*c));

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect", path);
	return c;
}

static bool is_whole(const struct client *c)
{
	const char *body = memmem(c->text, c->n, "\r\n\r\n", 4), *length;

	if (!body)
		return false;
	length = strcasestr(c->text, "content-length:");
	if (length && length < body)
		return c->n >= (size_t)(body + 4 - c->text) + (size_t)atoi(length + 15);
	return c->n > 7 && memcmp(c->text + c->n - 7, "\r\n0\r\n\r\n", 7) == 0;
}

static void ask(struct client *c, const char *method, const char *where, const char *accept, const char *body)
{
	char head[8192];
	int n = snprintf(head, sizeof(head),
			 "%s %s HTTP/1.1\r\nhost: x\r\naccept: %s\r\nauthorization: Bearer %s\r\ncontent-type: "
			 "application/json\r\ncontent-length: %zu\r\n\r\n%s",
			 method, where, accept, token, strlen(body), body);

	if (write(c->fd, head, (size_t)n) != n)
		die("write", where);
	c->n = 0;
	do {
		ssize_t r = read(c->fd, c->text + c->n, sizeof(c->text) - 1 - c->n);
		if (r <= 0)
			die("the connection ended", where);
		c->n += (size_t)r;
		c->text[c->n] = '\0';
	} while (!is_whole(c));
	if (strncmp(c->text, "HTTP/1.1 2", 10) != 0)
		die(where, c->text);
}

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
	if (argc != 7)
		return 2;
	path = argv[1], token = argv[2], agent = argv[3];
	int n = atoi(argv[4]), width = atoi(argv[5]);
	pthread_t threads[width];
	follows = strcmp(argv[6], "follow") == 0;
	left = n;
	double from = now();
	for (int i = 0; i < width; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < width; i++)
		pthread_join(threads[i], NULL);
	if (!follows)
		wait_for_all();
	printf("%.1f\n", n / (now() - from));
	return 0;
}
