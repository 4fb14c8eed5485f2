/* Of each layer of the sandbox: something that cannot be done with it, and can be done without it. Where two layers
 * stand in the way of the same thing, the other one is left out both times, so that it is this one that holds. The
 * sandbox's files are built a second time for this test, so that a layer can be left out (sandbox/layers.h, HAS). */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/layers.h"

#define ARG(text) ((char *)(uintptr_t)(text))
#define BIT(layer) (1u << (layer))
#define NOBODY 65534
#define TEST_UID 1900000500
#define HOST_FD 77

uint32_t sandbox_without;

static bool as_user;
static struct sandbox_host host;
static char dir[] = "/var/tmp/ogent-layers.XXXXXX", workspace[64], secret[64], open_file[64], probe_path[PATH_MAX],
	    cgroup_name[32];
static uid_t uid = TEST_UID;

/* What the host has that nobody inside should reach. */
static char pid_text[16], port_text[16], key_text[16], host_name[256];
static int listener = -1, memory = -1;

static void write_text(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_places(void)
{
	char command[2 * PATH_MAX];

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(workspace, sizeof(workspace), "%s/w", dir);
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	snprintf(open_file, sizeof(open_file), "%s/open", dir);
	assert_int_equal(mkdir(workspace, 0755), 0);
	snprintf(command, sizeof(command), "cp '%s' '%s/probe'", probe_path, workspace);
	assert_int_equal(system(command), 0);
	write_text(secret, "secret", 0644);
	write_text(open_file, "", 0666);
	if (geteuid() == 0)
		assert_int_equal(chown(workspace, TEST_UID, TEST_UID), 0);
}

static void make_targets(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);
	int key = 0x6f670000 | (getpid() & 0xffff);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	memory = shmget(key, 4096, IPC_CREAT | 0666);
	snprintf(pid_text, sizeof(pid_text), "%d", getpid());
	snprintf(port_text, sizeof(port_text), "%d", ntohs(a.sin_port));
	snprintf(key_text, sizeof(key_text), "%d", key);
	gethostname(host_name, sizeof(host_name) - 1);
}

static int set_up(void **state)
{
	int fd;

	if (as_user && geteuid() == 0) {
		assert_int_equal(setgroups(0, NULL), 0);
		assert_int_equal(setresgid(NOBODY, NOBODY, NOBODY), 0);
		assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
		assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	}
	make_places();
	make_targets();
	snprintf(cgroup_name, sizeof(cgroup_name), "layers-%d", getpid());
	sandbox_host_probe(&host, dir);
	assert_true(host.report.level >= SANDBOX_STANDARD);
	fd = open(secret, O_RDONLY);
	assert_int_equal(dup2(fd, HOST_FD), HOST_FD); /* without O_CLOEXEC */
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	sandbox_host_deinit(&host);
	shmctl(memory, IPC_RMID, NULL);
	close(listener);
	return system(command);
}

/* ---- One sandbox ---- */

static void await(struct sandbox *s, enum init_event event)
{
	struct init_message m = {0};

	while (m.event != event) {
		struct pollfd p = {.fd = s->control, .events = POLLIN};
		int r;

		assert_true(poll(&p, 1, 60000) > 0);
		r = sandbox_receive(&host, s, &m);
		if (r == -EAGAIN)
			continue;
		if (r <= 0 || m.event == INIT_FAILED)
			fail_msg("the sandbox did not come up: %s: %s", m.what, strerror(m.err));
	}
}

static void read_answer(int fd, char *answer, size_t size)
{
	ssize_t n = read(fd, answer, size - 1);

	answer[n > 0 ? n : 0] = 0;
	close(fd);
}

/* Whether the probe could do it. One that is killed over it could not. */
static bool can(uint32_t without, const char *probe, const char *arg)
{
	const struct sandbox_frame frame = {
		.name = cgroup_name, .memory_max = 48 << 20, .tmp_max = 16 << 20, .pids_max = 32};
	char *const argv[] = {ARG(without & BIT(LAYER_ROOT) ? "./probe" : "/workspace/probe"), ARG(probe), ARG(arg),
			      NULL};
	char *const envp[] = {NULL};
	struct sandbox_spec spec = {.uid = uid,
				    .workspace = workspace,
				    .cwd = without & BIT(LAYER_ROOT) ? workspace : "/workspace",
				    .argv = argv,
				    .envp = envp,
				    .memory_max = 48 << 20,
				    .tmp_max = 16 << 20,
				    .file_size_max = 1 << 20,
				    .pids_max = 32,
				    .stdio = {open("/dev/null", O_RDWR | O_CLOEXEC), -1, -1}};
	struct sandbox s = SANDBOX_INIT;
	struct error err;
	char answer[16];
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec.stdio[1] = spec.stdio[2] = out[1];
	sandbox_without = without;
	if (sandbox_open(&host, &frame, &s, &err) < 0)
		fail_msg("%s", err.message);
	await(&s, INIT_READY);
	if (sandbox_go(&host, &s, &spec, &err) < 0)
		fail_msg("%s", err.message);
	close(out[1]);
	close(spec.stdio[0]);
	await(&s, INIT_EXITED);
	sandbox_deinit(&host, &s);
	sandbox_without = 0;
	read_answer(out[0], answer, sizeof(answer));
	return strcmp(answer, "yes\n") == 0;
}

