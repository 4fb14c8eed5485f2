/* The load of the socket service's benchmark: subscribers and one publisher over plain TCP. It knows no protocol: what
 * they say comes in files. A "## <time>" mark of 18 bytes in what the publisher sends is found again in what the
 * subscribers get.
 *
 *	subscribers PORT N HELLO READY                               connect N, each says HELLO and waits for READY,
 *then "ready"; ends when its input ends subscribers PORT N HELLO READY PUBLISHER-HELLO READY MESSAGE COUNT WINDOW then
 *publishes, at most WINDOW not yet delivered to all; prints deliveries, seconds, p50 and p99 in ms
 *
 * HELLO may hold several parts, divided by a line "----": each is sent when the part before was answered by READY's
 *line of the same number. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PARTS_MAX 8
#define MARK '#'
#define MARK_SIZE 18 /* "##" and 16 hex digits */
#define AT_ONCE 64   /* connections being made */

struct hello {
	char *parts[PARTS_MAX], *ready[PARTS_MAX];
	size_t n[PARTS_MAX];
	unsigned n_parts;
};

struct conn {
	int fd;
	unsigned part; /* which was sent last */
	bool is_ready;
	unsigned n_mark; /* bytes of a mark that came */
	char mark[MARK_SIZE];
	char tail[64]; /* the last bytes while it gets ready */
	size_t n_tail;
};

static int epoll, port;
static struct hello hello, publisher_hello;
static struct conn *conns, publisher;
static unsigned n_conns, n_opened, n_ready;
static uint64_t deliveries;
static uint32_t *latencies; /* us, a sample of them */
static size_t n_latencies;
#define LATENCIES_MAX (1 << 20)

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static char *read_file(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "r");
	char *p = calloc(1, 1 << 20);

	if (!f)
		die(path);
	*ret_n = fread(p, 1, (1 << 20) - 1, f);
	fclose(f);
	return p;
}

static void read_hello(struct hello *h, const char *path, const char *ready_path)
{
	static const char divider[] = "\n----\n";
	size_t n, n_ready_text;
	char *p = read_file(path, &n), *end = p + n, *next, *r = read_file(ready_path, &n_ready_text);

	for (;;) {
		next = memmem(p, (size_t)(end - p), divider, sizeof(divider) - 1);
		h->parts[h->n_parts] = p;
		h->n[h->n_parts] = (size_t)((next ? next : end) - p);
		h->ready[h->n_parts] = strsep(&r, "\n");
		h->n_parts++;
		if (!next || h->n_parts == PARTS_MAX)
			return;
		p = next + sizeof(divider) - 1;
	}
}

static void say(struct conn *c, const struct hello *h)
{
	if (write(c->fd, h->parts[c->part], h->n[c->part]) != (ssize_t)h->n[c->part])
		die("write");
}

static void open_conn(struct conn *c, const struct hello *h)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev);
	say(c, h);
}

static void open_more(void)
{
	while (n_opened < n_conns && n_opened - n_ready < AT_ONCE)
		open_conn(&conns[n_opened++], &hello);
}

/* Looks for the READY of this part at the end of what came. */
static void get_ready(struct conn *c, const struct hello *h, const char *p, size_t n)
{
	char text[65536 + 64];
	size_t all = c->n_tail + n;

	memcpy(text, c->tail, c->n_tail);
	memcpy(text + c->n_tail, p, n);
	if (!memmem(text, all, h->ready[c->part], strlen(h->ready[c->part]))) {
		c->n_tail = all < sizeof(c->tail) ? all : sizeof(c->tail);
		memcpy(c->tail, text + all - c->n_tail, c->n_tail);
		return;
	}
	c->n_tail = 0;
	if (++c->part < h->n_parts) {
		say(c, h);
		return;
	}
	c->is_ready = true;
	if (c != &publisher)
		n_ready++;
	open_more();
}

