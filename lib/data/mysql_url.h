/* The address of a MySQL or MariaDB database:
 *
 *	mysql://USER:PASSWORD@HOST[:PORT]/DATABASE[?PARAMETER=VALUE&…]
 *
 * "mariadb://" means the same. User, password and database are percent-decoded; [::1] is an IPv6 host. Parameters:
 *
 *	ssl=prefer       TLS when the server has it, unchecked (the default)
 *	    disable      never
 *	    require      always, the certificate unchecked
 *	    verify-ca    always, and the certificate is from ssl_ca
 *	    verify-full  always, and the certificate is from ssl_ca (or the system's authorities) and names HOST
 *	ssl_ca=/path     file of the authorities to believe, PEM
 *	socket=/path     a Unix socket instead of HOST, which may then be empty
 *	connect_timeout=SECONDS    10
 *	statement_timeout=SECONDS  30; a statement that takes longer is given up */
#pragma once

#include "base/error.h"
#include "base/str.h"

enum mysql_tls { MYSQL_TLS_PREFER, MYSQL_TLS_DISABLE, MYSQL_TLS_REQUIRE, MYSQL_TLS_VERIFY_CA, MYSQL_TLS_VERIFY_FULL };

struct mysql_url {
	/* NULL when not given */
	char *user, *password, *host, *database, *socket, *ssl_ca;
	unsigned port;
	enum mysql_tls tls;
	unsigned connect_s, statement_s;
};

/* Returns 0 or -EINVAL; no message holds a part of the address that may be secret. */
int mysql_url_parse(const char *url, struct mysql_url *ret, struct error *err);
/* Overwrites the password. */
void mysql_url_deinit(struct mysql_url *u);
