/* The functions of libssh that are used, loaded from the shared library when a target needs them: linked, it and its
 * own libraries would cost every role memory. */
#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

/* X(name): ssh_<name> */
#define SSH_FUNCTIONS(X)           \
	X(new)                     \
	X(free)                    \
	X(options_set)             \
	X(set_blocking)            \
	X(set_counters)            \
	X(get_error)               \
	X(connect)                 \
	X(is_connected)            \
	X(session_is_known_server) \
	X(get_server_publickey)    \
	X(get_publickey_hash)      \
	X(get_fingerprint_hash)    \
	X(clean_pubkey_hash)       \
	X(string_free_char)        \
	X(key_free)                \
	X(pki_import_privkey_file) \
	X(userauth_publickey)      \
	X(send_keepalive)          \
	X(get_poll_flags)          \
	X(event_new)               \
	X(event_free)              \
	X(event_add_session)       \
	X(event_remove_session)    \
	X(event_dopoll)            \
	X(channel_new)             \
	X(channel_free)            \
	X(channel_open_session)    \
	X(channel_request_exec)    \
	X(channel_window_size)     \
	X(channel_write)           \
	X(set_channel_callbacks)   \
	X(remove_channel_callbacks)

struct ssh_api {
#define X(name) typeof(ssh_##name) *name;
	SSH_FUNCTIONS(X)
#undef X
};

/* NULL when the library is not installed or too old. On the loop's thread. */
const struct ssh_api *ssh_api_load(void);
