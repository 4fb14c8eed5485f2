/* The functions of libcurl that are used, loaded from the shared library at first use. */
#pragma once

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

/* X(name): curl_<name> */
#define CURL_FUNCTIONS(X)      \
	X(global_init)         \
	X(easy_init)           \
	X(easy_setopt)         \
	X(easy_getinfo)        \
	X(easy_perform)        \
	X(easy_cleanup)        \
	X(easy_send)           \
	X(easy_recv)           \
	X(easy_strerror)       \
	X(slist_append)        \
	X(slist_free_all)      \
	X(free)                \
	X(url)                 \
	X(url_cleanup)         \
	X(url_get)             \
	X(url_set)             \
	X(multi_init)          \
	X(multi_setopt)        \
	X(multi_assign)        \
	X(multi_add_handle)    \
	X(multi_remove_handle) \
	X(multi_socket_action) \
	X(multi_info_read)     \
	X(multi_cleanup)

struct curl_api {
#define X(name) typeof(curl_##name) *name;
	CURL_FUNCTIONS(X)
#undef X
};

/* NULL when the library is not installed or too old. On the loop's thread. */
const struct curl_api *curl_api_load(void);
/* A private authority's certificates, by the variables that OpenSSL's own programs read. */
void curl_set_authorities(const struct curl_api *api, CURL *e);
