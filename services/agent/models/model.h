/* Asking a model for one message, and the interface of providers.
 *
 * To add a dialect: one file that defines a struct model_provider, and a line in providers.c. What is common to all
 * stays in stream.c (forms of bodies, limits) and call.c (attempts, waiting, time-outs, the words for what went
 * wrong). */
#pragma once

#include "agent/chat.h"
#include "agent/models/place.h"
#include "base/error.h"
#include "base/json.h"
#include "io/http_client.h"
#include "io/outbound.h"

struct agent;

/* Why an attempt failed. */
struct model_failure {
	struct error error; /* code empty = it did not */
	bool may_retry;
	bool is_own;      /* of this request: another target would fail with it too */
	uint64_t wait_ms; /* as the provider asks; 0 = it does not say */
};

struct model_target;

/* Where a stream's parser puts what it reads. */
struct model_sink {
	struct chat_answer *answer;
	struct model_failure *failure;
	void (*on_text)(void *owner, struct str text); /* text was added to the answer */
	void *owner;
	const struct model_target *target; /* for what is to be sent back to it; may be NULL */
};

struct model_stream;

/* A field of a request's head; both strings live as long as the request. */
struct model_header {
	const char *name, *value;
};

/* A dialect. Adding one: a file that defines this struct, and its line in providers.c. */
struct model_provider {
	const char *name;         /* "openai", "responses", "anthropic", "ollama" */
	const char *path;         /* behind the base URL */
	const char *list_path;    /* of the models there are */
	const char *address_hint; /* how a base URL looks, for people */
	/* The body of a request that streams. */
	void (*write_request)(const struct model_target *t, const struct chat_request *r, struct buf *out);
	/* Fields that carry the key and the dialect's version, at most 4; returns their number. */
	size_t (*write_headers)(const struct model_target *t, struct arena *a, struct model_header *ret);

	/* For stream.c: its documents are lines, not events. */
	bool is_lines;
	size_t own_size;
	void (*clear_own)(void *own);
	/* One document; type: of the event, "" = none. end: the answer is whole. 0, or -EBADMSG with the failure set.
	 */
	int (*take)(struct model_stream *s, const char *type, yyjson_val *root);
	int (*end)(struct model_stream *s);
};

extern const struct model_provider provider_openai, provider_responses, provider_anthropic, provider_ollama;

/* By name, NULL = there is none. */
const struct model_provider *model_provider_find(const char *name);
/* Whether a provider's refusal says that the conversation is too long for the model. status -1: not known; code: the
 * error's code or type, "" = none. */
bool model_is_overflow(int status, const char *code, const char *message);

/* Which thoughts of former answers are sent back to servers of the compatible dialect. */
enum model_echo {
	ECHO_LOOP,  /* those since the last message of the user, which is what such servers ask for */
	ECHO_NEVER, /* they answer 400 to it */
	ECHO_ALWAYS,
};

/* 1e-9 US dollars a token; all 0: not known. */
struct model_prices {
	int64_t input, output, cached, cache_write;
};

/* One model at one place. */
struct model_target {
	const struct model_provider *provider;
	const char *id;       /* as users choose it */
	const char *model;    /* as the provider knows it */
	const char *kind;     /* "openai", "ollama", "demo", … */
	const char *base_url; /* without a slash at the end */
	const char *key;      /* secret; "" = none */
	const char *key_hint; /* where the key is set, for people */
	struct model_place *place;
	const char *prefix; /* where its place has a pool: the path of the base URL */
	int64_t context;    /* tokens that input and output share; 0 = not known */
	int64_t max_output; /* tokens; 0 = not known */
	bool images;        /* it takes them */
	enum model_echo echo;
	struct model_prices prices;
};

/* One request over either way. Fill the first part; on_done comes once, last, never from inside start. */
struct model_http {
	const struct model_target *target;
	struct outbound *outbound;
	const char *method;
	const char *path;
	struct str body;
	const char *traceparent; /* may be NULL */
	void *owner;
	void (*on_head)(struct model_http *h, int status);
	void (*on_data)(struct model_http *h, const char *data, size_t n);
	void (*on_done)(struct model_http *h, int err, const char *why);

	/* Its own. */
	struct arena *arena;
	uint64_t retry_after_ms; /* from on_head on */
	int should_retry;        /* the server's x-should-retry: 1 yes, 0 no, -1 it does not say */
	union {
		struct http_call call;
		struct outbound_call out;
	};
};

void model_http_start(struct model_http *h);
/* Closes the connection at once; on_done(-ECANCELED) follows. */
void model_http_cancel(struct model_http *h);

/* What a call waits for. */
enum model_call_state {
	MODEL_CALL_TURN,    /* its place has no room */
	MODEL_CALL_ANSWER,  /* the provider's answer */
	MODEL_CALL_PAUSE,   /* time, before it asks again */
	MODEL_CALL_CLOSING, /* the end of a connection that was cancelled */
};

/* One message asked for: by the first target that answers, several attempts at each. Fill the first part; it lives
 * until on_done, which comes once, last, never from inside start: 0, -ECANCELED, or -EIO with `failure` set. */
struct model_call {
	struct agent *agent;
	const struct model_target *const *targets; /* in the order in which they are asked */
	size_t n_targets;
	const char *user_id;
	struct chat_request request;
	const char *traceparent; /* may be NULL */
	void *owner;
	void (*on_text)(struct model_call *c, struct str text);
	/* The attempt failed and is repeated after wait_ms. The text so far no longer counts. */
	void (*on_retry)(struct model_call *c, unsigned attempt, uint64_t wait_ms, const char *reason);
	/* The next target is asked. The text so far no longer counts. */
	void (*on_fallback)(struct model_call *c, const struct model_target *from, const struct model_target *to,
			    const char *reason);
	/* It has to wait for its turn. */
	void (*on_waiting)(struct model_call *c, enum model_hold why);
	/* Something about the answer that people should know; it goes on all the same. */
	void (*on_warning)(struct model_call *c, const char *code, const char *message);
	void (*on_done)(struct model_call *c, int err);

	/* Results. */
	const struct model_target *target; /* that was asked last */
	struct chat_answer answer;
	struct model_failure failure;

	/* Its own. */
	enum model_call_state state;
	struct model_turn turn;
	struct model_http http;
	struct buf body;
	struct buf error_body; /* of an answer that is not 200 */
	struct model_stream *stream;
	size_t nth; /* of targets */
	unsigned attempt, pauses;
	int status;
	bool is_cancelled;
	uint64_t started_us, first_text_us;
	int64_t tokens_settled; /* of the pauses before */
	struct deadline wait;
};

#define MODEL_ATTEMPTS 4
#define MODEL_ATTEMPTS_BEFORE_NEXT 2 /* where there is another target */

void model_call_start(struct model_call *c);
void model_call_cancel(struct model_call *c);
/* Frees what the results hold. */
void model_call_clear(struct model_call *c);

/* What a use of tokens costs, in 1e-9 US dollars. */
int64_t model_cost(const struct model_prices *p, const struct chat_usage *u);

/* The time a Retry-After (seconds or an HTTP date) and retry-after-ms ask for, in ms; 0 = not said or not understood.
 * now in seconds since 1970. */
uint64_t model_retry_after(const char *retry_after_ms, const char *retry_after, int64_t now);
