/* One connection to a target: addresses, TCP, keys, the target's report, then the runs on its channels. libssh reads
 * and writes the socket when libuv says that it can; what it calls back only notes what came. Nothing is freed while
 * libssh is on the stack: link_turn is the only place from which it is called, apart from ssh_link_close. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "ssh.h"

#define CONNECT_MS 15000
#define TICK_MS FRAME_ALIVE_MS
#define SILENT_TICKS 3 /* after a tick's keep-alive went unanswered this often, the connection is dead */
#define IDLE_MS 60000  /* then a connection beside another one goes */
#define READS 64       /* of 4 KiB each, in one turn */

static void link_turn(struct ssh_link *l);
static void connect_next(struct ssh_link *l);

static const struct ssh_api *api(const struct ssh_link *l)
{
	return l->target->api;
}

static struct service *service_of(const struct ssh_link *l)
{
	return l->target->target.exec->service;
}

/* ---- The end ---- */

static void link_free(struct ssh_link *l)
{
	struct ssh_target *t = l->target;

	if (l->has_poll || l->is_resolving)
		return;
	list_remove(&l->link);
	free(l);
	ssh_target_unref(t);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct ssh_link *l = handle->data;

	l->has_poll = false;
	link_free(l);
}

/* libssh closes the socket that it has. Its channels go with the session. */
static void drop_session(struct ssh_link *l)
{
	if (l->event) {
		api(l)->event_remove_session(l->event, l->session);
		api(l)->event_free(l->event);
	}
	if (l->session)
		api(l)->free(l->session);
	else if (l->fd >= 0)
		close(l->fd);
	if (l->key)
		api(l)->key_free(l->key);
	l->event = NULL;
	l->session = NULL;
	l->key = NULL;
	l->fd = -1;
}

void ssh_link_close(struct ssh_link *l)
{
	if (l->state == LINK_CLOSING)
		return;
	l->state = LINK_CLOSING;
	ssh_run_drop_probe(l);
	deadline_clear(&l->deadline);
	later_clear(&l->wake);
	if (l->has_poll) {
		uv_poll_stop(&l->poll);
		uv_close((uv_handle_t *)&l->poll, on_poll_closed);
	}
	if (l->is_resolving)
		uv_cancel((uv_req_t *)&l->resolve);
	drop_session(l);
	if (l->addresses)
		uv_freeaddrinfo(l->addresses);
	l->addresses = NULL;
	if (!l->has_poll && !l->is_resolving)
		later_set(service_wheel(service_of(l)), &l->wake); /* freed from there */
}

void ssh_link_fail(struct ssh_link *l, bool is_refused, const char *fmt, ...)
{
	va_list ap;

	if (l->state == LINK_CLOSING || l->reason[0])
		return;
	va_start(ap, fmt);
	vsnprintf(l->reason, sizeof(l->reason), fmt, ap);
	va_end(ap);
	l->is_refused = is_refused;
	if (!l->is_busy)
		link_turn(l);
}

/* Failed: the runs first, because the session takes their channels along. */
static void bury(struct ssh_link *l)
{
	ssh_run_lose_all(l, l->reason);
	ssh_link_close(l);
	ssh_target_lost(l->target, l);
}

/* ---- The socket ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct ssh_link *l = poll->data;
	int err = 0;
	socklen_t n = sizeof(err);

	if (l->state == LINK_CONNECTING) {
		getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &err, &n);
		l->tcp_err = err;
		if (err)
			connect_next(l);
		else
			l->state = LINK_GREETING;
	}
	link_turn(l);
}

static void poll_for(struct ssh_link *l, int events)
{
	if (l->polled != events)
		uv_poll_start(&l->poll, events, on_poll);
	l->polled = events;
}

static void on_poll_gone(uv_handle_t *handle)
{
	struct ssh_link *l = handle->data;

	l->has_poll = false;
	if (l->state == LINK_CLOSING)
		link_free(l);
	else
		connect_next(l);
}

/* The next address, once the handle of the one before is closed. */
static void connect_next(struct ssh_link *l)
{
	struct addrinfo *ai = l->next;

	if (l->has_poll) {
		if (!uv_is_closing((uv_handle_t *)&l->poll))
			uv_close((uv_handle_t *)&l->poll, on_poll_gone);
		close(l->fd);
		l->fd = -1;
		return;
	}
	if (!ai) {
		ssh_link_fail(l, false, "The host %.200s cannot be reached: %s.", l->target->address.host,
			      strerror(l->tcp_err));
		return;
	}
	l->next = ai->ai_next;
	l->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || (connect(l->fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS)) {
		l->tcp_err = errno;
		if (l->fd >= 0)
			close(l->fd);
		l->fd = -1;
		connect_next(l);
		return;
	}
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (uv_poll_init(service_loop(service_of(l)), &l->poll, l->fd) < 0)
		fatal("cannot watch a connection");
	l->poll.data = l;
	l->has_poll = true;
	l->polled = 0;
	l->state = LINK_CONNECTING;
	poll_for(l, UV_WRITABLE);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct ssh_link *l = req->data;

	l->is_resolving = false;
	if (l->state == LINK_CLOSING) {
		uv_freeaddrinfo(res);
		link_free(l);
		return;
	}
	if (status < 0) {
		ssh_link_fail(l, false, "The host %.200s cannot be found: %s.", l->target->address.host,
			      uv_strerror(status));
		return;
	}
	l->addresses = l->next = res;
	connect_next(l);
}

