#include "data/postgres_sql.h"

#include <string.h>

/* The end of what is quoted at `p`, behind the closing quote. A doubled quote ends and begins anew. */
static const char *skip_quoted(const char *p)
{
	const char *end = strchr(p + 1, *p);

	return end ? end + 1 : p + strlen(p);
}

static const char *skip_line(const char *p)
{
	return p + strcspn(p, "\n");
}

static const char *skip_comment(const char *p)
{
	const char *end = strstr(p + 2, "*/");

	return end ? end + 2 : p + strlen(p);
}

/* What is copied as it is, from `p` on; `p` itself when nothing is. */
static const char *skip_opaque(const char *p)
{
	if (*p == '\'' || *p == '"')
		return skip_quoted(p);
	if (p[0] == '-' && p[1] == '-')
		return skip_line(p);
	if (p[0] == '/' && p[1] == '*' && p[2] != '!')
		return skip_comment(p);
	return p;
}

size_t postgres_sql_translate(struct buf *out, const char *sql)
{
	bool is_for_servers = false;
	size_t n = 0;

	for (const char *p = sql, *end; *p;) {
		if ((end = skip_opaque(p)) > p) {
			buf_add(out, p, (size_t)(end - p));
			p = end;
		} else if (strncmp(p, "/*!", 3) == 0) {
			is_for_servers = true;
			p += 3;
		} else if (is_for_servers && strncmp(p, "*/", 2) == 0) {
			is_for_servers = false;
			p += 2;
		} else if (*p == '?') {
			buf_printf(out, "$%zu", ++n);
			p++;
		} else {
			buf_add_char(out, *p++);
		}
	}
	return n;
}
