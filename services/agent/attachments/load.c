/* What a run tells the model of attached files. The newest come first: of older ones only the names are told when it
 * would be too much. */
#include <errno.h>

#include "agent/attachments/store.h"
#include "agent/chat.h"

#define FILES_MAX 200
#define IMAGES_MAX 20
#define IMAGES_MAX_BYTES (20 << 20)
#define TEXT_MAX_BYTES (128 << 10) /* of one file */
#define TEXTS_MAX_BYTES (384 << 10)

struct left {
	int64_t images, image_bytes, text_bytes;
};
#define ALL_LEFT                                              \
	{                                                     \
		IMAGES_MAX, IMAGES_MAX_BYTES, TEXTS_MAX_BYTES \
	}

static struct chat_message *message_at(struct list *messages, int64_t seq)
{
	struct chat_message *m;

	list_foreach (m, messages, struct chat_message, link)
		if (m->seq == seq && m->role == CHAT_USER)
			return m;
	return NULL;
}

static void add_text(struct arena *a, struct chat_message *m, struct str text)
{
	char *joined = arena_alloc(a, m->content.n + text.n + 1);

	if (m->content.n)
		memcpy(joined, m->content.p, m->content.n);
	memcpy(joined + m->content.n, text.p, text.n);
	joined[m->content.n + text.n] = '\0';
	m->content = (struct str){joined, m->content.n + text.n};
}

static void add_note(struct arena *a, struct chat_message *m, const struct attachment *file)
{
	add_text(a, m,
		 str_of(arena_printf(a, "\n\n[%s attached: \"%s\", %lld bytes. It is too much to be shown here.]",
				     file->type.is_image ? "An image was" : "A text was", file->name,
				     (long long)file->size)));
}

static void add_image(struct arena *a, struct chat_message *m, const struct attachment *file, struct str bytes)
{
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	if (!m->images)
		m->images = arena_alloc(a, ATTACHMENTS_PER_MESSAGE * sizeof(*m->images));
	base64_encode(&text, bytes.p, bytes.n);
	m->images[m->n_images++] = (struct chat_image){
		.media_type = file->type.media_type,
		.name = file->name,
		.base64 = arena_str(a, buf_str(&text)),
		.width = file->type.width,
		.height = file->type.height,
	};
}

/* Whole characters only. */
static size_t clip(struct str text, size_t max)
{
	size_t n = MIN(text.n, max);

	while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void add_file(struct arena *a, struct chat_message *m, const struct attachment *file, struct str bytes,
		     size_t most)
{
	_cleanup_(buf_deinit) struct buf out = BUF_INIT;
	size_t n = clip(bytes, MIN(most, (size_t)TEXT_MAX_BYTES));

	buf_printf(&out, "\n\n<attachment name=\"%s\">\n", file->name);
	buf_add(&out, bytes.p, n);
	buf_add_str(&out, "\n</attachment>");
	if (n < bytes.n)
		buf_printf(&out, "\n[The first %zu of its %zu bytes.]", n, bytes.n);
	add_text(a, m, buf_str(&out));
}

static bool has_room(const struct left *left, const struct attachment *file)
{
	if (file->type.is_image)
		return left->images > 0 && left->image_bytes >= file->size;
	return left->text_bytes > 0;
}

/* One that is told: what it takes of what is left, and of memory. */
static int64_t count_file(struct left *left, const struct attachment *file)
{
	int64_t n = MIN(MIN(file->size, left->text_bytes), (int64_t)TEXT_MAX_BYTES);

	if (!file->type.is_image) {
		left->text_bytes -= n;
		return n;
	}
	left->images--;
	left->image_bytes -= file->size;
	return (file->size + 2) / 3 * 4; /* base64 */
}

static int load_one(struct db_conn *c, struct arena *a, struct chat_message *m, const struct attachment *file,
		    struct left *left)
{
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT;
	struct left before = *left;
	int r;

	if (!has_room(left, file) || (file->type.is_image && m->n_images == ATTACHMENTS_PER_MESSAGE)) {
		add_note(a, m, file);
		return 0;
	}
	r = attachment_read_bytes(c, file->hash, &bytes);
	if (r < 0)
		return r;
	count_file(left, file);
	if (file->type.is_image)
		add_image(a, m, file, buf_str(&bytes));
	else
		add_file(a, m, file, buf_str(&bytes), (size_t)before.text_bytes);
	return 0;
}

static int64_t bytes_of(const struct attachment_of *files, int n, struct list *messages)
{
	struct left left = ALL_LEFT;
	int64_t sum = 0;

	for (int i = 0; i < n; i++)
		if (message_at(messages, files[i].message_seq) && has_room(&left, &files[i].file))
			sum += count_file(&left, &files[i].file);
	return sum;
}

int attachments_load(struct db_conn *c, struct arena *a, const char *conversation_id, struct list *messages,
		     struct attachment_room *room, bool must)
{
	struct left left = ALL_LEFT;
	struct attachment_of *files;
	int r = 0, n = attachments_list(c, a, conversation_id, 0, INT64_MAX, FILES_MAX, &files);

	if (n > 0 && !attachment_room_take(room, a, bytes_of(files, n, messages), must))
		return -ENOBUFS;
	for (int i = 0; i < n && r == 0; i++) {
		struct chat_message *m = message_at(messages, files[i].message_seq);
		if (m)
			r = load_one(c, a, m, &files[i].file, &left);
	}
	return n < 0 ? n : r;
}
