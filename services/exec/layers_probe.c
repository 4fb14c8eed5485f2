/* Runs inside the sandbox for layers_test.c: tries one thing and says "yes" if it could. Built without sanitizers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the text is in the file. */
static bool file_has(const char *path, const char *text)
{
	char all[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, all, sizeof(all) - 1);

	all[n > 0 ? n : 0] = 0;
	return strstr(all, text) != NULL;
}

static bool is_other_user(const char *arg)
{
	return getuid() != 1000;
}

static bool sees_process(const char *pid)
{
	return kill(atoi(pid), 0) == 0 || errno == EPERM;
}

static bool reads_file(const char *path)
{
	return file_has(path, "secret");
}

static bool writes_file(const char *path)
{
	int fd = open(path, O_WRONLY);

	return fd >= 0 && write(fd, "x", 1) == 1;
}

static bool connects(const char *port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static bool finds_memory(const char *key)
{
	return shmget(atoi(key), 0, 0) >= 0;
}

static bool knows_host(const char *name)
{
	char own[256] = "";

	gethostname(own, sizeof(own) - 1);
	return strcmp(own, name) == 0;
}

static bool knows_cgroup(const char *name)
{
	return file_has("/proc/self/cgroup", name);
}

static bool could_have_rights(const char *arg)
{
	return prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 1;
}

static bool could_gain_rights(const char *arg)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
}

static bool makes_user_namespace(const char *arg)
{
	return unshare(CLONE_NEWUSER) == 0;
}

static bool uses_keyring(const char *arg)
{
	return syscall(SYS_add_key, "user", "ogent-layers", "x", 1, -1 /* of the thread */) > 0;
}

static bool writes_much(const char *bytes)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	signal(SIGXFSZ, SIG_IGN);
	return fd >= 0 && ftruncate(fd, atol(bytes)) == 0;
}

static bool takes_memory(const char *bytes)
{
	char *p = mmap(NULL, (size_t)atol(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	memset(p, 1, (size_t)atol(bytes));
	return true;
}

static bool has_descriptor(const char *fd)
{
	struct stat st;

	return fstat(atoi(fd), &st) == 0;
}

static bool reads_memory_of_init(const char *arg)
{
	return open("/proc/1/maps", O_RDONLY) >= 0;
}

static const struct {
	const char *name;
	bool (*fn)(const char *arg);
} probes[] = {
	{"is_other_user", is_other_user},
	{"sees_process", sees_process},
	{"reads_file", reads_file},
	{"writes_file", writes_file},
	{"connects", connects},
	{"finds_memory", finds_memory},
	{"knows_host", knows_host},
	{"knows_cgroup", knows_cgroup},
	{"could_have_rights", could_have_rights},
	{"could_gain_rights", could_gain_rights},
	{"makes_user_namespace", makes_user_namespace},
	{"uses_keyring", uses_keyring},
	{"writes_much", writes_much},
	{"takes_memory", takes_memory},
	{"has_descriptor", has_descriptor},
	{"reads_memory_of_init", reads_memory_of_init},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(probes) / sizeof(probes[0]); i++)
		if (strcmp(argv[1], probes[i].name) == 0) {
			puts(probes[i].fn(argv[2]) ? "yes" : "no");
			return 0;
		}
	return 2;
}