/* `other`: layers that stand in the way of the same. */
static void expect_held_by(enum sandbox_layer layer, uint32_t other, const char *probe, const char *arg)
{
	if (can(other, probe, arg))
		fail_msg("with %s: %s %s", sandbox_layer_name(layer), probe, arg);
	if (!can(other | BIT(layer), probe, arg))
		fail_msg("something else than %s holds %s", sandbox_layer_name(layer), probe);
}

/* ---- The layers ---- */

static void a_user_namespace_has_one_user(void **state)
{
	expect_held_by(LAYER_USERNS, 0, "is_other_user", "");
}

static void a_pid_namespace_hides_processes(void **state)
{
	/* An ordinary user may mount a /proc only of a namespace of his own, which the root has. */
	expect_held_by(LAYER_PIDNS, as_user ? BIT(LAYER_ROOT) : 0, "sees_process", pid_text);
}

static void the_root_hides_files(void **state)
{
	expect_held_by(LAYER_ROOT, 0, "reads_file", secret);
}

static void a_net_namespace_cuts_off_the_host(void **state)
{
	expect_held_by(LAYER_NETNS, 0, "connects", port_text);
}

static void an_ipc_namespace_hides_shared_memory(void **state)
{
	expect_held_by(LAYER_IPCNS, 0, "finds_memory", key_text);
}

static void a_uts_namespace_hides_the_hosts_name(void **state)
{
	expect_held_by(LAYER_UTSNS, 0, "knows_host", host_name);
}

static void a_cgroup_namespace_hides_the_groups_path(void **state)
{
	if (!host.cgroupns || (!host.cgroup.leaf[0] && !cgroup_host_limits(&host.cgroup))) {
		print_message("# not here: no cgroup of ours\n");
		return;
	}
	expect_held_by(LAYER_CGROUPNS, 0, "knows_cgroup", cgroup_name);
}

static void capabilities_cannot_come_back(void **state)
{
	expect_held_by(LAYER_CAPABILITIES, 0, "could_have_rights", "");
}

/* Without it an ordinary process may load neither Landlock nor seccomp. */
static void no_new_privs_keeps_programs_from_giving_rights(void **state)
{
	expect_held_by(LAYER_NO_NEW_PRIVS, BIT(LAYER_LANDLOCK) | BIT(LAYER_SECCOMP), "could_gain_rights", "");
}

static void seccomp_refuses_calls(void **state)
{
	expect_held_by(LAYER_SECCOMP, 0, "makes_user_namespace", "");
	expect_held_by(LAYER_SECCOMP, 0, "uses_keyring", "");
}

static void landlock_refuses_files_that_the_root_shows(void **state)
{
	if (host.landlock_abi == 0) {
		print_message("# not here: no Landlock\n");
		return;
	}
	expect_held_by(LAYER_LANDLOCK, BIT(LAYER_ROOT), "writes_file", open_file);
}

static void rlimits_hold_the_size_of_files(void **state)
{
	expect_held_by(LAYER_RLIMITS, 0, "writes_much", "2000000");
}

static void a_cgroup_holds_memory(void **state)
{
	if (!cgroup_host_version(&host.cgroup, CGROUP_MEMORY)) {
		print_message("# not here: no cgroup limits memory\n");
		return;
	}
	expect_held_by(LAYER_CGROUP, 0, "takes_memory", "150000000");
}

static void descriptors_are_closed(void **state)
{
	char text[8];

	snprintf(text, sizeof(text), "%d", HOST_FD);
	assert_false(can(0, "has_descriptor", text));
	assert_true(can(BIT(WITHOUT_CLOSED_DESCRIPTORS), "has_descriptor", text));
}

