/* The auth role: who people are and what they may do. */
#include "auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit/audit.h"
#include "events/events.h"
#include "feed.h"
#include "handlers.h"
#include "keys.h"
#include "mail/outbox.h"
#include "oauth/oauth.h"
#include "roles.h"
#include "sso/sso.h"
#include "start.h"

#define MS_US 1000

static const struct throttle_policy account_policy = {
	.free = 5, .first_ms = 1000, .max_ms = 60 * 1000, .forget_ms = 30 * 60 * 1000};
static const struct throttle_policy pair_policy = {
	.free = 10, .first_ms = 1000, .max_ms = 60 * 1000, .forget_ms = 24 * 3600 * 1000};
static const struct throttle_policy address_policy = {
	.free = 50, .first_ms = 1000, .max_ms = 60 * 1000, .forget_ms = 30 * 60 * 1000};
/* Mails to one address, and for one client: not failures, but counted the same way. */
static const struct throttle_policy mail_account_policy = {
	.free = 5, .first_ms = 60 * 1000, .max_ms = 3600 * 1000, .forget_ms = 3600 * 1000};
static const struct throttle_policy mail_address_policy = {
	.free = 30, .first_ms = 1000, .max_ms = 60 * 1000, .forget_ms = 30 * 60 * 1000};

/* Codes of six digits: at most some dozen guesses an hour. */
static const struct throttle_policy code_policy = {
	.free = 5, .first_ms = 30 * 1000, .max_ms = 15 * 60 * 1000, .forget_ms = 3600 * 1000};

static const struct throttle_policy link_policy = {
	.free = 30, .first_ms = 1000, .max_ms = 60 * 1000, .forget_ms = 30 * 60 * 1000};

static void configure(struct auth *auth)
{
	const struct options *o = service_options(auth->service);

	snprintf(auth->secrets_dir, sizeof(auth->secrets_dir), "%s/secrets", service_data_dir(auth->service));
	auth->password_min = option_int(o, "password_min");
	auth->confirm_policy = confirm_policy_of(option_str(o, "approval_confirm"));
	auth->access_s = option_int(o, "access_token_ttl") / 1000;
	auth->session_idle_us = option_int(o, "refresh_ttl") * MS_US;
	auth->session_max_us = option_int(o, "session_ttl") * MS_US;
	auth->refresh_grace_us = option_int(o, "refresh_grace") * MS_US;
}

static int open_hasher(struct auth *auth, struct error *err)
{
	const struct options *o = service_options(auth->service);
	struct hash_params params = {
		.memory = (uint64_t)option_int(o, "password_memory") << 20,
		.passes = option_int(o, "password_time"),
	};

	if (hash_params_check(&params, err) < 0)
		return -EINVAL;
	auth->hasher = hasher_new(service_loop(auth->service), option_int(o, "hash_threads"),
				  option_int(o, "hash_queue"), &params);
	service_watch_lane(auth->service, "hash", hasher_lane(auth->hasher));
	return 0;
}

static void open_throttles(struct auth *auth)
{
	auth->by_account = throttle_new(&account_policy, 8192);
	auth->by_pair = throttle_new(&pair_policy, 8192);
	auth->by_address = throttle_new(&address_policy, 8192);
	auth->by_code = throttle_new(&code_policy, 4096);
	auth->by_link = throttle_new(&link_policy, 4096);
	auth->mail_by_account = throttle_new(&mail_account_policy, 4096);
	auth->mail_by_address = throttle_new(&mail_address_policy, 4096);
}

static void make_metrics(struct auth *auth)
{
	static const char logins[] = "ogent_auth_logins_total", refreshes[] = "ogent_auth_refreshes_total";
	static const char logins_help[] = "Sign-ins with a password", refreshes_help[] = "Uses of refresh tokens";

	auth->metrics.logins_granted = metric_counter(logins, logins_help, "outcome=\"granted\"");
	auth->metrics.logins_refused = metric_counter(logins, logins_help, "outcome=\"refused\"");
	auth->metrics.logins_throttled = metric_counter(logins, logins_help, "outcome=\"throttled\"");
	auth->metrics.refreshes[0] = metric_counter(refreshes, refreshes_help, "outcome=\"granted\"");
	auth->metrics.refreshes[1] = metric_counter(refreshes, refreshes_help, "outcome=\"refused\"");
	auth->metrics.refreshes[2] = metric_counter(refreshes, refreshes_help, "outcome=\"reused\"");
}

static const char *database_missing(void *arg)
{
	struct auth *auth = arg;

	return auth->db && auth->is_seeded ? NULL : "the database is not migrated";
}

static const char *signing_key_missing(void *arg)
{
	struct auth *auth = arg;

	return auth->jwks.n ? NULL : "the signing key is not loaded";
}

static void stop(void *arg)
{
	struct auth *auth = arg;

	hasher_free(auth->hasher);
	events_close(auth);
	oauth_close(auth);
	sso_close(auth);
	audit_close(auth);
	outbox_close(auth);
	db_close(auth->db);
	events_free(auth);
	audit_free(auth->audit);
	outbox_free(auth->outbox);
	keys_free(auth->keys);
	throttle_free(auth->by_account);
	throttle_free(auth->by_pair);
	throttle_free(auth->by_address);
	throttle_free(auth->by_code);
	throttle_free(auth->by_link);
	throttle_free(auth->mail_by_account);
	throttle_free(auth->mail_by_address);
	free((char *)auth->jwks.p);
	sodium_memzero(auth, sizeof(*auth));
}

static void drain(void *arg)
{
	feed_drain(arg);
	keys_stop(arg);
}

int auth_main(const struct options *options)
{
	struct auth auth = {.service = service_new("auth", options)};
	struct error err = {0};

	configure(&auth);
	feed_init(&auth);
	if (mail_configure(&auth, &err) < 0 || start_database(&auth, &err) < 0 || start_seed(&auth, &err) < 0)
		fatal("%s", err.message);
	keys_start(&auth);
	service_watch_db(auth.service, auth.db);
	make_metrics(&auth);
	if (oauth_open(&auth, &err) < 0 || sso_open(&auth, &err) < 0 || events_open(&auth, &err) < 0 ||
	    open_hasher(&auth, &err) < 0)
		fatal("%s", err.message);
	open_throttles(&auth);
	outbox_open(&auth);
	service_ready_check(auth.service, "database", database_missing, &auth);
	service_ready_check(auth.service, "signing_key", signing_key_missing, &auth);
	service_routes(auth.service, auth_routes, auth_routes_n, &auth);
	service_on_drain(auth.service, drain, &auth);
	service_on_stop(auth.service, stop, &auth);
	service_listen(auth.service);
	return service_run(auth.service);
}
