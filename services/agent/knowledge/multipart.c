#include "agent/knowledge/multipart.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#define BOUNDARY_MAX 70
#define HEAD_MAX 8192

/* A parameter of a field: `name="value"` or `name=value`; in the arena, NULL = absent. */
static const char *parameter(struct arena *a, struct str field, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i + len + 1 < field.n; i++) {
		bool is_begin = i > 0 && (field.p[i - 1] == ';' || isspace((unsigned char)field.p[i - 1]));
		if (!is_begin || strncasecmp(field.p + i, name, len) != 0 || field.p[i + len] != '=')
			continue;
		struct str v = {field.p + i + len + 1, field.n - i - len - 1};
		if (v.n > 0 && *v.p == '"') {
			const char *end = memchr(v.p + 1, '"', v.n - 1);
			return end ? arena_strndup(a, v.p + 1, (size_t)(end - v.p) - 1) : NULL;
		}
		size_t n = 0;
		while (n < v.n && v.p[n] != ';' && !isspace((unsigned char)v.p[n]))
			n++;
		return arena_strndup(a, v.p, n);
	}
	return NULL;
}

static struct str field_of(struct str head, const char *name)
{
	size_t len = strlen(name);

	while (head.p && head.n > 0) {
		struct str line = str_cut(&head, '\n');
		if (line.n > len && line.p[len] == ':' && strncasecmp(line.p, name, len) == 0)
			return str_trim((struct str){line.p + len + 1, line.n - len - 1});
	}
	return (struct str){0};
}

static const char *without_folders(const char *name)
{
	for (const char *p = name; *p; p++)
		if (*p == '/' || *p == '\\')
			name = p + 1;
	return name;
}

/* The part up to the next boundary; moves body behind it. False at the end or when it is broken. */
static bool next_part(struct str *body, struct str delimiter, struct str *ret)
{
	const char *end = memmem(body->p, body->n, delimiter.p, delimiter.n);

	if (!end)
		return false;
	*ret = (struct str){body->p, (size_t)(end - body->p)};
	body->n -= ret->n + delimiter.n;
	body->p = end + delimiter.n;
	return true;
}

static bool take_file(struct arena *a, struct str part, struct multipart_file *ret)
{
	const char *end = memmem(part.p, MIN(part.n, (size_t)HEAD_MAX), "\r\n\r\n", 4);
	struct str head;
	const char *name;

	if (!end)
		return false;
	head = (struct str){part.p, (size_t)(end - part.p)};
	name = parameter(a, field_of(head, "Content-Disposition"), "filename");
	if (!name)
		return false;
	ret->name = without_folders(name);
	struct str type = field_of(head, "Content-Type");
	ret->type = type.p ? arena_strndup(a, type.p, type.n) : "";
	ret->bytes = (struct str){end + 4, part.n - head.n - 4};
	return true;
}

int multipart_read(struct arena *a, struct str content_type, struct str body, struct multipart_file *ret,
		   struct error *err)
{
	const char *boundary = parameter(a, content_type, "boundary");
	struct multipart_file other;
	struct str part, delimiter;
	unsigned n = 0;

	if (!boundary || !*boundary || strlen(boundary) > BOUNDARY_MAX)
		return error_set(err, "invalid_multipart",
				 "The multipart body needs a boundary of 1 to 70 characters.");
	delimiter = str_of(arena_printf(a, "\r\n--%s", boundary));
	/* The first one may stand at the very beginning. */
	if (str_has_prefix(body, (struct str){delimiter.p + 2, delimiter.n - 2}))
		body = (struct str){body.p + delimiter.n - 2, body.n - delimiter.n + 2};
	else if (!next_part(&body, delimiter, &part))
		return error_set(err, "invalid_multipart", "The multipart body does not have its boundary in it.");
	while (body.n >= 2 && memcmp(body.p, "--", 2) != 0) {
		if (!next_part(&body, delimiter, &part))
			return error_set(err, "invalid_multipart", "The multipart body breaks off before its end.");
		n += take_file(a, part, n == 0 ? ret : &other);
	}
	if (n != 1)
		return error_set(err, "invalid_multipart",
				 "Send one file in each request, as a part with a filename; this has %u.", n);
	return 0;
}
