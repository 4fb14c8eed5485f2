/* SQLite's file access ("vfs") for the connection that writes: frames of the write-ahead log, of which SQLite writes
 * each as two pieces, go out together before the log is synced, a commit as one system call in place of some twenty.
 * Only for connections with synchronous=full, where every commit syncs before others are told of its frames: what is
 * still held back is of no commit. */
#pragma once

/* Its name, for sqlite3_open_v2. On any thread. NULL: SQLite's own is used. */
const char *sqlite_log_vfs(void);
