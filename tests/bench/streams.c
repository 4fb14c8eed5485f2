/* The load of `agent.live_*`: a model's server whose answers go on for long, and who follows the runs that hear them,
 *in one process, so that one clock tells how long a piece was under way. Lines on standard input say what to do:
 *
 *	hold                    from now on answers wait behind their first piece
 *	held                    prints how many do
 *	follow SOCKET TOKEN N   follows the N executions whose ids are the next lines; prints "following" once all are
 *open go                      each answer has a piece every PACE ms; prints the pieces that came, the runs that ended
 *well with the whole text, and the p50 and p99 of what a piece needed, in ms, when all streams have ended
 *
 * It prints its port first. Usage: streams PIECES PACE */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 65536
#define KEPT 48 /* bytes that may begin what is looked for */
#define AT_ONCE 32
#define PIECE "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"##%016llx \"},\"finish_reason\":null}]}\n\n"
#define LAST                                                                                                    \
	"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[]," \
	"\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n"
#define SHOWN "\"text\":\"##"

enum kind { NONE, INPUT, LISTENER, MODEL, FOLLOWER };

struct conn {
	enum kind kind;
	unsigned sent;  /* of an answer: its pieces; 0 until it was asked for */
	uint64_t due;   /* of the next piece, in us */
	bool is_open;   /* of a follower: the stream began */
	bool has_ended; /* of a follower: execution.ended was seen */
	bool is_good;
	unsigned in_end; /* pieces in the text of execution.ended */
	size_t n_kept;
	char kept[KEPT];
};

static struct conn conns[CONNS_MAX]; /* by descriptor */
static int epoll, highest;
static unsigned n_pieces, held, followers, n_open, n_closed, n_good;
static uint64_t pace, going; /* us */
static bool is_holding;
static uint32_t *latencies;
static size_t n_latencies;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void watch(int fd, enum kind kind)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= CONNS_MAX)
		die("too many descriptors");
	conns[fd] = (struct conn){.kind = kind};
	highest = fd > highest ? fd : highest;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

static void drop(int fd)
{
	conns[fd].kind = NONE;
	close(fd);
}

/* ---- The model ---- */

static void say(int fd, const char *text, size_t n)
{
	if (write(fd, text, n) != (ssize_t)n)
		drop(fd);
}

static void say_piece(int fd)
{
	char text[200];

	say(fd, text, (size_t)snprintf(text, sizeof(text), PIECE, (unsigned long long)now_us()));
	conns[fd].sent++;
}

static void say_rest(int fd)
{
	while (conns[fd].kind == MODEL && conns[fd].sent < n_pieces)
		say_piece(fd);
	say(fd, LAST, sizeof(LAST) - 1);
	drop(fd);
}

static void on_request(int fd)
{
	static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
	static const char list[] = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 25\r\n"
				   "connection: close\r\n\r\n{\"data\":[{\"id\":\"bench\"}]}";
	static char text[65536];
	ssize_t n = read(fd, text, sizeof(text));

	if (n <= 0) {
		drop(fd);
	} else if (n > 4 && memcmp(text, "GET ", 4) == 0) {
		say(fd, list, sizeof(list) - 1);
		drop(fd);
	} else if (conns[fd].sent == 0 && n > 3 && text[n - 1] == '}') {
		say(fd, head, sizeof(head) - 1);
		say_piece(fd);
		held += is_holding;
		if (!is_holding)
			say_rest(fd);
	}
}

/* What is due; the pieces of all are spread over the pace. */
static void say_what_is_due(void)
{
	uint64_t now = now_us();

	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &conns[fd];
		if (c->kind != MODEL || !c->sent)
			continue;
		if (!c->due)
			c->due = going + pace * ((unsigned)fd * 7919u % 10000) / 10000;
		if (c->due > now)
			continue;
		c->due += pace;
		if (c->sent < n_pieces)
			say_piece(fd);
		else
			say_rest(fd);
	}
}

/* ---- Who follows ---- */

static void note_piece(const char *hex)
{
	uint64_t sent = strtoull(hex, NULL, 16), now = now_us();

	if (going && sent >= going)
		latencies[n_latencies++] = (uint32_t)(now - sent);
}

/* Looks for the three things that count in what has come; returns how much of it was looked at for good. */
static size_t scan(struct conn *c, const char *text, size_t n)
{
	size_t done = n > KEPT ? n - KEPT : 0;

	for (const char *p = text; (p = memmem(p, n - (size_t)(p - text), "##", 2)); p += 2) {
		size_t at = (size_t)(p - text);
		if (n - at < 18)
			return at > 8 ? at - 8 : 0;
		c->in_end += c->has_ended;
		if (!c->has_ended && at >= 8 && memcmp(p - 8, SHOWN, 10) == 0)
			note_piece(p + 2);
		done = at + 18;
	}
	return done;
}

