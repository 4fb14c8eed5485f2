/* The bare back end of the gateway's benchmark: one thread, one epoll, as little as HTTP allows. The target's last
 * segment says what comes back, when the request's body has been read: sN = N bytes; events = an event stream with the
 * time of sending (CLOCK_MONOTONIC, ns) in each event, every 20 ms. Prints its port. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define PIECE (1 << 20)
#define STREAMS_MAX 64

struct conn {
	int fd;
	char head[HEAD_MAX + 1];
	size_t n;                  /* of the head */
	size_t body_left, to_send; /* of this request and its answer */
	bool in_body, is_sending, is_stream;
};

static int epoll;
static char piece[PIECE], sink[PIECE];
static struct conn *streams[STREAMS_MAX];

static void conn_close(struct conn *c)
{
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (streams[i] == c)
			streams[i] = NULL;
	close(c->fd);
	free(c);
}

static void wait_for(struct conn *c, unsigned events)
{
	epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){.events = events, .data.ptr = c});
}

/* False: the rest waits for room. Frees the connection when the other side has left. */
static bool send_body(struct conn *c, const char *head, size_t n_head)
{
	while (n_head + c->to_send > 0) {
		size_t n = c->to_send < PIECE ? c->to_send : PIECE;
		struct iovec v[2] = {{(void *)head, n_head}, {piece, n}};
		ssize_t r = writev(c->fd, v, 2);

		if (r < 0 && errno != EAGAIN) {
			conn_close(c);
			return true;
		}
		if (r < 0)
			return false;
		if (n_head && (size_t)r < n_head)
			exit(1); /* a head is far smaller than a socket's buffer */
		c->to_send -= (size_t)r - n_head;
		n_head = 0;
	}
	return true;
}

static void answer(struct conn *c)
{
	char head[256], *end = strchr(c->head, '\r'), *slash;
	size_t size;
	int n;

	*end = '\0';
	slash = strrchr(c->head, ' ');
	*slash = '\0';
	slash = strrchr(c->head, '/');
	if (slash && !strcmp(slash, "/events")) {
		n = snprintf(
			head, sizeof(head),
			"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
		c->is_stream = true;
		for (size_t i = 0; i < STREAMS_MAX; i++)
			if (!streams[i]) {
				streams[i] = c;
				break;
			}
		if (write(c->fd, head, (size_t)n) < 0)
			return;
		return;
	}
	size = slash && slash[1] == 's' ? strtoul(slash + 2, NULL, 10) : 100;
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n", size);
	c->to_send = size;
	if (!send_body(c, head, (size_t)n)) {
		c->is_sending = true;
		wait_for(c, EPOLLOUT);
	}
}

/* A whole head has come; what stands behind it is body. */
static void take_head(struct conn *c, const char *end)
{
	const char *length = strcasestr(c->head, "\r\ncontent-length:");
	size_t rest = c->n - (size_t)(end - c->head);

	c->n = 0;
	c->body_left = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
	c->body_left -= rest < c->body_left ? rest : c->body_left;
	c->in_body = c->body_left > 0;
	if (!c->in_body)
		answer(c);
}

static void on_input(struct conn *c)
{
	ssize_t n = c->in_body ? read(c->fd, sink, c->body_left < PIECE ? c->body_left : PIECE)
			       : read(c->fd, c->head + c->n, HEAD_MAX - c->n);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			conn_close(c);
		return;
	}
	if (c->in_body) {
		c->body_left -= (size_t)n;
		if (!c->body_left) {
			c->in_body = false;
			answer(c);
		}
		return;
	}
	c->n += (size_t)n;
	c->head[c->n] = '\0';
	const char *end = strstr(c->head, "\r\n\r\n");
	if (end)
		take_head(c, end + 4);
	else if (c->n == HEAD_MAX)
		conn_close(c);
}

static void on_output(struct conn *c)
{
	if (c->to_send == 0) {
		c->is_sending = false;
		wait_for(c, EPOLLIN);
	} else {
		send_body(c, NULL, 0);
	}
}

static void tick(void)
{
	struct timespec t;
	char data[64], chunk[96];

	clock_gettime(CLOCK_MONOTONIC, &t);
	int n = snprintf(data, sizeof(data), "data: %lld\n\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
	int m = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", n, data);
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (streams[i] && write(streams[i]->fd, chunk, (size_t)m) < 0 && errno != EAGAIN)
			conn_close(streams[i]);
}

static void on_connection(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c->fd = fd;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
	}
}

int main(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n_a = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec every = {.it_interval.tv_nsec = 20000000, .it_value.tv_nsec = 20000000};
	struct epoll_event events[256];

	signal(SIGPIPE, SIG_IGN);
	memset(piece, 'x', sizeof(piece));
	if (bind(listener, (struct sockaddr *)&a, n_a) || listen(listener, 1024) ||
	    getsockname(listener, (struct sockaddr *)&a, &n_a))
		return 1;
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	epoll = epoll_create1(0);
	timerfd_settime(timer, 0, &every, NULL);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &listener});
	epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &timer});
	for (;;) {
		int n = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			uint64_t ticks;

			if (events[i].data.ptr == &listener)
				on_connection(listener);
			else if (events[i].data.ptr == &timer)
				read(timer, &ticks, sizeof(ticks)) > 0 ? tick() : (void)0;
			else if (c->is_sending)
				on_output(c);
			else
				on_input(c);
		}
	}
}
