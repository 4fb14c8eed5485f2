#include "io/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"

struct notify {
	int fd;
	struct sockaddr_un to;
	socklen_t to_size;
	uint64_t watchdog_ms; /* between two signs of life; 0 = nobody waits for them */
	uv_timer_t watchdog;
};

/* A path, or with '@' in front the name of an abstract socket. */
static bool read_address(const char *name, struct notify *n)
{
	size_t size = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(n->to.sun_path))
		return false;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, name, size);
	n->to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	if (name[0] == '@')
		n->to.sun_path[0] = '\0';
	else
		n->to_size++;
	return true;
}

/* Half of what the manager waits, as sd_watchdog_enabled(3) advises; 0 when the watchdog is another process's. */
static uint64_t read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	unsigned long long ms = strtoull(usec, NULL, 10) / 2000;
	return ms ? ms : 1;
}

static void tell(struct notify *n, const char *line)
{
	/* A manager that does not read must not hold us up: what does not fit is lost. */
	sendto(n->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&n->to, n->to_size);
}

static void on_watchdog(uv_timer_t *timer)
{
	tell(container_of(timer, struct notify, watchdog), "WATCHDOG=1");
}

static struct notify *make(uv_loop_t *loop, const char *name)
{
	struct notify *n = xcalloc(1, sizeof(*n));

	if (!read_address(name, n) || (n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0) {
		free(n);
		return NULL;
	}
	n->watchdog_ms = read_watchdog();
	uv_timer_init(loop, &n->watchdog);
	uv_unref((uv_handle_t *)&n->watchdog);
	return n;
}

struct notify *notify_new(uv_loop_t *loop)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct notify *n = name && *name ? make(loop, name) : NULL;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return n;
}

void notify_ready(struct notify *n)
{
	if (!n)
		return;
	tell(n, "READY=1");
	if (n->watchdog_ms)
		uv_timer_start(&n->watchdog, on_watchdog, n->watchdog_ms, n->watchdog_ms);
}

void notify_stopping(struct notify *n)
{
	if (n)
		tell(n, "STOPPING=1");
}

static void on_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct notify, watchdog));
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	close(n->fd);
	uv_close((uv_handle_t *)&n->watchdog, on_closed);
}
