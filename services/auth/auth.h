/* What the files of the auth service share. */
#pragma once

#include "hasher.h"
#include "refresh_token.h"
#include "service/service.h"
#include "throttle.h"

struct auth {
	struct service *service;
	struct db *db;
	struct hasher *hasher;
	struct token_key key;           /* signs people's access tokens */
	struct refresh_key refresh_key; /* and their refresh tokens */
	struct throttle *by_account, *by_address;
	struct throttle
		*by_pair;   /* an address that has signed in to an account before: not held up by others' guesses */
	struct str jwks;    /* the published key set; owned */
	char jwks_etag[24]; /* with quotes */
	char secrets_dir[512];
	int64_t password_min; /* code points */
	int64_t access_s;     /* life of an access token */
	int64_t session_idle_us, session_max_us;
	int64_t refresh_grace_us;
	bool is_seeded;
	struct audit *audit; /* audit/audit.c; owned */
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
