/* libarchive, loaded at first use. */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/util.h"

#define ARCHIVE_FUNCTIONS(X)               \
	X(read_new)                        \
	X(read_free)                       \
	X(read_support_filter_gzip)        \
	X(read_support_format_tar)         \
	X(read_open_fd)                    \
	X(read_next_header)                \
	X(read_data)                       \
	X(filter_bytes)                    \
	X(write_new)                       \
	X(write_free)                      \
	X(write_set_format_pax_restricted) \
	X(write_add_filter_gzip)           \
	X(write_set_bytes_in_last_block)   \
	X(write_open)                      \
	X(write_header)                    \
	X(write_data)                      \
	X(write_finish_entry)              \
	X(write_close)                     \
	X(error_string)                    \
	X(entry_new)                       \
	X(entry_free)                      \
	X(entry_clear)                     \
	X(entry_pathname)                  \
	X(entry_hardlink)                  \
	X(entry_symlink)                   \
	X(entry_filetype)                  \
	X(entry_size)                      \
	X(entry_perm)                      \
	X(entry_mtime)                     \
	X(entry_set_pathname)              \
	X(entry_set_symlink)               \
	X(entry_set_filetype)              \
	X(entry_set_size)                  \
	X(entry_set_perm)                  \
	X(entry_set_mtime)

struct archive_api {
#define X(name) __typeof__(archive_##name) *name;
	ARCHIVE_FUNCTIONS(X)
#undef X
};

/* NULL: not installed. Thread-safe. */
const struct archive_api *archive_api_load(void);
