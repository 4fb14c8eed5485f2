#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/networks.h"
#include "io/out_queue.h"
#include "io/stream_internal.h"

#define DIRECT_WRITE (16 * 1024) /* what is at least this long goes to the kernel at once, without a copy */
#define MAX_PIECES 64            /* in one system call */
#define FLUSH_MS 5000
#define LINGER_MS 2000
#define READ_SIZE (64 * 1024)
#define JOINED 4096    /* several pieces that are together no longer than this are copied into one */
#define KEEP_WRITES 64 /* requests to libuv that nobody has */

/* What the stream does besides reading and writing. */
enum stream_state {
	STREAM_OPEN,
	STREAM_FLUSHING,  /* stream_close was called: waits for the queue to be written */
	STREAM_LINGERING, /* our side has ended: waits for the peer's end */
	STREAM_CLOSING,   /* waits for libuv's close callback */
};

struct stream {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} u;
	struct wheel *wheel;
	const struct stream_events *events;
	void *owner;
	enum stream_state state;
	bool is_unix, is_reading, has_peer;
	bool is_writing;    /* a uv_write is under way with what was queued before */
	bool is_above;      /* said so to the owner: he waits for on_drain */
	bool want_shutdown; /* once everything is written */
	bool has_ended;     /* the peer's end or an error was seen */
	bool has_told_end;  /* on_end came */
	bool is_broken;     /* nothing can be written any more */
	int fd;             /* the socket, once it is connected; else -1 */
	int end_err;        /* for an on_end that is put off */
	size_t high_water;
	struct out_queue *out;    /* what is to be written; NULL: nothing */
	struct later turn;        /* flush, and the on_end that is put off */
	struct deadline deadline; /* of holding, while it is open; then of flushing and lingering */
	struct in6_addr peer;
};

static void flush(struct stream *s);
static void linger(struct stream *s);

/* What the kernel did not take at once. */
struct rest {
	uv_write_t req;
	struct stream *stream;
	struct out_queue *queue;
	struct rest *next; /* of those that nobody has */
};

static _Thread_local struct rest *unused_rests;
static _Thread_local unsigned n_unused_rests;

static struct rest *rest_take(void)
{
	struct rest *r = unused_rests;

	if (!r)
		return xmalloc(sizeof(*r));
	unused_rests = r->next;
	n_unused_rests--;
	return r;
}

static void rest_give(struct rest *r)
{
	if (n_unused_rests >= KEEP_WRITES) {
		free(r);
		return;
	}
	r->next = unused_rests;
	unused_rests = r;
	n_unused_rests++;
}

static struct out_queue *queue(struct stream *s)
{
	if (!s->out)
		s->out = out_queue_take();
	return s->out;
}

static void drop_queue(struct stream *s)
{
	struct out_queue *q = s->out;

	s->out = NULL;
	out_queue_give(q);
}

static void on_closed(uv_handle_t *handle)
{
	struct stream *s = container_of(handle, struct stream, u.handle);

	if (s->events && s->events->on_close)
		s->events->on_close(s->owner);
	drop_queue(s);
	free(s);
}

static void close_now(struct stream *s)
{
	s->state = STREAM_CLOSING;
	s->fd = -1;
	later_clear(&s->turn);
	deadline_clear(&s->deadline);
	drop_queue(s);
	uv_close(&s->u.handle, on_closed);
}

/* Nothing more can be written or is coming. The owner hears of it at the turn's end, never from inside a call. */
static void fail(struct stream *s, int err)
{
	s->is_broken = true;
	s->has_ended = true;
	s->end_err = err;
	drop_queue(s);
	uv_read_stop(&s->u.stream);
	s->is_reading = false;
	later_set(s->wheel, &s->turn);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	free(req); /* a peer that is gone shows by reading */
}

static int end_our_side(struct stream *s)
{
	uv_shutdown_t *req = xmalloc(sizeof(*req));
	int r = uv_shutdown(req, &s->u.stream, on_shutdown);

	if (r < 0)
		free(req);
	return r;
}

/* Everything is written: what was waiting for that happens. */
static void on_all_written(struct stream *s)
{
	if (s->state == STREAM_FLUSHING) {
		linger(s);
	} else if (s->want_shutdown) {
		s->want_shutdown = false;
		end_our_side(s);
	}
}