static void look(struct conn *c, const char *text, size_t n)
{
	const char *end = c->has_ended ? NULL : memmem(text, n, "event: execution.ended", 22);
	size_t before = end ? (size_t)(end - text) : n, done = scan(c, text, before);

	if (end) {
		c->has_ended = true;
		done = before + scan(c, end, n - before);
	}
	if (c->has_ended && memmem(text, n, "\"status\":\"succeeded\"", 20))
		c->is_good = true;
	done = done < n - (n < KEPT ? n : KEPT) ? n - KEPT : done;
	c->n_kept = n - done;
	memcpy(c->kept, text + done, c->n_kept);
}

static void on_stream(int fd)
{
	static char text[KEPT + 65536];
	struct conn *c = &conns[fd];
	size_t kept = c->n_kept;

	memcpy(text, c->kept, kept);
	ssize_t n = read(fd, text + kept, sizeof(text) - kept);
	if (n <= 0) {
		n_good += c->is_good && c->in_end == n_pieces;
		n_closed++;
		drop(fd);
		return;
	}
	if (!c->is_open) {
		if (n < 12 || memcmp(text, "HTTP/1.1 200", 12) != 0)
			fprintf(stderr, "refused: %.*s\n", (int)n, text);
		c->is_open = true;
		n_open++;
	}
	look(c, text, kept + (size_t)n);
}

static void follow(const char *path, const char *token, const char *id)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char head[4096];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(head, sizeof(head),
			 "GET /api/executions/%s/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n"
			 "connection: close\r\nauthorization: Bearer %s\r\n\r\n",
			 id, token);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	watch(fd, FOLLOWER);
	say(fd, head, (size_t)n);
}

/* ---- The loop ---- */

/* Returns whether a line has come. */
static bool turn(int ms)
{
	struct epoll_event list[256];
	int n = epoll_wait(epoll, list, 256, ms), fd;
	bool has_line = false;

	for (int i = 0; i < n; i++) {
		struct conn *c = &conns[list[i].data.fd];
		switch (c->kind) {
		case LISTENER:
			while ((fd = accept4(list[i].data.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
				watch(fd, MODEL);
			break;
		case MODEL: on_request(list[i].data.fd); break;
		case FOLLOWER: on_stream(list[i].data.fd); break;
		case INPUT: has_line = true; break;
		case NONE: break;
		}
	}
	return has_line;
}

static int by_size(const void *a, const void *b)
{
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static void follow_all(const char *path, const char *token, unsigned n)
{
	char id[64];

	followers = n;
	for (unsigned i = 0; i < n; i++) {
		if (scanf("%63s", id) != 1)
			die("ids");
		while (i - n_open >= AT_ONCE)
			turn(100);
		follow(path, token, id);
	}
	while (n_open < n)
		turn(100);
	puts("following");
}

static void go(void)
{
	latencies = calloc((size_t)followers * (n_pieces + 1) + 1, sizeof(*latencies));
	going = now_us();
	while (n_closed < followers) {
		turn(10);
		say_what_is_due();
	}
	qsort(latencies, n_latencies, sizeof(*latencies), by_size);
	printf("%zu %u %.3f %.3f\n", n_latencies, n_good, n_latencies ? latencies[n_latencies / 2] / 1e3 : 0,
	       n_latencies ? latencies[n_latencies * 99 / 100] / 1e3 : 0);
}

static void listen_as_model(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		die("listen");
	watch(fd, LISTENER);
	printf("%d\n", ntohs(at.sin_port));
}

static void obey(char *line)
{
	char path[108], token[3000];
	unsigned n;

	if (strncmp(line, "hold", 4) == 0)
		is_holding = true;
	if (strncmp(line, "held", 4) == 0)
		printf("%u\n", held);
	if (strncmp(line, "go", 2) == 0)
		go();
	if (sscanf(line, "follow %107s %2999s %u", path, token, &n) == 3)
		follow_all(path, token, n);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	char line[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc != 3)
		return 2;
	n_pieces = (unsigned)atoi(argv[1]);
	pace = (uint64_t)atoi(argv[2]) * 1000;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	listen_as_model();
	watch(0, INPUT);
	for (;;) {
		if (!turn(1000))
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		obey(line);
	}
}
