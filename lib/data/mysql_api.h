/* The functions of libmariadb that are used, loaded from the shared library at first use: linked, it would bring
 * OpenSSL into every role, most of which never speak to MySQL. */
#pragma once

#include <mysql.h>
#include <stdbool.h>

/* X(name): mysql_<name> */
#define MYSQL_FUNCTIONS(X)      \
	X(server_init)          \
	X(get_client_version)   \
	X(init)                 \
	X(options)              \
	X(real_connect)         \
	X(close)                \
	X(errno)                \
	X(error)                \
	X(get_server_info)      \
	X(get_server_version)   \
	X(get_ssl_cipher)       \
	X(real_query)           \
	X(store_result)         \
	X(free_result)          \
	X(fetch_fields)         \
	X(stmt_init)            \
	X(stmt_prepare)         \
	X(stmt_close)           \
	X(stmt_param_count)     \
	X(stmt_bind_param)      \
	X(stmt_execute)         \
	X(stmt_field_count)     \
	X(stmt_result_metadata) \
	X(stmt_bind_result)     \
	X(stmt_store_result)    \
	X(stmt_fetch)           \
	X(stmt_attr_set)        \
	X(stmt_free_result)     \
	X(stmt_affected_rows)   \
	X(stmt_errno)           \
	X(stmt_error)

struct mysql_api {
#define X(name) typeof(mysql_##name) *mysql_##name;
	MYSQL_FUNCTIONS(X)
#undef X
};

extern struct mysql_api mysql_api;

/* False when the library is not installed or too old. On any thread; before any use of the functions. */
bool mysql_api_load(void);
