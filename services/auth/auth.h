/* What the files of the auth service share. */
#pragma once

#include "base/seal.h"
#include "hasher.h"
#include "mfa/confirmations.h"
#include "refresh_token.h"
#include "service/service.h"
#include "throttle.h"

struct outbox;

/* Of the tokens in links (mail/link.h); follows from the refresh tokens' key. */
struct link_key {
	uint8_t bytes[32];
};

struct auth {
	struct service *service;
	struct db *db;
	struct hasher *hasher;
	struct token_key key;           /* signs people's access tokens; keys.c changes it, on the loop */
	struct keys *keys;              /* keys.c; owned */
	struct refresh_key refresh_key; /* and their refresh tokens */
	struct throttle *by_account, *by_address;
	struct throttle
		*by_pair; /* an address that has signed in to an account before: not held up by others' guesses */
	struct throttle *by_code;                           /* codes of second factors, by user */
	struct throttle *by_link;                           /* links that are none, by address */
	struct throttle *mail_by_account, *mail_by_address; /* mails that anybody may ask for */
	struct str jwks;                                    /* the published key set; owned */
	char jwks_etag[24];                                 /* with quotes */
	char secrets_dir[512];
	int64_t password_min; /* code points */
	int64_t access_s;     /* life of an access token */
	int64_t session_idle_us, session_max_us;
	int64_t refresh_grace_us;
	struct link_key link_key;
	struct seal_key factors_key; /* of second factors at rest and of tickets (mfa/ticket.h) */
	enum confirm_policy confirm_policy;
	struct outbox *outbox;
	/* mail/configure.c */
	struct {
		bool is_on;           /* there is a mail server; otherwise administrators see the links */
		const char *from;     /* may have a display name */
		char bare_from[256];  /* only the address */
		const char *org;      /* "" = no name */
		char public_url[512]; /* without a slash at its end */
		int tls;              /* enum smtp_tls */
		int64_t timeout_ms, retry_ms;
		int64_t invite_us, verify_us, reset_us; /* lives of links */
	} mail;
	bool is_seeded;
	struct oauth *oauth;   /* oauth/oauth.c; owned */
	struct sso *sso;       /* sso/site.c; owned */
	struct events *events; /* events/events.c; owned */
	struct audit *audit;   /* audit/audit.c; owned */
	/* feed.c */
	struct list followers;   /* struct follower, link: services that wait for something to be revoked */
	uint64_t follower_wakes; /* how often they were woken */
	struct deadline follower_poll;
	bool is_polling; /* on a database that other auth processes use too */
	int64_t polled_newest;
	struct {
		struct metric *logins_granted, *logins_refused, *logins_throttled;
		struct metric *refreshes[3]; /* by enum refresh_outcome */
	} metrics;
};
