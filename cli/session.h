/* Which platform a command talks to, and as whom. In this order: --url or OGENT_URL; the platform of the data folder if
 * it has left its address there; the stored login. The token: OGENT_TOKEN, else the stored login's, else, for the data
 * folder's platform, one made from its secrets/cli.token. */
#pragma once

#include "base/options.h"
#include "client.h"

struct session {
	struct client *client;
	const struct options *options;
	bool is_local;
	bool is_fixed;      /* the token is from the environment: nothing to renew */
	int64_t expires_us; /* of the access token, wall time */
};

/* Returns EXIT_OK, or another exit code after printing why. */
int session_open(struct session *s, const struct options *options, const char *url);
/* With the key of the data folder, to an address of the auth role or the gateway. As above. */
int session_open_local(struct session *s, const struct options *options, const char *address);
/* Renews the token when it is about to expire. As above. */
int session_refresh(struct session *s);
void session_close(struct session *s);

/* Calls with a fresh token. On any other status than 2xx prints the problem and returns its exit code. */
int session_call(struct session *s, struct arena *a, const char *method, const char *path, struct str json,
		 yyjson_val **ret);
/* Prints "ogent: …" to stderr and gives the exit code for a status or -errno of client_call. */
int session_fail(int status, const struct error *err);

/* The stored login: one platform's URL and its tokens, in $XDG_CONFIG_HOME/ogent/login.json (0600). */
struct login {
	char *url, *access_token, *refresh_token; /* refresh_token is NULL for a fixed token */
	int64_t expires_us;                       /* 0 = unknown */
};
/* Returns 0, -ENOENT, or -EINVAL for a file that is none. */
int login_load(struct login *ret);
int login_save(const struct login *l, struct error *err);
void login_deinit(struct login *l);
/* The address that `ogent up` left in the data folder, or NULL. Free it. */
char *session_local_address(const struct options *options);
