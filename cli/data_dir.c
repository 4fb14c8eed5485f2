#include "data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"

static const char *const folders[] = {"db", "run", "secrets", "keys", "log"};

/* Sockets of the roles lie in <data>/run/, and the kernel takes no longer paths than this. */
#define LONGEST_SOCKET "/run/gateway.sock"

static int make(const char *path, struct error *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	int saved = errno;
	error_set(err, "data_dir", "the folder %s cannot be made: %s", path, strerror(saved));
	return -saved;
}

/* With its parents. */
static int make_all(const char *path, struct error *err)
{
	char *copy = xstrdup(path);
	int r = 0;

	for (char *slash = strchr(copy + 1, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (access(copy, F_OK) < 0)
			r = make(copy, err);
		*slash = '/';
	}
	if (r == 0)
		r = make(copy, err);
	free(copy);
	return r;
}

/* root may write everywhere, but what it leaves in an account's folder that account's service cannot open again. */
static int check_owner(const char *data, struct error *err)
{
	struct stat st;

	if (stat(data, &st) < 0 || geteuid() != 0 || st.st_uid == 0)
		return 0;
	struct passwd *owner = getpwuid(st.st_uid);
	error_set(err, "data_dir",
		  "the data folder %s belongs to the account %s: run this as that account, or choose another folder "
		  "with --data",
		  data, owner ? owner->pw_name : "of another user");
	return -EPERM;
}

int data_dir_prepare(const char *data, struct error *err)
{
	size_t most = sizeof((struct sockaddr_un *)0)->sun_path - sizeof(LONGEST_SOCKET);

	if (strlen(data) > most) {
		error_set(err, "data_dir",
			  "the path of the data folder is longer than %zu bytes, too long for its sockets: "
			  "choose a shorter one",
			  most);
		return -ENAMETOOLONG;
	}
	int r = make_all(data, err);
	if (r == 0)
		r = check_owner(data, err);
	for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++) {
		char *path = xasprintf("%s/%s", data, folders[i]);
		r = make(path, err);
		free(path);
	}
	if (r == 0 && access(data, W_OK | X_OK) < 0) {
		r = -errno;
		error_set(err, "data_dir", "the data folder %s cannot be written: %s", data, strerror(-r));
	}
	return r;
}

int data_dir_lock(const char *data, struct error *err)
{
	char *path = xasprintf("%s/run/up.lock", data), pid[32] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int saved = errno;
		if (fd >= 0 && read(fd, pid, sizeof(pid) - 1) > 0 && saved == EWOULDBLOCK) {
			pid[strcspn(pid, "\n")] = '\0';
			error_set(err, "data_dir_busy",
				  "Ogent runs already on %s, as process %s: stop it with `kill %s`, or "
				  "choose another folder with --data",
				  data, pid, pid);
			saved = EBUSY;
		} else {
			error_set(err, "data_dir", "%s cannot be locked: %s", path, strerror(saved));
		}
		if (fd >= 0)
			close(fd);
		free(path);
		return -saved;
	}
	free(path);
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
		int saved = errno;
		error_set(err, "data_dir", "the data folder %s cannot be written: %s", data, strerror(saved));
		close(fd);
		return -saved;
	}
	return fd;
}

int data_dir_write(const char *data, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", data, name), *temporary = xasprintf("%s.new", path);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;
	size_t n = strlen(text);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n || rename(temporary, path) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(path);
	free(temporary);
	return r;
}
