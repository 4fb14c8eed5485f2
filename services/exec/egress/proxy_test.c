/* The proxy as the process that it is, an echo server as the host, and clients with blocking sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "egress/proxy.h"

static uint16_t host_port, proxy_port;
static pid_t host_pid, proxy_pid;
static char log_path[] = "/tmp/ogent-egress-test-XXXXXX";

static int listen_somewhere(uint16_t *ret_port, int flags)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* Sends back what comes until the client has finished. */
static NORETURN void echo(int listen_fd)
{
	char data[4096];
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);

		if (fork() == 0) {
			while ((n = read(fd, data, sizeof(data))) > 0)
				if (write(fd, data, (size_t)n) != n)
					break;
			_exit(0);
		}
		close(fd);
	}
}

static int set_up(void **state)
{
	static struct egress_config config;
	int host = listen_somewhere(&host_port, 0);
	char rules[200];

	config.listen_fd = listen_somewhere(&proxy_port, SOCK_NONBLOCK);
	config.log_fd = mkostemp(log_path, O_CLOEXEC | O_APPEND);
	snprintf(rules, sizeof(rules), "localhost:%u, 127.0.0.1:%u, 127.0.0.1:1, 127.0.0.2:%u, nowhere.invalid:80",
		 host_port, host_port, host_port);
	assert_int_equal(egress_rules_parse(&config.allowed, rules, "rules", NULL), 0);
	assert_int_equal(networks_parse(&config.inner, "127.0.0.1, ::1", "inner", NULL), 0);
	host_pid = fork();
	if (host_pid == 0)
		echo(host);
	proxy_pid = fork();
	if (proxy_pid == 0)
		egress_main(&config);
	close(host);
	close(config.listen_fd);
	close(config.log_fd);
	return 0;
}

static int tear_down(void **state)
{
	kill(proxy_pid, SIGKILL);
	kill(host_pid, SIGKILL);
	waitpid(proxy_pid, NULL, 0);
	waitpid(host_pid, NULL, 0);
	unlink(log_path);
	return 0;
}

static int dial(void)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(proxy_port)};
	struct timeval limit = {.tv_sec = 30};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Sends, finishes, and reads all there is. */
static void ask(const char *text, char *ret, size_t size)
{
	int fd = dial();
	size_t n = 0;
	ssize_t got;

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	shutdown(fd, SHUT_WR);
	while (n < size - 1 && (got = read(fd, ret + n, size - 1 - n)) > 0)
		n += (size_t)got;
	ret[n] = '\0';
	close(fd);
}

static void expect(const char *target, const char *answer)
{
	char head[400], got[4096];

	snprintf(head, sizeof(head), "CONNECT %s HTTP/1.1\r\n\r\nhello", target);
	ask(head, got, sizeof(got));
	if (!strstr(got, answer))
		fail_msg("%s: %s", target, got);
}

static void a_tunnel_passes_bytes_and_ends_of_both_ways(void **state)
{
	char target[64];

	snprintf(target, sizeof(target), "LocalHost.:%u", host_port);
	expect(target, "200 Connection established\r\n\r\nhello");
	snprintf(target, sizeof(target), "127.0.0.1:%u", host_port);
	expect(target, "200 Connection established\r\n\r\nhello");
}

static void a_plain_request_is_the_hosts_own(void **state)
{
	char head[400], got[4096], wanted[400];

	snprintf(head, sizeof(head), "GET http://localhost:%u/a HTTP/1.1\r\nProxy-Connection: x\r\n\r\n", host_port);
	snprintf(wanted, sizeof(wanted), "GET /a HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n",
		 host_port);
	ask(head, got, sizeof(got));
	assert_string_equal(got, wanted);
}

static void what_is_not_allowed_is_refused_with_its_reason(void **state)
{
	char target[64];

	expect("example.org:443", "X-Ogent-Network: host");
	expect("localhost:80", "X-Ogent-Network: host");
	expect("nowhere.invalid:80", "502 Bad Gateway");
	expect("127.0.0.1:1", "X-Ogent-Network: connect");
	snprintf(target, sizeof(target), "127.0.0.2:%u", host_port); /* allowed by name, and not by its address */
	expect(target, "X-Ogent-Network: address");
	snprintf(target, sizeof(target), "2130706433:%u", host_port);
	expect(target, "X-Ogent-Network: name");
}

static void each_connection_stands_in_the_log(void **state)
{
	char log[8192];
	int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	for (int i = 0; i < 500; i++) { /* the last one is written when its connection is gone */
		n = pread(fd, log, sizeof(log) - 1, 0);
		log[MAX(n, 0)] = '\0';
		if (strstr(log, "\"host\":\"127.0.0.2\"") && strstr(log, "\"reason\":\"name\""))
			break;
		usleep(20000);
	}
	close(fd);
	assert_non_null(strstr(
		log,
		"\"host\":\"example.org\",\"port\":443,\"address\":\"\",\"verdict\":\"denied\",\"reason\":\"host\""));
	assert_non_null(strstr(log, "\"verdict\":\"allowed\",\"reason\":\"\",\"sent\":5,\"received\":5"));
	assert_non_null(strstr(log, "\"reason\":\"address\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tunnel_passes_bytes_and_ends_of_both_ways),
		cmocka_unit_test(a_plain_request_is_the_hosts_own),
		cmocka_unit_test(what_is_not_allowed_is_refused_with_its_reason),
		cmocka_unit_test(each_connection_stands_in_the_log),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
