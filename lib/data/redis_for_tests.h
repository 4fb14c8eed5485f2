/* A Redis server of a test's own, to kill and start while others work. */
#pragma once

#include <sys/types.h>

#include "base/util.h"

struct test_redis {
	char dir[64], url[120];
	int port; /* 0: only a Unix socket */
	pid_t pid;
};

/* Starts one in a folder of its own, on a Unix socket, or on a free port with is_tcp; args: more of its options, NULL
 * at the end, or NULL. False: there is no Redis on this machine. */
bool test_redis_start(struct test_redis *t, bool is_tcp, const char *const *args);
/* Again at the same address, empty. */
void test_redis_again(struct test_redis *t, const char *const *args);
/* SIGKILL and the like; waits for its end, unless it is SIGSTOP or SIGCONT. */
void test_redis_signal(struct test_redis *t, int signal);
/* Ends it and removes the folder. */
void test_redis_remove(struct test_redis *t);
