/* Secrets in files of their own: DATA/secrets/NAME, 0600 in a folder 0700, replaced atomically, on disk when written.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Makes the folder if needed. Returns 0 or -EINVAL with err. */
int secret_dir_make(const char *dir, struct error *err);
int secret_file_write(const char *dir, const char *name, struct str content, struct error *err);
/* Appends the content without a last newline; at most 4 KiB. Returns 0, -ENOENT, or -EINVAL with err. */
int secret_file_read(const char *dir, const char *name, struct buf *ret, struct error *err);
/* Missing is fine. */
void secret_file_remove(const char *dir, const char *name);
/* `n` secret bytes kept as base64url; made at random when the file is missing. Returns 0 or -EINVAL with err. */
int secret_file_key(const char *dir, const char *name, uint8_t *ret, size_t n, struct error *err);
