#include "sandbox/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 300

/* A spawner that ends while the next one's sandbox comes up removes the folders of both. */
static void a_sandbox_comes_up_while_another_spawner_ends(void **state)
{
	struct cgroup_host h;
	struct cgroup c;
	char name[64];
	int status, failed = 0;

	snprintf(name, sizeof(name), "ogent-cgroup-test-%d", getpid());
	cgroup_host_init(&h, name);
	if (cgroup_host_is_empty(&h))
		skip();
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			usleep((useconds_t)(rand() % 300));
			cgroup_host_deinit(&h);
			_exit(0);
		}
		rand();
		usleep((useconds_t)(rand() % 300));
		if (cgroup_open(&h, "one", &(struct cgroup_limits){64 << 20, 16, 50}, &c) == 0)
			cgroup_deinit(&c);
		else
			failed++;
		waitpid(pid, &status, 0);
	}
	cgroup_host_deinit(&h);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sandbox_comes_up_while_another_spawner_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