static void on_mark(struct conn *c, uint64_t now)
{
	uint64_t sent;
	char digits[17] = {0};

	memcpy(digits, c->mark + 2, 16);
	sent = strtoull(digits, NULL, 16);
	if (deliveries++ % 7 == 0 && n_latencies < LATENCIES_MAX)
		latencies[n_latencies++] = (uint32_t)((now - sent) / 1000);
}

static void find_marks(struct conn *c, const char *p, size_t n, uint64_t now)
{
	const char *end = p + n;

	while (p < end) {
		if (c->n_mark == 0) {
			p = memchr(p, MARK, (size_t)(end - p));
			if (!p)
				return;
		} else if (c->n_mark == 1 && *p != MARK) {
			c->n_mark = 0;
			continue;
		}
		while (p < end && c->n_mark < MARK_SIZE)
			c->mark[c->n_mark++] = *p++;
		if (c->n_mark == MARK_SIZE && c->mark[1] == MARK) {
			on_mark(c, now);
			c->n_mark = 0;
		} else if (c->n_mark == MARK_SIZE) {
			c->n_mark = 0;
		}
	}
}

static void on_readable(struct conn *c, uint64_t now)
{
	char in[65536];
	ssize_t n = read(c->fd, in, sizeof(in));

	if (n <= 0) {
		fprintf(stderr, "the server closed a connection: %.*s\n", (int)c->n_tail, c->tail);
		exit(1);
	}
	if (!c->is_ready)
		get_ready(c, c == &publisher ? &publisher_hello : &hello, in, (size_t)n);
	else if (c != &publisher)
		find_marks(c, in, (size_t)n, now);
}

static void turn(void)
{
	struct epoll_event evs[512];
	int n = epoll_wait(epoll, evs, 512, 20000);
	uint64_t now = now_ns();

	if (n == 0) {
		fprintf(stderr, "nothing came for 20 s: %u of %u ready, %llu deliveries\n", n_ready, n_conns,
			(unsigned long long)deliveries);
		exit(1);
	}
	for (int i = 0; i < n; i++)
		on_readable(evs[i].data.ptr, now);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void publish(char *message, size_t n, unsigned count, unsigned window)
{
	char *at = memmem(message, n, "################", 16), digits[17];
	uint64_t start = now_ns(), sent = 0;

	if (!at)
		die("no mark in the message");
	while (deliveries < (uint64_t)count * n_conns) {
		while (sent < count && sent < deliveries / n_conns + window) {
			snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)now_ns());
			memcpy(at + 2, digits, 16);
			if (write(publisher.fd, message, n) != (ssize_t)n)
				die("publish");
			sent++;
		}
		turn();
	}
	qsort(latencies, n_latencies, sizeof(*latencies), by_value);
	printf("%llu %f %f %f\n", (unsigned long long)deliveries, (double)(now_ns() - start) / 1e9,
	       latencies[n_latencies / 2] / 1e3, latencies[n_latencies * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	size_t n_message;
	char *message, byte;

	if (argc != 5 && argc != 10)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll = epoll_create1(0);
	port = atoi(argv[1]);
	n_conns = (unsigned)atoi(argv[2]);
	conns = calloc(n_conns, sizeof(*conns));
	latencies = malloc(LATENCIES_MAX * sizeof(*latencies));
	read_hello(&hello, argv[3], argv[4]);
	open_more();
	while (n_ready < n_conns)
		turn();
	if (argc == 10) {
		read_hello(&publisher_hello, argv[5], argv[6]);
		message = read_file(argv[7], &n_message);
		open_conn(&publisher, &publisher_hello);
		while (!publisher.is_ready)
			turn();
		printf("ready\n");
		fflush(stdout);
		if (read(0, &byte, 1) < 0)
			return 1;
		publish(message, n_message, (unsigned)atoi(argv[8]), (unsigned)atoi(argv[9]));
		return 0;
	}
	printf("ready\n");
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}