static void tell_drained(struct stream *s)
{
	if (!s->is_above || s->state != STREAM_OPEN || s->is_broken || stream_queued(s) > s->high_water / 4)
		return;
	s->is_above = false;
	if (s->events->on_drain)
		s->events->on_drain(s->owner);
}

static void on_written(uv_write_t *req, int status)
{
	struct rest *rest = container_of(req, struct rest, req);
	struct stream *s = rest->stream;

	s->is_writing = false;
	out_queue_give(rest->queue);
	rest_give(rest);
	if (s->state == STREAM_CLOSING)
		return;
	if (status < 0) {
		if (!s->is_broken)
			fail(s, status);
		return;
	}
	flush(s);
	tell_drained(s);
}

/* Gives the kernel what it does not take now; another queue collects meanwhile. */
static void write_rest(struct stream *s)
{
	struct out_queue *q = s->out;
	unsigned n = q->end - q->first;
	uv_buf_t few[MAX_PIECES], *bufs = n <= MAX_PIECES ? few : xmalloc(n * sizeof(*bufs));
	struct rest *rest = rest_take();
	int r;

	n = out_queue_front(q, bufs, n);
	rest->stream = s;
	rest->queue = q;
	r = uv_write(&rest->req, &s->u.stream, bufs, n, on_written);
	if (bufs != few)
		free(bufs);
	if (r < 0) {
		rest_give(rest);
		fail(s, r);
		return;
	}
	s->is_writing = true;
	s->out = NULL;
}

_Static_assert(offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
		       offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
	       "libuv's buffers are those of the kernel");

/* What uv_try_write does, by the socket's own call: that is a shorter way through libuv and the kernel than write's,
 * and every answer takes it. Returns the number of bytes or an error. */
static int send_now(const struct stream *s, uv_buf_t *bufs, unsigned n)
{
	struct msghdr message = {.msg_iov = (struct iovec *)bufs, .msg_iovlen = n};
	ssize_t r;

	do
		r = n == 1 ? send(s->fd, bufs->base, bufs->len, MSG_NOSIGNAL | MSG_DONTWAIT)
			   : sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r >= 0)
		return (int)r;
	return errno == EWOULDBLOCK || errno == ENOBUFS ? UV_EAGAIN : -errno;
}

/* Offers the kernel as much as it takes now. */
static int try_write(struct stream *s, uv_buf_t *bufs, unsigned n)
{
	return s->fd < 0 ? uv_try_write(&s->u.stream, bufs, n) : send_now(s, bufs, n);
}

/* Offers the kernel the front of the queue. One short copy costs less than a list of pieces does. */
static int offer(struct stream *s, const struct out_queue *q, size_t *ret_offered)
{
	uv_buf_t bufs[MAX_PIECES];
	unsigned n = out_queue_front(q, bufs, MAX_PIECES);
	char joined[JOINED];
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		if (n > 1 && q->total <= JOINED)
			memcpy(joined + at, bufs[i].base, bufs[i].len);
		at += bufs[i].len;
	}
	*ret_offered = at;
	if (n > 1 && q->total <= JOINED) {
		bufs[0] = uv_buf_init(joined, (unsigned)at);
		n = 1;
	}
	return try_write(s, bufs, n);
}

static void flush(struct stream *s)
{
	struct out_queue *q = s->out;
	size_t offered;

	if (s->is_writing || s->is_broken)
		return;
	if (s->state == STREAM_OPEN)
		deadline_clear(&s->deadline);
	while (q && q->total > 0) {
		int r = offer(s, q, &offered);

		if (r < 0 && r != UV_EAGAIN) {
			fail(s, r);
			return;
		}
		if (r > 0)
			out_queue_consume(q, (size_t)r);
		if (r < 0 || (size_t)r < offered) {
			write_rest(s);
			return;
		}
	}
	drop_queue(s);
	on_all_written(s);
}

static void on_turn(struct later *l)
{
	struct stream *s = container_of(l, struct stream, turn);

	if (s->state == STREAM_CLOSING)
		return;
	flush(s);
	if (s->is_broken && s->state != STREAM_OPEN) {
		close_now(s);
	} else if (s->is_broken && !s->has_told_end) {
		s->has_told_end = true;
		s->events->on_end(s->owner, s->end_err);
	} else {
		tell_drained(s);
	}
}

