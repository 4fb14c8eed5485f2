#include "io/zone_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

static bool is_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > ZONE_NAME_MAX || !((name[0] | 32) >= 'a' && (name[0] | 32) <= 'z'))
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == n &&
	       !strstr(name, "//") && name[n - 1] != '/' && strncmp(name, "right/", 6) != 0;
}

static int read_file(const char *name, struct buf *out)
{
	const char *dir = getenv("TZDIR");
	char path[PATH_MAX];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir && *dir ? dir : "/usr/share/zoneinfo", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -1;
	do {
		buf_reserve(out, 4096);
		n = read(fd, out->p + out->n, 4096);
		out->n += n > 0 ? (size_t)n : 0;
	} while (n > 0 && out->n <= ZONE_FILE_MAX);
	close(fd);
	return n == 0 ? 0 : -1;
}

struct zone *zone_load(const char *name, struct error *err)
{
	_cleanup_(buf_deinit) struct buf file = BUF_INIT;

	if (strcmp(name, "UTC") == 0)
		return zone_utc();
	if (is_name(name) && read_file(name, &file) == 0)
		return zone_parse(buf_str(&file), err);
	error_set(err, "zone_unknown",
		  "There is no time zone \"%.64s\" here: use a name such as Europe/Berlin or UTC%s.", name,
		  access("/usr/share/zoneinfo", F_OK) == 0 ? "" : ", and install tzdata");
	return NULL;
}
