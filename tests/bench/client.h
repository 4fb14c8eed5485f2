/* Blocking clients of the benchmarks' loads: one connection each, one request after the other. A client in Node would
 * be what is measured. */
#pragma once

#include <arpa/inet.h>
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

static const char *place, *token; /* a socket's path, or a port of this machine */
static atomic_int left;           /* requests that nobody has begun */

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
	struct sockaddr_un there = {.sun_family = AF_UNIX};
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool is_path = place[0] == '/';
	struct client *c = calloc(1, sizeof(*c));

	snprintf(there.sun_path, sizeof(there.sun_path), "%s", place);
	here.sin_port = htons((uint16_t)atoi(place));
	c->fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, is_path ? (struct sockaddr *)&there : (struct sockaddr *)&here,
				 is_path ? sizeof(there) : sizeof(here)) < 0)
		die("connect", place);
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

/* `width` threads that do work(). Seconds. */
static double run_all(int width, void *(*work)(void *))
{
	pthread_t threads[width];
	double from = now();

	for (int i = 0; i < width; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < width; i++)
		pthread_join(threads[i], NULL);
	return now() - from;
}
