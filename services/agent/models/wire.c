#include "agent/models/wire.h"

#include <ctype.h>

#include "base/json.h"

#define MAX_ID 40

bool wire_is_object(struct str s)
{
	yyjson_doc *doc = s.n ? yyjson_read(s.p, s.n, 0) : NULL;
	bool ok = yyjson_is_obj(yyjson_doc_get_root(doc));

	yyjson_doc_free(doc);
	return ok;
}

static bool is_plain(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return false;
	return n > 0 && n <= MAX_ID;
}

/* FNV-1a: it only has to tell the calls of one conversation apart. */
static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3;
	return h;
}

void wire_id(struct buf *out, const char *id)
{
	if (is_plain(id))
		json_quote(out, str_of(id));
	else
		buf_printf(out, "\"call_%016llx\"", (unsigned long long)hash(id));
}

void wire_name(struct buf *out, const char *name)
{
	if (is_plain(name))
		json_quote(out, str_of(name));
	else
		buf_printf(out, "\"unknown_%08llx\"", (unsigned long long)(hash(name) & 0xffffffff));
}

void wire_member(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, ",\"%s\":", name);
	json_quote(out, value);
}

yyjson_val *wire_opaque(struct arena *a, const struct model_target *t, const struct chat_message *m)
{
	yyjson_val *root;

	if (!m->opaque)
		return NULL;
	root = yyjson_doc_get_root(json_parse(a, m->opaque, strlen(m->opaque), NULL));
	if (strcmp(json_get_str(root, "dialect", ""), t->provider->name) != 0 ||
	    strcmp(json_get_str(root, "model", ""), t->model) != 0)
		return NULL;
	return root;
}

void wire_opaque_begin(struct buf *out, const struct model_target *t)
{
	buf_printf(out, "{\"dialect\":\"%s\"", t->provider->name);
	wire_member(out, "model", str_of(t->model));
}

bool wire_is_in_loop(const struct chat_request *r, const struct chat_message *m)
{
	for (const struct list *it = m->link.next; it != r->messages; it = it->next)
		if (container_of(it, const struct chat_message, link)->role == CHAT_USER)
			return false;
	return true;
}

const char *wire_called_name(const struct chat_request *r, const struct chat_message *m)
{
	for (const struct list *it = m->link.prev; it != r->messages; it = it->prev) {
		const struct chat_message *before = container_of(it, const struct chat_message, link);
		for (size_t i = 0; i < before->n_calls; i++)
			if (m->call_id && strcmp(before->calls[i].id, m->call_id) == 0)
				return before->calls[i].name;
	}
	return "";
}

void wire_tools(struct buf *out, const struct chat_request *r)
{
	buf_add_str(out, ",\"tools\":[");
	for (size_t i = 0; i < r->n_tools; i++) {
		buf_printf(out, "%s{\"type\":\"function\",\"function\":{\"name\":\"%s\",\"description\":", i ? "," : "",
			   r->tools[i]->name);
		json_quote(out, str_of(r->tools[i]->description));
		buf_printf(out, ",\"parameters\":%s}}", r->tools[i]->parameters);
	}
	buf_add_char(out, ']');
}

/* What Anthropic takes of one image; the others take more than can be attached. */
#define ANTHROPIC_IMAGE_BYTES (5 << 20) /* as base64 */
#define ANTHROPIC_IMAGE_SIDE 8000

bool wire_takes_image(const struct model_target *t, const struct chat_image *i)
{
	return t->images && (t->provider != &provider_anthropic ||
			     (i->base64.n <= ANTHROPIC_IMAGE_BYTES && i->width <= ANTHROPIC_IMAGE_SIDE &&
			      i->height <= ANTHROPIC_IMAGE_SIDE));
}

size_t wire_n_images(const struct model_target *t, const struct chat_message *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_images; i++)
		n += wire_takes_image(t, &m->images[i]);
	return n;
}

struct str wire_user_text(struct arena *a, const struct model_target *t, const struct chat_message *m)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;

	if (wire_n_images(t, m) == m->n_images)
		return m->content;
	buf_add(&out, m->content.p, m->content.n);
	for (size_t i = 0; i < m->n_images; i++)
		if (!wire_takes_image(t, &m->images[i]))
			buf_printf(&out, "\n\n[The image \"%s\" was attached, which %s.]", m->images[i].name,
				   t->images ? "is too large for this model's provider" : "this model cannot see");
	return arena_str(a, buf_str(&out));
}
