#include "agent/tools/http_answer.h"

#include <strings.h>

#include "agent/tools/task.h"
#include "io/html_text.h"

/* Bytes of text for the model at once. */
#define MAX_TEXT (48 * 1024)

/* "text/html; charset=x" → what stands before the semicolon; *ret_charset is in the arena, or NULL. */
static struct str media_type(const char *type, struct arena *a, const char **ret_charset)
{
	struct str rest = str_of(type), media = str_trim(str_cut(&rest, ';'));

	*ret_charset = NULL;
	while (rest.n > 0) {
		struct str parameter = str_trim(str_cut(&rest, ';')), name = str_trim(str_cut(&parameter, '='));
		if (!str_ieq(name, STR("charset")))
			continue;
		parameter = str_trim(parameter);
		if (parameter.n > 1 && parameter.p[0] == '"')
			parameter = (struct str){parameter.p + 1, parameter.n - 2};
		*ret_charset = arena_strndup(a, parameter.p, parameter.n);
	}
	return media;
}

static bool is_html(struct str media)
{
	return str_ieq(media, STR("text/html")) || str_ieq(media, STR("application/xhtml+xml"));
}

/* The readable text; what cannot be read stays as it is. */
static void read_html(const struct safe_fetch_answer *answer, const char *charset, struct buf *text)
{
	_cleanup_(buf_deinit) struct buf title = BUF_INIT, body = BUF_INIT;

	if (html_text(answer->body, charset, HTML_TEXT_LINKS, &body, &title) < 0) {
		buf_add(text, answer->body.p, answer->body.n);
		return;
	}
	if (title.n > 0)
		buf_printf(text, "# %.*s\n\n", STR_ARG(buf_str(&title)));
	buf_add(text, body.p ? body.p : "", body.n);
}

static void add_part(struct str text, uint64_t from, struct buf *out)
{
	struct str part = text;
	bool can_go_on = from != HTTP_ANSWER_WHOLE;
	size_t n;

	if (!can_go_on)
		from = 0;

	if (from >= text.n) {
		buf_printf(out, text.n ? "The text has only %zu bytes.\n" : "The body is empty.\n", text.n);
		return;
	}
	part.p += from;
	part.n -= from;
	while (from > 0 && part.n > 0 && ((unsigned char)*part.p & 0xc0) == 0x80) {
		part.p++;
		part.n--;
	}
	buf_add_char(out, '\n');
	n = tool_text_add(out, part, MAX_TEXT);
	if (n < part.n && !can_go_on)
		buf_printf(out, "\n[The text has %zu bytes: the rest was left out. Ask for less of it.]", text.n);
	else if (n < part.n)
		buf_printf(out, "\n[The text has %zu bytes: go on with \"from\": %zu.]", text.n,
			   (size_t)(part.p - text.p) + n);
}

void http_answer_write(const struct safe_fetch_answer *answer, struct arena *a, bool is_raw, uint64_t from,
		       struct buf *out)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;
	const char *charset, *location;
	struct str media = media_type(answer->content_type, a, &charset);

	buf_printf(out, "Status: %d\n", answer->status);
	if (answer->redirects > 0)
		buf_printf(out, "Address after redirects: %.1000s\n", answer->url);
	if (media.n > 0) {
		buf_add_str(out, "Type: ");
		tool_text_add(out, media, 100);
		buf_add_char(out, '\n');
	}
	if (answer->status >= 300 && answer->status < 400 && (location = safe_fetch_header(answer, a, "location"))) {
		buf_add_str(out, "Location: ");
		tool_text_add(out, str_of(location), 1000);
		buf_add_char(out, '\n');
	}
	if (answer->is_cut)
		buf_printf(out, "Only the first %d MiB of the body were read.\n", HTTP_ANSWER_MAX >> 20);
	if (is_html(media) && !is_raw)
		read_html(answer, charset, &text);
	else if (memchr(answer->body.p ? answer->body.p : "", '\0', answer->body.n))
		buf_printf(out, "The body is no text and is not shown (%zu bytes).\n", answer->body.n);
	else
		buf_add(&text, answer->body.p ? answer->body.p : "", answer->body.n);
	if (text.n > 0 || answer->body.n == 0 || is_html(media))
		add_part(buf_str(&text), from, out);
}
