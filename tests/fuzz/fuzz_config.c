/* base/options: whatever ogent.conf holds, loading ends, says why when it refuses, and tells values that it would take
 * again. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void count(void *arg, const struct error *err)
{
	check(*err->code && *err->message);
	++*(unsigned *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char path[40];
	unsigned faults = 0;
	struct error err = {0};
	struct option_info info;
	int fd = memfd_create("ogent.conf", MFD_CLOEXEC);

	check(fd >= 0 && write(fd, data, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct options *o = options_load(path, NULL, 0, &err);
	struct options *all = options_load_all(path, NULL, 0, count, &faults);
	check(!o == (faults > 0) && !o == (*err.code != 0));
	for (size_t i = 0; option_info(all, i, &info); i++) {
		check(info.is_secret == !info.value);
		if (!info.value || *info.place == '\0')
			continue;
		struct options *again = options_load(NULL, &(struct option_arg){info.name, info.value}, 1, &err);
		check(again != NULL);
		options_free(again);
	}
	options_free(o);
	options_free(all);
	close(fd);
	return 0;
}