/* ---- Who is there, and who we are ---- */

static bool set_options(struct ssh_link *l)
{
	const struct ssh_target *t = l->target;
	const struct {
		enum ssh_options_e option;
		const void *value;
	} options[] = {
		{SSH_OPTIONS_HOST, t->address.host},
		{SSH_OPTIONS_PORT_STR, t->address.port},
		{SSH_OPTIONS_USER, t->user},
		{SSH_OPTIONS_KNOWNHOSTS, t->known_hosts},
		{SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null"},
		{SSH_OPTIONS_PROCESS_CONFIG, &(bool){false}},
		{SSH_OPTIONS_FD, &l->fd},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (api(l)->options_set(l->session, options[i].option, options[i].value) < 0)
			return false;
	return true;
}

static void greet(struct ssh_link *l)
{
	int r;

	if (!l->session) {
		l->session = api(l)->new ();
		if (!l->session || !set_options(l)) {
			ssh_link_fail(l, true, "libssh refuses the options of the target.");
			return;
		}
		api(l)->set_blocking(l->session, 0);
		api(l)->set_counters(l->session, &l->traffic, NULL);
	}
	r = api(l)->connect(l->session);
	if (r == SSH_OK)
		l->state = LINK_PROVING;
	else if (r != SSH_AGAIN)
		ssh_link_fail(l, false, "The host does not agree on a connection: %.250s.",
			      api(l)->get_error(l->session));
}

static void fingerprint(struct ssh_link *l, char *ret, size_t size)
{
	unsigned char *hash = NULL;
	ssh_key key = NULL;
	size_t n = 0;
	char *text;

	snprintf(ret, size, "not readable");
	if (api(l)->get_server_publickey(l->session, &key) != SSH_OK)
		return;
	if (api(l)->get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n) == 0) {
		text = api(l)->get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);
		snprintf(ret, size, "%s", text ? text : "not readable");
		api(l)->string_free_char(text);
		api(l)->clean_pubkey_hash(&hash);
	}
	api(l)->key_free(key);
}

/* Only a key that is in the file will do. Returns whether it is. */
static bool check_host(struct ssh_link *l)
{
	enum ssh_known_hosts_e known = api(l)->session_is_known_server(l->session);
	char key[80];

	if (known == SSH_KNOWN_HOSTS_OK)
		return true;
	fingerprint(l, key, sizeof(key));
	if (known == SSH_KNOWN_HOSTS_CHANGED || known == SSH_KNOWN_HOSTS_OTHER)
		ssh_link_fail(
			l, true,
			"The host key has changed: it is %s now. Somebody may stand in between. If the host was set "
			"up anew, replace its line in the file of known hosts (option exec_ssh_known_hosts).",
			key);
	else if (known == SSH_KNOWN_HOSTS_UNKNOWN || known == SSH_KNOWN_HOSTS_NOT_FOUND)
		ssh_link_fail(
			l, true,
			"The host key is unknown: it is %s. Compare it with the host's own, then add it to the file of "
			"known hosts (option exec_ssh_known_hosts).",
			key);
	else
		ssh_link_fail(l, true, "The file of known hosts (option exec_ssh_known_hosts) cannot be read.");
	return false;
}

static bool load_key(struct ssh_link *l)
{
	int r = access(l->target->identity, R_OK) < 0
			? SSH_EOF
			: api(l)->pki_import_privkey_file(l->target->identity, "", NULL, NULL, &l->key);

	if (r == SSH_EOF)
		ssh_link_fail(l, true, "The private key (option exec_ssh_identity) cannot be read: %s.",
			      strerror(errno));
	else if (r != SSH_OK)
		ssh_link_fail(
			l, true,
			"The private key (option exec_ssh_identity) is none, or has a passphrase: use one without.");
	return r == SSH_OK;
}

/* With the key and nothing else: no password, no agent, no questions. */
static void prove(struct ssh_link *l)
{
	if (!l->key && (!check_host(l) || !load_key(l)))
		return;
	switch (api(l)->userauth_publickey(l->session, NULL, l->key)) {
	case SSH_AUTH_AGAIN: return;
	case SSH_AUTH_SUCCESS: break;
	case SSH_AUTH_DENIED:
	case SSH_AUTH_PARTIAL:
		ssh_link_fail(l, true,
			      "The host does not accept the key for the account %.60s: put the public key into its "
			      "authorized_keys.",
			      l->target->user);
		return;
	default:
		ssh_link_fail(l, false, "The connection ended at the sign-in: %.250s.", api(l)->get_error(l->session));
		return;
	}
	l->event = api(l)->event_new();
	if (!l->event || api(l)->event_add_session(l->event, l->session) != SSH_OK) {
		ssh_link_fail(l, false, "libssh has no memory.");
		return;
	}
	l->state = LINK_PROBING;
	ssh_run_probe(l);
}

