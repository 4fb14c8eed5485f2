#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/address.h"
#include "io/stream_internal.h"

struct listener {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} u;
	struct wheel *wheel;
	bool is_unix, is_listening;
	listener_on_connection *cb;
	void *arg;
	char address[300];
};

/* Whether others of this process listen on the same port. */
enum sharing { SHARED_NOT, SHARED_FIRST, SHARED_NEXT };

static void on_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct listener, u.handle));
}

/* A connection that cannot be accepted (the peer has left, no descriptors) is the peer's trouble: he sees it closed. */
static void on_connection(uv_stream_t *stream, int status)
{
	struct listener *l = container_of(stream, struct listener, u.stream);
	struct stream *s;

	if (status < 0)
		return;
	s = stream_new(stream->loop, l->wheel, l->is_unix);
	if (uv_accept(stream, stream_handle(s)) < 0) {
		stream_close(s, false);
		return;
	}
	stream_connected(s);
	l->cb(l->arg, s);
}

/* A socket file that nobody listens on is left over from a process that was killed. */
static int remove_stale(const struct address *a)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, r;

	if (lstat(a->host, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	strcpy(un.sun_path, a->host);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (struct sockaddr *)&un, sizeof(un));
	if (r == 0 || errno != ECONNREFUSED)
		r = -EADDRINUSE;
	else
		r = unlink(a->host) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int listen_unix(struct listener *l, const struct address *a, int backlog)
{
	mode_t old;
	int r = remove_stale(a);

	if (r < 0)
		return r;
	old = umask(0177);
	r = uv_pipe_bind(&l->u.pipe, a->host);
	umask(old);
	return r < 0 ? r : uv_listen(&l->u.stream, backlog, on_connection);
}

/* At start, so it may block. */
static int resolve(struct address *a)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;

	if (a->is_numeric)
		return 0;
	if (getaddrinfo(a->host, a->port, &hints, &found) != 0)
		return -EADDRNOTAVAIL;
	memcpy(&a->ip, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

/* SO_REUSEPORT would let a second process of this user take a part of our connections, and us a part of its: so whoever
 * comes first looks whether the address is free. */
static int look_free(const struct address *a)
{
	int on = 1, fd = socket(a->ip.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;
	socklen_t n = a->ip.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&a->ip, n) < 0 || listen(fd, 1) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int share_port(struct listener *l, const struct address *a, enum sharing sharing)
{
	int on = 1, fd, r;

	if (sharing == SHARED_FIRST && (r = look_free(a)) < 0)
		return r;
	if ((r = uv_fileno(&l->u.handle, &fd)) < 0)
		return r;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int listen_tcp(struct listener *l, struct address *a, int backlog, uv_loop_t *loop, enum sharing sharing)
{
	int n = sizeof(a->ip), r = resolve(a);

	uv_tcp_init_ex(loop, &l->u.tcp, r < 0 ? AF_UNSPEC : a->ip.ss_family);
	if (r < 0 || (sharing != SHARED_NOT && (r = share_port(l, a, sharing)) < 0))
		return r;
	if ((r = uv_tcp_bind(&l->u.tcp, (struct sockaddr *)&a->ip, 0)) < 0 ||
	    (r = uv_listen(&l->u.stream, backlog, on_connection)) < 0 ||
	    (r = uv_tcp_getsockname(&l->u.tcp, (struct sockaddr *)&a->ip, &n)) < 0)
		return r;
	address_format(&a->ip, l->address, sizeof(l->address));
	return 0;
}

static int open_listener(uv_loop_t *loop, struct wheel *wheel, const char *address, int backlog, enum sharing sharing,
			 listener_on_connection *cb, void *arg, struct listener **ret)
{
	struct listener *l;
	struct address a;
	int r = address_parse(address, &a);

	if (r < 0)
		return r;
	l = xcalloc(1, sizeof(*l));
	l->wheel = wheel;
	l->is_unix = a.is_unix;
	l->cb = cb;
	l->arg = arg;
	strncpy(l->address, address, sizeof(l->address) - 1);
	if (a.is_unix)
		uv_pipe_init(loop, &l->u.pipe, 0);
	r = a.is_unix ? listen_unix(l, &a, backlog) : listen_tcp(l, &a, backlog, loop, sharing);
	if (r < 0) {
		listener_close(l);
		return r;
	}
	l->is_listening = true;
	*ret = l;
	return 0;
}

int listener_open(uv_loop_t *loop, struct wheel *wheel, const char *address, int backlog, listener_on_connection *cb,
		  void *arg, struct listener **ret)
{
	return open_listener(loop, wheel, address, backlog, SHARED_NOT, cb, arg, ret);
}

int listener_open_shared(uv_loop_t *loop, struct wheel *wheel, const char *address, int backlog, bool is_first,
			 listener_on_connection *cb, void *arg, struct listener **ret)
{
	return open_listener(loop, wheel, address, backlog, is_first ? SHARED_FIRST : SHARED_NEXT, cb, arg, ret);
}

const char *listener_address(const struct listener *l)
{
	return l->address;
}

/* The kernel resets connections that it has completed and nobody has accepted when the listener closes. */
static void take_waiting(struct listener *l)
{
	int listening, fd;

	if (uv_fileno(&l->u.handle, &listening) < 0)
		return;
	while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct stream *s = stream_new(l->u.handle.loop, l->wheel, l->is_unix);
		int r = l->is_unix ? uv_pipe_open((uv_pipe_t *)stream_handle(s), fd)
				   : uv_tcp_open((uv_tcp_t *)stream_handle(s), fd);

		if (r < 0) {
			close(fd);
			stream_close(s, false);
			return;
		}
		stream_connected(s);
		l->cb(l->arg, s);
	}
}

void listener_close(struct listener *l)
{
	if (!l)
		return;
	if (l->is_listening)
		take_waiting(l);
	uv_close(&l->u.handle, on_closed);
}