static bool after_write(struct stream *s)
{
	if (s->out && !s->is_writing)
		later_set(s->wheel, &s->turn);
	if (stream_queued(s) > s->high_water)
		s->is_above = true;
	return !s->is_above;
}

/* A long write on an empty queue: offered to the kernel from where it lies. Returns how much it took. */
static size_t write_direct(struct stream *s, const struct str *parts, unsigned n)
{
	uv_buf_t bufs[8];
	int r;

	for (unsigned i = 0; i < n; i++)
		bufs[i] = uv_buf_init((char *)parts[i].p, (unsigned)parts[i].n);
	r = try_write(s, bufs, n);
	if (r < 0 && r != UV_EAGAIN)
		fail(s, r);
	return r > 0 ? (size_t)r : 0;
}

bool stream_writev(struct stream *s, const struct str *parts, unsigned n)
{
	size_t total = 0, taken = 0;

	if (s->is_broken || s->state != STREAM_OPEN || s->want_shutdown)
		return true;
	for (unsigned i = 0; i < n; i++)
		total += parts[i].n;
	if (total >= DIRECT_WRITE && n <= 8 && !s->is_writing) {
		flush(s);
		if (!s->is_writing && !s->is_broken)
			taken = write_direct(s, parts, n);
		if (s->is_broken)
			return true;
		total -= taken;
	}
	for (unsigned i = 0; i < n && total > 0; i++) {
		size_t skip = MIN(taken, parts[i].n);

		out_queue_add(queue(s), parts[i].p + skip, parts[i].n - skip);
		taken -= skip;
	}
	return after_write(s);
}

bool stream_write(struct stream *s, const void *data, size_t n)
{
	return stream_writev(s, &(struct str){data, n}, 1);
}

bool stream_write_shared(struct stream *s, const void *data, size_t n, void (*release)(void *arg), void *arg)
{
	if (s->is_broken || s->state != STREAM_OPEN || s->want_shutdown || n == 0) {
		if (release)
			release(arg);
		return true;
	}
	out_queue_add_shared(queue(s), data, n, release, arg);
	return after_write(s);
}

void stream_set_high_water(struct stream *s, size_t bytes)
{
	s->high_water = bytes;
}

size_t stream_queued(const struct stream *s)
{
	return (s->out ? s->out->total : 0) + (s->is_writing ? uv_stream_get_write_queue_size(&s->u.stream) : 0);
}

void stream_shutdown(struct stream *s)
{
	if (s->state != STREAM_OPEN || s->is_broken)
		return;
	s->want_shutdown = true;
	later_set(s->wheel, &s->turn);
}

/* One buffer for all reads of a thread: nobody keeps what he is given beyond on_data. */
static _Thread_local char *read_buffer;

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	if (!read_buffer)
		read_buffer = xmalloc(READ_SIZE);
	*ret = uv_buf_init(read_buffer, READ_SIZE);
}

void stream_thread_end(void)
{
	free(read_buffer);
	read_buffer = NULL;
	while (unused_rests) {
		struct rest *r = unused_rests;

		unused_rests = r->next;
		free(r);
	}
	n_unused_rests = 0;
	out_queue_thread_end();
}

static void on_end(struct stream *s, ssize_t n)
{
	s->has_ended = true;
	s->is_reading = false;
	uv_read_stop(&s->u.stream);
	if (s->state != STREAM_OPEN) {
		if (n != UV_EOF || s->state == STREAM_LINGERING)
			close_now(s);
		return;
	}
	if (n != UV_EOF) {
		s->is_broken = true;
		drop_queue(s);
	}
	if (s->has_told_end)
		return;
	s->has_told_end = true;
	s->events->on_end(s->owner, n == UV_EOF ? 0 : (int)n);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct stream *s = container_of(stream, struct stream, u.stream);

	if (n < 0)
		on_end(s, n);
	else if (n > 0 && s->state == STREAM_OPEN)
		s->events->on_data(s->owner, buf->base, (size_t)n);
}

static void start_reading(struct stream *s)
{
	if (s->is_reading || s->has_ended)
		return;
	s->is_reading = true;
	int r = uv_read_start(&s->u.stream, on_alloc, on_read);
	if (r < 0)
		fail(s, r);
}

void stream_resume(struct stream *s)
{
	if (s->state == STREAM_OPEN)
		start_reading(s);
}

