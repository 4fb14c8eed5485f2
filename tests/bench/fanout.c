/* The bare fan-out of the socket service's benchmark: one thread, one epoll. Whatever asks for /publish sends WebSocket
 * frames, and each goes to all others; the frames of one turn go to each in one write. No check that a server would
 * need, nothing but the work that nobody can leave out. Prints its port. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS_MAX 65536

struct conn {
	int fd;
	bool is_open, is_publisher;
	unsigned place; /* in subscribers */
	char *rest;     /* what the kernel did not take */
	size_t n_rest;
};

static int epoll;
static struct conn *subscribers[CONNS_MAX];
static unsigned n_subscribers;
static char turn[1 << 20], in[1 << 16];
static size_t n_turn, n_in;

static void conn_close(struct conn *c)
{
	if (c->is_open && !c->is_publisher) {
		subscribers[c->place] = subscribers[--n_subscribers];
		subscribers[c->place]->place = c->place;
	}
	close(c->fd);
	free(c->rest);
	free(c);
}

static void send_rest(struct conn *c)
{
	ssize_t n = write(c->fd, c->rest, c->n_rest);

	if (n <= 0)
		return;
	memmove(c->rest, c->rest + n, c->n_rest - (size_t)n);
	c->n_rest -= (size_t)n;
}

static void watch(struct conn *c, unsigned events, int op)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	epoll_ctl(epoll, op, c->fd, &ev);
}

static void keep(struct conn *c, const char *p, size_t n)
{
	c->rest = realloc(c->rest, c->n_rest + n);
	memcpy(c->rest + c->n_rest, p, n);
	c->n_rest += n;
	watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void fan_out(void)
{
	for (unsigned i = 0; i < n_subscribers && n_turn > 0; i++) {
		struct conn *c = subscribers[i];
		ssize_t n = c->n_rest ? 0 : write(c->fd, turn, n_turn);

		if (n < 0)
			n = 0;
		if ((size_t)n < n_turn)
			keep(c, turn + n, n_turn - (size_t)n);
	}
	n_turn = 0;
}

/* Masked frames of up to 65535 bytes, the mask all zero. */
static void read_frames(void)
{
	size_t at = 0;

	while (n_in - at >= 8) {
		const unsigned char *p = (const unsigned char *)in + at;
		size_t n = p[1] & 127, head = 2, size;

		if (n == 126) {
			n = (size_t)p[2] << 8 | p[3];
			head = 4;
		}
		size = head + 4 + n;
		if (n_in - at < size)
			break;
		memcpy(turn + n_turn, p, head);
		turn[n_turn + 1] &= 127;
		memcpy(turn + n_turn + head, p + head + 4, n);
		n_turn += head + n;
		at += size;
	}
	memmove(in, in + at, n_in - at);
	n_in -= at;
}

static void shake_hands(struct conn *c, const char *head)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				     "Connection: Upgrade\r\n\r\n";

	c->is_open = true;
	c->is_publisher = strncmp(head, "GET /publish", 12) == 0;
	if (!c->is_publisher) {
		c->place = n_subscribers;
		subscribers[n_subscribers++] = c;
	}
	if (write(c->fd, answer, sizeof(answer) - 1) < 0)
		perror("write");
}

static void on_readable(struct conn *c)
{
	char head[4096];
	ssize_t n;

	if (c->is_publisher) {
		n = read(c->fd, in + n_in, sizeof(in) - n_in);
		n_in += n > 0 ? (size_t)n : 0;
		read_frames();
	} else {
		n = read(c->fd, head, sizeof(head) - 1);
		if (n > 0 && !c->is_open)
			shake_hands(c, (head[n] = '\0', head));
	}
	if (n == 0 || (n < 0 && errno != EAGAIN))
		conn_close(c);
}

static void on_connection(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(c, EPOLLIN, EPOLL_CTL_ADD);
	}
}

int main(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event evs[256], ev = {.events = EPOLLIN};

	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 4096) ||
	    getsockname(listener, (struct sockaddr *)&a, &size))
		return 1;
	epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, evs, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (!c) {
				on_connection(listener);
				continue;
			}
			if (evs[i].events & EPOLLOUT) {
				send_rest(c);
				if (c->n_rest == 0)
					watch(c, EPOLLIN, EPOLL_CTL_MOD);
			}
			if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				on_readable(c);
		}
		fan_out();
	}
}
