#include "data/postgres_connect.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST_SERVER 130000

/* What is not set for the server, the database or the role is set here: no statement waits for ever. */
#define SETTINGS                                                                                                   \
	"select set_config(s.name, v.value, false) from (values ('statement_timeout', '15s'), ('lock_timeout', "   \
	"'5s'), ('idle_in_transaction_session_timeout', '60s')) v (name, value) join pg_catalog.pg_settings s on " \
	"s.name = v.name where s.setting = '0'"

/* The server's or libpq's words, one line of them, with the password taken out wherever it is from. */
static int tell(struct error *err, const char *text, const char *password)
{
	struct error e;
	char *at;

	error_set(&e, "db_open", "the database server cannot be used: %.*s", (int)strcspn(text, "\n"), text);
	while (password && strlen(password) > 2 && (at = strstr(e.message, password))) {
		size_t n = strlen(password);
		memmove(at + 3, at + n, strlen(at + n) + 1);
		memcpy(at, "***", 3);
	}
	return error_set(err, e.code, "%s", e.message);
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	return NULL;
}

/* A password with a reserved character in it makes a wrong host, port or database, which libpq would tell. */
static bool is_sound(const PQconninfoOption *options)
{
	const char *host = value_of(options, "host"), *port = value_of(options, "port");
	const char *database = value_of(options, "dbname");

	return (!host || !strpbrk(host, "@?#")) && (!database || !strchr(database, '@')) &&
	       (!port || port[strspn(port, "0123456789,")] == '\0');
}

static PQconninfoOption *parse(const struct pq_api *pq, const char *url, struct error *err)
{
	char *libpqs = NULL;
	PQconninfoOption *options = pq->conninfoParse(url, &libpqs);

	if (libpqs) {
		/* It may quote what it does not understand. */
		explicit_bzero(libpqs, strlen(libpqs));
		pq->freemem(libpqs);
	}
	if (options && is_sound(options))
		return options;
	error_set(
		err, "db_url",
		"the database address is not of the form postgres://user:password@host:port/database?sslmode=…: write "
		"special characters of the password as %%40 for @, %%2F for /, %%3A for :, %%3F for ?, %%23 for #");
	pq->conninfoFree(options);
	return NULL;
}

static void ignore_notice(void *arg, const char *message)
{
}

static PGconn *dial(const struct pq_api *pq, const char *url)
{
	/* What the URL says counts more: it comes last. */
	static const char *const keywords[] = {
		"connect_timeout",  "keepalives_idle",  "keepalives_interval",
		"keepalives_count", "tcp_user_timeout", "application_name",
		"client_encoding",  "dbname",           NULL,
	};
	const char *const values[] = {"5", "10", "5", "3", "20000", "ogent", "UTF8", url, NULL};

	return pq->connectdbParams(keywords, values, 1);
}

static int set_up(const struct pq_api *pq, PGconn *pg)
{
	PGresult *result;
	bool is_fine = pq->sendQuery(pg, SETTINGS) == 1;

	while ((result = pq->getResult(pg))) {
		is_fine = is_fine && pq->resultStatus(result) == PGRES_TUPLES_OK;
		pq->clear(result);
	}
	return is_fine ? 0 : -EIO;
}

static int check(const struct pq_api *pq, PGconn *pg, const char *password, struct error *err)
{
	const char *encoding;

	if (pq->status(pg) != CONNECTION_OK)
		return tell(err, pq->errorMessage(pg), password);
	if (pq->serverVersion(pg) < OLDEST_SERVER)
		return error_set(err, "db_open", "the database server is older than PostgreSQL 13: use 13 or newer");
	encoding = pq->parameterStatus(pg, "server_encoding");
	if (!encoding || strcmp(encoding, "UTF8") != 0)
		return error_set(err, "db_open", "the database's encoding is %s: create it with encoding 'UTF8'",
				 encoding ? encoding : "unknown");
	return set_up(pq, pg) < 0 ? tell(err, pq->errorMessage(pg), password) : 0;
}

PGconn *postgres_connect(const char *url, struct error *err)
{
	const struct pq_api *pq = pq_api_load();
	PQconninfoOption *options;
	PGconn *pg;

	if (!pq) {
		error_set(err, "db_open", "PostgreSQL's client library libpq.so.5 is not there: install libpq5");
		return NULL;
	}
	options = parse(pq, url, err);
	if (!options)
		return NULL;
	pg = dial(pq, url);
	pq->setNoticeProcessor(pg, ignore_notice, NULL);
	if (check(pq, pg, value_of(options, "password"), err) < 0) {
		pq->finish(pg);
		pg = NULL;
	}
	pq->conninfoFree(options);
	return pg;
}
