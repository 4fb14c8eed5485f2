/* A request to an address that a user, a model or another server has named: it reaches what is on the Internet and what
 * an operator has opened, and nothing else (OWASP's SSRF rules).
 *
 * - The URL is read by libcurl's own parser, so what is checked is what is asked: http or https, no user name, no zone
 *   of IPv6, the ports 80, 443 and those from 1024 that browsers do not block.
 * - What is connected to is checked, not what a name meant a moment before: only public addresses (ip_is_public), or
 *   those in `inner`; no proxy, and no connection that was kept.
 * - Redirects are steps of their own with the same checks. To another origin neither a body nor fields that may hold
 *   secrets go along; from https to http none is followed.
 * - The answer is bounded in time, in the size of its head (64 KiB) and of its body, which counts decoded. */
#pragma once

#include "io/outbound.h"

/* Bytes of a URL. */
#define SAFE_URL_MAX 8192

struct safe_fetch;

/* Everything but `inner` is copied. */
struct safe_fetch_request {
	const char *method;         /* GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS */
	const char *url;            /* http or https, complete */
	const char *const *headers; /* "Name: value" strings, NULL at the end; may be NULL */
	struct str body;
	const struct networks *inner; /* counts as public; may be NULL; lives until on_done */
	/* May be NULL. Whether a host (in lower case) may be asked, for each step; must copy what it needs of arg. */
	bool (*is_host_allowed)(void *arg, const char *host);
	void *arg;              /* of is_host_allowed; lives until on_done */
	size_t max_body;        /* bytes; default 1 MiB */
	bool is_cut_taken;      /* of a longer body the beginning is taken, instead of an error */
	unsigned max_redirects; /* 0 = a redirect is an answer like others */
	uint64_t total_ms;      /* of all steps; default 30 s */
};

/* Lives during on_done. */
struct safe_fetch_answer {
	int status;
	const char *url;          /* that answered, after redirects */
	const char *content_type; /* or "" */
	struct str body;          /* decoded */
	bool is_cut;
	unsigned redirects; /* that were followed */
	struct outbound_call *call;
};

/* Exactly once, never before safe_fetch_start has returned. err is 0 with an answer (of any status), or one of
 * outbound_call.on_done and -EINVAL "url_invalid", "header_invalid"; -EACCES "address_not_public", "port_refused",
 * "host_not_allowed", "redirect_refused"; -ELOOP "too_many_redirects"; -EFBIG "body_too_large"; with a sentence. */
typedef void (*safe_fetch_done)(void *arg, int err, const struct error *error, const struct safe_fetch_answer *answer);

struct safe_fetch *safe_fetch_start(struct outbound *o, const struct safe_fetch_request *r, safe_fetch_done on_done,
				    void *arg);
/* on_done follows with -ECANCELED. */
void safe_fetch_cancel(struct safe_fetch *f);
/* A field of the answer's head (arena copy), or NULL. Within on_done. */
const char *safe_fetch_header(const struct safe_fetch_answer *answer, struct arena *a, const char *name);

/* What can be said of a URL before it is asked, for one that is kept: its form, its port, and its host when that is an
 * address. ret_host (may be NULL) gets the host in lower case, in the arena. Returns 0, -EINVAL or -EACCES as above, or
 * -ENOSYS "curl_missing". On the loop's thread. */
int safe_url_check(const char *url, const struct networks *inner, struct arena *a, const char **ret_host,
		   struct error *err);