void stream_pause(struct stream *s)
{
	if (s->state != STREAM_OPEN || !s->is_reading)
		return;
	s->is_reading = false;
	uv_read_stop(&s->u.stream);
}

void stream_set_owner(struct stream *s, const struct stream_events *events, void *owner)
{
	s->events = events;
	s->owner = owner;
}

static void on_deadline(struct deadline *d)
{
	struct stream *s = container_of(d, struct stream, deadline);

	if (s->state == STREAM_OPEN)
		on_turn(&s->turn);
	else
		close_now(s);
}

void stream_hold(struct stream *s, uint64_t ms)
{
	if (s->state != STREAM_OPEN || s->is_broken || s->is_writing || s->is_above || s->want_shutdown || !s->out)
		return;
	later_clear(&s->turn);
	deadline_set(s->wheel, &s->deadline, ms);
}

/* The peer reads our end and closes; what he still sends meanwhile is dropped. */
static void linger(struct stream *s)
{
	s->state = STREAM_LINGERING;
	if (s->has_ended || end_our_side(s) < 0) {
		close_now(s);
		return;
	}
	deadline_set(s->wheel, &s->deadline, LINGER_MS);
	start_reading(s);
}

void stream_close(struct stream *s, bool do_flush)
{
	if (s->state == STREAM_CLOSING)
		return;
	if (!do_flush || s->is_broken) {
		close_now(s);
		return;
	}
	if (s->state != STREAM_OPEN)
		return;
	s->state = STREAM_FLUSHING;
	deadline_set(s->wheel, &s->deadline, FLUSH_MS);
	later_set(s->wheel, &s->turn);
}

void stream_abort(struct stream *s)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	int fd;

	if (s->state == STREAM_CLOSING)
		return;
	if (!s->is_unix && uv_fileno(&s->u.handle, &fd) == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close_now(s);
}

bool stream_peer_is_gone(struct stream *s)
{
	struct pollfd p = {0};

	if (s->is_broken || uv_fileno(&s->u.handle, &p.fd) < 0)
		return true;
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

bool stream_is_quiet(const struct stream *s)
{
	char byte;
	int fd;

	if (s->has_ended || uv_fileno(&s->u.handle, &fd) < 0)
		return false;
	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

const struct in6_addr *stream_peer(const struct stream *s)
{
	return s->has_peer ? &s->peer : NULL;
}

void stream_set_peer(struct stream *s, const struct in6_addr *peer)
{
	s->peer = *peer;
	s->has_peer = true;
}

struct stream *stream_new(uv_loop_t *loop, struct wheel *wheel, bool is_unix)
{
	static _Atomic bool is_pipe_ignored;
	struct stream *s = xcalloc(1, sizeof(*s));

	/* libuv writes without MSG_NOSIGNAL; a peer that is gone must be an error, not the end of the process. */
	if (!atomic_load_explicit(&is_pipe_ignored, memory_order_relaxed)) {
		signal(SIGPIPE, SIG_IGN);
		atomic_store(&is_pipe_ignored, true);
	}

	s->wheel = wheel;
	s->is_unix = is_unix;
	s->fd = -1;
	s->high_water = STREAM_HIGH_WATER;
	later_init(&s->turn, on_turn);
	deadline_init(&s->deadline, on_deadline);
	if (is_unix)
		uv_pipe_init(loop, &s->u.pipe, 0);
	else
		uv_tcp_init(loop, &s->u.tcp);
	return s;
}

uv_stream_t *stream_handle(struct stream *s)
{
	return &s->u.stream;
}

void stream_connected(struct stream *s)
{
	struct sockaddr_storage ip = {0};
	int n = sizeof(ip);

	uv_fileno(&s->u.handle, &s->fd);
	if (s->is_unix)
		return;
	uv_tcp_nodelay(&s->u.tcp, 1);
	s->has_peer = true;
	if (uv_tcp_getpeername(&s->u.tcp, (struct sockaddr *)&ip, &n) == 0)
		ip_of((struct sockaddr *)&ip, &s->peer);
}

struct stream *stream_from_fd(uv_loop_t *loop, struct wheel *wheel, int fd)
{
	struct stream *s = stream_new(loop, wheel, true);

	if (uv_pipe_open(&s->u.pipe, fd) < 0) {
		close_now(s);
		return NULL;
	}
	stream_connected(s);
	return s;
}
