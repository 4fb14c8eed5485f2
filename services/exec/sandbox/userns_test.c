#include "sandbox/layers.h"

#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HANGS_S 60

/* As a container engine's filter does. */
static void refuse_unshare(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f || seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0) < 0 || seccomp_load(f) < 0)
		_exit(100);
	seccomp_release(f);
}

static void a_refused_namespace_is_an_error_and_no_wait(void **state)
{
	struct sandbox_host host = {.is_root = geteuid() == 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(HANGS_S);
		refuse_unshare();
		_exit(-userns_own(&host));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_namespace_is_an_error_and_no_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
