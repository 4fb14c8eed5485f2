/* Requests to the outside (models, webhooks, MCP) by libcurl's multi interface on the loop: TLS, HTTP/2, proxies,
 * streaming, and a cancel that closes the socket. libcurl is loaded at first use, because it brings some 25 libraries
 * with it that most roles never need. Redirects are not followed, certificates are checked (SSL_CERT_FILE and
 * SSL_CERT_DIR name other authorities than the system's), proxies are those of the usual environment variables. */
#pragma once

#include <uv.h>

#include "base/arena.h"
#include "base/error.h"

struct networks;
struct outbound;

struct outbound *outbound_new(uv_loop_t *loop);
/* Cancels what is under way; each on_done comes. */
void outbound_free(struct outbound *o);

struct outbound_call {
	/* Filled by the caller, alive until on_done. */
	const char *method;
	const char *url;            /* http or https */
	const char *const *headers; /* "Name: value" strings, NULL at the end; may be NULL */
	struct str body;
	const char *unix_socket; /* connect there instead of the URL's host; may be NULL */
	/* For an address that somebody else has named: only public ones are connected to (ip_is_public), whatever the
	 * name means by then, without a proxy, on a connection of its own. What is in `inner` (may be NULL) counts as
	 * public. safe_fetch.h has the rest that such an address needs. */
	bool is_public_only;
	const struct networks *inner;
	bool is_decoded;        /* gzip and deflate are asked for, and on_data gets what they hold */
	uint64_t connect_ms;    /* default 10 s */
	uint64_t first_byte_ms; /* from the start to the head of the answer, connect_ms on top; default 120 s */
	uint64_t idle_ms;       /* between bytes of the body; default 120 s */
	uint64_t total_ms;      /* 0 = none */
	void *owner;
	/* After the head. outbound_header() reads fields. Each of the three may start and cancel calls. */
	void (*on_head)(struct outbound_call *c, int status);
	void (*on_data)(struct outbound_call *c, const char *data, size_t n);
	/* Exactly once, last, never before outbound_start has returned. err 0, -ECANCELED, -ETIMEDOUT, -ECONNREFUSED
	 * (no connection), -EACCES (not public), -ECONNRESET (broken off), -EKEYREJECTED (its certificate is not good),
	 * -EPROTO (TLS and other), -ENOSYS (libcurl is missing), with a sentence in `error`; its codes are "cancelled",
	 * "timeout", "connect_failed", "address_not_public", "resolve_failed", "connection_broken", "tls_untrusted",
	 * "tls_failed", "url_invalid", "head_too_large", "request_failed", "curl_missing". */
	void (*on_done)(struct outbound_call *c, int err, const struct error *error);

	/* Its own. */
	struct outbound *outbound;
	struct outbound_op *op;
	int status;
};

void outbound_start(struct outbound *o, struct outbound_call *c);
void outbound_cancel(struct outbound_call *c);
/* A response header's value (arena copy), or NULL. From on_head to on_done. */
const char *outbound_header(struct outbound_call *c, struct arena *a, const char *name);