void ssh_link_report(struct ssh_link *l, const struct target_report *report)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	const struct ssh_target *t = l->target;
	const char *why = report_refusal(&report->sandbox, t->target.exec->wanted, "the target", a);

	l->target->report = *report;
	if (why) {
		ssh_link_fail(l, true, "%.390s", why);
		return;
	}
	l->state = LINK_READY;
	l->idle_us = clock_mono_us();
	deadline_set(service_wheel(service_of(l)), &l->deadline, TICK_MS);
	ssh_target_ready(l->target);
}

/* ---- Turns ---- */

/* As long as bytes come, up to a limit: the loop has others to serve. */
static void exchange_bytes(struct ssh_link *l)
{
	for (int i = 0; i < READS && !l->reason[0]; i++) {
		uint64_t before = l->traffic.in_bytes;
		int r = api(l)->event_dopoll(l->event, 0);

		if (r == SSH_ERROR || !api(l)->is_connected(l->session))
			ssh_link_fail(l, false, "The connection ended: %.250s.", api(l)->get_error(l->session));
		if (l->traffic.in_bytes == before)
			return;
	}
}

static void poll_again(struct ssh_link *l)
{
	int wanted = api(l)->get_poll_flags(l->session);

	poll_for(l, UV_READABLE | (wanted & SSH_WRITE_PENDING ? UV_WRITABLE : 0));
}

/* Whatever woke the link: goes on with what it waits for. */
static void link_turn(struct ssh_link *l)
{
	if (l->is_busy || l->state == LINK_CLOSING)
		return;
	l->is_busy = true;
	if (l->state == LINK_GREETING && !l->reason[0])
		greet(l);
	if (l->state == LINK_PROVING && !l->reason[0])
		prove(l);
	if (l->state >= LINK_PROBING && !l->reason[0]) {
		exchange_bytes(l);
		ssh_run_step_all(l);
	}
	l->is_busy = false;
	if (l->reason[0])
		bury(l);
	else if (l->state >= LINK_GREETING)
		poll_again(l);
}

static void on_wake(struct later *later)
{
	struct ssh_link *l = container_of(later, struct ssh_link, wake);

	if (l->state == LINK_CLOSING)
		link_free(l);
	else
		link_turn(l);
}

void ssh_link_wake(struct ssh_link *l)
{
	if (l->state != LINK_CLOSING)
		later_set(service_wheel(service_of(l)), &l->wake);
}

void ssh_link_ask(struct ssh_link *l)
{
	api(l)->send_keepalive(l->session);
	ssh_link_wake(l);
}

/* Whether the other side still lives. */
static void keep_alive(struct ssh_link *l)
{
	l->silent_ticks = l->traffic.in_bytes == l->heard ? l->silent_ticks + 1 : 0;
	l->heard = l->traffic.in_bytes;
	if (l->silent_ticks >= SILENT_TICKS) {
		ssh_link_fail(l, false, "The host does not answer any more.");
		return;
	}
	ssh_run_tick_all(l);
	ssh_link_ask(l);
	deadline_set(service_wheel(service_of(l)), &l->deadline, TICK_MS);
}

static bool has_company(const struct ssh_link *l)
{
	struct ssh_link *other;

	list_foreach (other, &l->target->links, struct ssh_link, link)
		if (other != l && other->state == LINK_READY)
			return true;
	return false;
}

static void on_deadline(struct deadline *d)
{
	struct ssh_link *l = container_of(d, struct ssh_link, deadline);

	if (l->state != LINK_READY)
		ssh_link_fail(l, false, "The host does not answer.");
	else if (l->n_runs == 0 && clock_mono_us() - l->idle_us > IDLE_MS * 1000ull && has_company(l))
		ssh_link_close(l);
	else
		keep_alive(l);
}

void ssh_link_new(struct ssh_target *t)
{
	struct ssh_link *l = xcalloc(1, sizeof(*l));
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

	l->target = t;
	t->refs++;
	l->fd = -1;
	list_init(&l->runs);
	list_append(&t->links, &l->link);
	deadline_init(&l->deadline, on_deadline);
	later_init(&l->wake, on_wake);
	deadline_set(service_wheel(service_of(l)), &l->deadline, CONNECT_MS);
	l->resolve.data = l;
	l->is_resolving = true;
	if (uv_getaddrinfo(service_loop(service_of(l)), &l->resolve, on_resolved, t->address.host, t->address.port,
			   &hints) < 0)
		fatal("cannot look up a host");
}
