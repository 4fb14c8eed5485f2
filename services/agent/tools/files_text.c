#include "agent/tools/files_text.h"

#include <errno.h>

#define MAX_TEXT (48 * 1024)

void files_write_list(struct buf *out, yyjson_val *page)
{
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(json_get_arr(page, "items"), i, max, item)
	{
		const char *type = json_get_str(item, "type", "");
		buf_add_str(out, json_get_str(item, "name", ""));
		if (strcmp(type, "folder") == 0)
			buf_add_str(out, "/\n");
		else if (strcmp(type, "link") == 0)
			buf_printf(out, " -> %s\n", json_get_str(item, "link", "?"));
		else
			buf_printf(out, "\t%lld bytes\n", (long long)json_get_int(item, "size", 0));
	}
	if (out->n == 0)
		buf_add_str(out, "The folder is empty.");
	if (json_get_str(page, "next", NULL))
		buf_add_str(out, "[There are more: use the shell.]\n");
}

bool files_write_found(struct buf *out, yyjson_val *command)
{
	yyjson_val *output = json_get_obj(command, "output");
	const char *head = json_get_str(output, "head", ""), *tail = json_get_str(output, "tail", "");
	int64_t code = json_get_int(command, "exit_code", -1), omitted = json_get_int(output, "omitted_bytes", 0);

	if (code != 0 && code != 1) {
		buf_printf(out, "The search failed (%s). %s%s", json_get_str(command, "state", "?"), head, tail);
		return false;
	}
	if (!*head && !*tail)
		buf_add_str(out, "Nothing was found.");
	buf_add_str(out, head);
	if (omitted > 0)
		buf_printf(out, "\n[... %lld bytes left out: search for less ...]\n", (long long)omitted);
	buf_add_str(out, tail);
	return true;
}

static size_t count_lines(struct str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n + (text.n > 0 && text.p[text.n - 1] != '\n');
}

/* The whole line with its break. */
static struct str next_line(struct str *rest)
{
	const char *end = memchr(rest->p, '\n', rest->n);
	struct str line = {rest->p, end ? (size_t)(end + 1 - rest->p) : rest->n};

	rest->p += line.n;
	rest->n -= line.n;
	return line;
}

void files_write_part(struct buf *out, struct str text, int64_t from, int64_t lines)
{
	size_t all = count_lines(text), at = 1, shown = 0, start = out->n;
	struct str rest = text;

	if (text.n == 0) {
		buf_add_str(out, "The file is empty.");
		return;
	}
	if ((size_t)from > all) {
		buf_printf(out, "The file has only %zu lines.", all);
		return;
	}
	for (; at < (size_t)from; at++)
		next_line(&rest);
	while (rest.n > 0 && (lines == 0 || (int64_t)shown < lines)) {
		struct str line = next_line(&rest);
		if (out->n - start + line.n > MAX_TEXT && shown > 0) {
			rest.n += line.n;
			break;
		}
		size_t n = MIN(line.n, MAX_TEXT);
		while (n < line.n && ((unsigned char)line.p[n] & 0xc0) == 0x80)
			n--;
		buf_add(out, line.p, n);
		if (n < line.n)
			buf_add_str(out, "[the line is longer]\n");
		shown++;
	}
	if (from > 1 || rest.n > 0)
		buf_printf(out, "\n[Lines %lld to %lld of %zu.]", (long long)from, (long long)(from + shown) - 1, all);
}

static const char *find(struct str text, struct str what)
{
	return text.n >= what.n ? memmem(text.p, text.n, what.p, what.n) : NULL;
}

static unsigned count(struct str text, struct str what)
{
	unsigned n = 0;

	for (const char *at; (at = find(text, what)); n++) {
		text.n -= (size_t)(at - text.p) + what.n;
		text.p = at + what.n;
	}
	return n;
}

static int not_found(struct str text, struct str old, struct error *err)
{
	struct str line = str_trim(old);

	line = str_trim(str_cut(&line, '\n'));
	if (line.n > 0 && find(text, line))
		return error_set(err, "not_found",
				 "The text is not in the file as it stands, but its first line \"%.*s\" is: look at "
				 "the spaces and line breaks with files_read, then try again.",
				 (int)MIN(line.n, (size_t)100), line.p);
	return error_set(err, "not_found", "The text is not in the file: read it with files_read, then try again.");
}

int files_replace(struct str text, struct str old, struct str new, bool is_all, bool is_repeated, struct buf *out,
		  unsigned *ret_changes, struct error *err)
{
	unsigned n = count(text, old);

	*ret_changes = 0;
	if (str_eq(old, new))
		return error_set(err, "same", "The old and the new text are the same: nothing was changed.");
	if (n == 0 && is_repeated && new.n > 0 && find(text, new))
		return 0;
	if (n == 0)
		return not_found(text, old, err);
	if (n > 1 && !is_all)
		return error_set(err, "ambiguous",
				 "The text stands in the file %u times: give more of what is around it, or set "
				 "\"all\" to replace each.",
				 n);
	for (const char *at; (at = find(text, old));) {
		buf_add(out, text.p, (size_t)(at - text.p));
		buf_add(out, new.p, new.n);
		text.n -= (size_t)(at - text.p) + old.n;
		text.p = at + old.n;
	}
	buf_add(out, text.p, text.n);
	*ret_changes = n;
	return 0;
}
