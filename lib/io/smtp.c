#include "io/smtp.h"

#include <stdio.h>

#include "io/curl_api.h"

#define CONNECT_MS 15000

static const struct curl_api *api;

struct sending {
	struct str rest;
	const atomic_bool *is_ending;
};

bool smtp_load(void)
{
	if (!api)
		api = curl_api_load();
	return api != NULL;
}

bool smtp_address_is_plain(const char *address)
{
	const char *at = strrchr(address, '@');

	for (const char *p = address; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("<>()[]\\,;:\"", *p))
			return false;
	return at && at != address && at[1] && strchr(address, '@') == at;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct sending *s = arg;

	n = MIN(n * size, s->rest.n);
	if (n)
		memcpy(to, s->rest.p, n);
	s->rest.p += n;
	s->rest.n -= n;
	return n;
}

static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
	struct sending *s = arg;

	return s->is_ending && atomic_load(s->is_ending);
}

static void set_up(CURL *e, const struct smtp_server *server, struct sending *s, char *text)
{
	static const long tls[] = {CURLUSESSL_TRY, CURLUSESSL_ALL, CURLUSESSL_NONE};

	api->easy_setopt(e, CURLOPT_ERRORBUFFER, text);
	api->easy_setopt(e, CURLOPT_URL, server->url);
	api->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	api->easy_setopt(e, CURLOPT_USE_SSL, tls[server->tls]);
	api->easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	api->easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	api->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	api->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(server->total_ms, CONNECT_MS));
	api->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)server->total_ms);
	if (*server->user) {
		api->easy_setopt(e, CURLOPT_USERNAME, server->user);
		api->easy_setopt(e, CURLOPT_PASSWORD, server->password);
	}
	api->easy_setopt(e, CURLOPT_UPLOAD, 1L);
	api->easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	api->easy_setopt(e, CURLOPT_READDATA, s);
	api->easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	api->easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	api->easy_setopt(e, CURLOPT_XFERINFODATA, s);
	curl_set_authorities(api, e);
}

/* Whether the server's last word was about this mail, and final. What it says of signing in or of our own address is
 * about its configuration or ours. */
static bool is_refused(CURL *e, CURLcode code, const char *text)
{
	curl_off_t sent = 0;
	long reply = 0;

	api->easy_getinfo(e, CURLINFO_RESPONSE_CODE, &reply);
	api->easy_getinfo(e, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (reply < 550 || reply > 559 || strncmp(text, "MAIL", 4) == 0)
		return false;
	return code == CURLE_SEND_ERROR || (code == CURLE_WEIRD_SERVER_REPLY && sent > 0);
}

enum smtp_result smtp_send(const struct smtp_server *server, const struct smtp_mail *mail, struct error *err)
{
	struct sending s = {.rest = mail->text, .is_ending = server->is_ending};
	enum smtp_result ret = SMTP_SENT;
	struct curl_slist *to;
	char text[CURL_ERROR_SIZE] = "";
	CURLcode code;
	CURL *e;

	if (!smtp_address_is_plain(mail->to)) {
		error_set(err, "address_invalid", "This address cannot be written to.");
		return SMTP_REFUSED;
	}
	e = api ? api->easy_init() : NULL;
	if (!e) {
		error_set(err, "curl_missing",
			  "Mail needs libcurl, which is not installed: install the package libcurl4.");
		return SMTP_LATER;
	}
	set_up(e, server, &s, text);
	to = api->slist_append(NULL, mail->to);
	api->easy_setopt(e, CURLOPT_MAIL_FROM, mail->from);
	api->easy_setopt(e, CURLOPT_MAIL_RCPT, to);
	code = api->easy_perform(e);
	if (code != CURLE_OK) {
		ret = is_refused(e, code, text) ? SMTP_REFUSED : SMTP_LATER;
		error_set(err, "mail_failed", "%s", *text ? text : api->easy_strerror(code));
	}
	api->easy_cleanup(e);
	api->slist_free_all(to);
	return ret;
}
