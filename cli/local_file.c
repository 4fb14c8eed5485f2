#include "local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#define FILE_MAX_BYTES (512ll << 20)

int local_file_read(const char *path, struct buf *ret)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		fprintf(stderr, "ogent: %s: %s\n", path, fd < 0 ? strerror(errno) : "is no file that can be sent");
		if (fd >= 0)
			close(fd);
		return EXIT_FAILED;
	}
	do {
		buf_reserve(&bytes, 1 << 16);
		n = read(fd, bytes.p + bytes.n, 1 << 16);
		bytes.n += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	close(fd);
	if (n < 0) {
		fprintf(stderr, "ogent: %s: %s\n", path, strerror(errno));
		return EXIT_FAILED;
	}
	*ret = bytes;
	bytes = BUF_INIT;
	return EXIT_OK;
}