/* As root the change of the user does the same. */
static void the_first_process_cannot_be_looked_into(void **state)
{
	assert_false(can(BIT(LAYER_LANDLOCK), "reads_memory_of_init", ""));
	if (as_user)
		assert_true(can(BIT(LAYER_LANDLOCK) | BIT(WITHOUT_UNDUMPABLE), "reads_memory_of_init", ""));
}

/* Behind the root, which shows no other workspace at all. */
static void a_user_id_of_ones_own_keeps_workspaces_apart(void **state)
{
	const uint32_t without = BIT(LAYER_ROOT) | BIT(LAYER_LANDLOCK);
	char other[80];

	if (geteuid() != 0) {
		print_message("# not here: only root gives user ids\n");
		return;
	}
	snprintf(other, sizeof(other), "%s/other", dir);
	write_text(other, "secret", 0600);
	assert_int_equal(chown(other, TEST_UID + 1, TEST_UID + 1), 0);
	assert_false(can(without, "reads_file", other));
	uid = TEST_UID + 1;
	assert_true(can(without, "reads_file", other));
	uid = TEST_UID;
}

static unsigned count_mounts(pid_t pid, const char *below)
{
	char path[64], line[4096];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, below) != NULL;
	fclose(f);
	return n;
}

/* Of a command that left nobody behind, whose first process lives on for a while: placeholders that were mount points
 * still would be unmounted one by one, which took a third of a short command's time. */
static void a_workspace_is_unmounted_before_its_placeholders_go(void **state)
{
	const struct sandbox_frame frame = {
		.name = cgroup_name, .memory_max = 48 << 20, .tmp_max = 16 << 20, .pids_max = 32, .keeps_net = true};
	char *const argv[] = {ARG("/bin/true"), NULL}, *const envp[] = {NULL};
	char all[80], own[96], held[112];
	struct sandbox_spec spec = {.uid = uid,
				    .workspace = own,
				    .cwd = "/workspace",
				    .argv = argv,
				    .envp = envp,
				    .memory_max = 48 << 20,
				    .tmp_max = 16 << 20,
				    .pids_max = 32,
				    .protects = true};
	struct sandbox s = SANDBOX_INIT;
	struct error err;

	snprintf(all, sizeof(all), "%s/all", dir);
	snprintf(own, sizeof(own), "%s/own", all);
	snprintf(held, sizeof(held), "%s/.bashrc", own);
	assert_int_equal(mkdir(all, 0755), 0);
	assert_int_equal(mkdir(own, 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(own, uid, uid), 0);
	for (int i = 0; i < 3; i++)
		spec.stdio[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(sandbox_open(&host, &frame, &s, &err), 0);
	await(&s, INIT_READY);
	assert_int_equal(sandbox_go(&host, &s, &spec, &err), 0);
	await(&s, INIT_EXITED);
	assert_true(count_mounts(s.init, " /workspace/.bashrc ") == 1);
	assert_int_equal(access(held, F_OK), 0);
	sandbox_tidy(&host, &s);
	assert_int_equal(count_mounts(s.init, " /workspace"), 0);
	assert_true(count_mounts(s.init, " /tmp ") == 1);
	assert_int_equal(access(held, F_OK), -1);
	sandbox_deinit(&host, &s);
	for (int i = 0; i < 3; i++)
		close(spec.stdio[i]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_namespace_has_one_user),
		cmocka_unit_test(a_pid_namespace_hides_processes),
		cmocka_unit_test(the_root_hides_files),
		cmocka_unit_test(a_net_namespace_cuts_off_the_host),
		cmocka_unit_test(an_ipc_namespace_hides_shared_memory),
		cmocka_unit_test(a_uts_namespace_hides_the_hosts_name),
		cmocka_unit_test(a_cgroup_namespace_hides_the_groups_path),
		cmocka_unit_test(capabilities_cannot_come_back),
		cmocka_unit_test(no_new_privs_keeps_programs_from_giving_rights),
		cmocka_unit_test(seccomp_refuses_calls),
		cmocka_unit_test(landlock_refuses_files_that_the_root_shows),
		cmocka_unit_test(rlimits_hold_the_size_of_files),
		cmocka_unit_test(a_cgroup_holds_memory),
		cmocka_unit_test(descriptors_are_closed),
		cmocka_unit_test(the_first_process_cannot_be_looked_into),
		cmocka_unit_test(a_user_id_of_ones_own_keeps_workspaces_apart),
		cmocka_unit_test(a_workspace_is_unmounted_before_its_placeholders_go),
	};

	assert(readlink("/proc/self/exe", probe_path, sizeof(probe_path) - 20) > 0);
	strcpy(strrchr(probe_path, '/'), "/test-exec-layers-probe");
	as_user = argc > 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
