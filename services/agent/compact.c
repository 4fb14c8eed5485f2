#include "agent/compact.h"

#include "agent/clip.h"
#include "agent/models/estimate.h"

#define RESULT_HEAD 1500
#define RESULT_TAIL 1000
#define MIN_PIECE 200
#define TEXT_KEPT 2000
#define HEADER "[What was said before, in short. The messages themselves are no longer here.]\n"

static struct chat_message *message(const struct list *link)
{
	return container_of(link, struct chat_message, link);
}

static int64_t count(struct list *messages)
{
	struct chat_message *m;
	int64_t n = 0;

	list_foreach (m, messages, struct chat_message, link)
		n += estimate_message(m);
	return n;
}

static struct str shorten(struct arena *a, struct str text, size_t head, size_t tail)
{
	struct clip c;
	struct buf out = BUF_INIT;

	clip_init(&c, head, tail);
	clip_add(&c, text);
	clip_write(&c, &out);
	text = arena_str(a, buf_str(&out));
	buf_deinit(&out);
	clip_deinit(&c);
	return text;
}

int64_t compact_cut_results(struct arena *a, struct list *messages, int64_t budget)
{
	int64_t now = count(messages);
	struct chat_message *m;

	for (int spared = 2; spared >= 0 && now > budget; spared -= 2) {
		int results = 0;
		list_foreach (m, messages, struct chat_message, link)
			results += m->role == CHAT_TOOL;
		list_foreach (m, messages, struct chat_message, link) {
			int64_t before = estimate_message(m);
			if (m->role != CHAT_TOOL || results-- <= spared || now <= budget ||
			    m->content.n <= RESULT_HEAD + RESULT_TAIL + MIN_PIECE)
				continue;
			m->content = shorten(a, m->content, RESULT_HEAD, RESULT_TAIL);
			now += estimate_message(m) - before;
		}
	}
	return now;
}

static struct chat_message *longest(struct list *messages, struct list *first)
{
	struct chat_message *found = NULL;

	for (struct list *it = first; it != messages; it = it->next)
		if (!found || message(it)->content.n > found->content.n)
			found = message(it);
	return found && found->content.n > TEXT_KEPT + 2 * MIN_PIECE ? found : NULL;
}

/* Takes at least `excess` tokens off, if what must stay allows it: the question stands before what was attached. */
static size_t cut_text(struct arena *a, struct chat_message *m, int64_t excess)
{
	struct str whole = m->content;
	int64_t tokens = estimate_text(whole), wanted = MAX(tokens - excess, 1);
	size_t kept = (size_t)((double)whole.n * (double)wanted / (double)MAX(tokens, 1));

	do {
		kept = MAX(kept * 9 / 10, (size_t)TEXT_KEPT);
		m->content = shorten(a, whole, kept * 3 / 4, kept / 4);
	} while (kept > TEXT_KEPT && estimate_text(m->content) > wanted);
	return whole.n - kept;
}

size_t compact_cut_texts(struct arena *a, struct list *messages, struct chat_message *from, int64_t budget)
{
	struct list *first = from ? &from->link : messages->next;
	struct chat_message *m;
	int64_t now = 0, before;
	size_t left_out = 0;

	for (struct list *it = first; it != messages; it = it->next)
		now += estimate_message(message(it));
	while (now > budget && (m = longest(messages, first))) {
		before = estimate_message(m);
		left_out += cut_text(a, m, now - budget);
		now += estimate_message(m) - before;
	}
	return left_out;
}

struct chat_message *compact_find_cut(struct list *messages, int64_t budget)
{
	struct chat_message *cut = NULL;
	int64_t n = 0;

	for (struct list *it = messages->prev; it != messages; it = it->prev) {
		n += estimate_message(message(it));
		if (cut && n > budget)
			break;
		/* A result stays with the answer that asked for it. */
		if (message(it)->role != CHAT_TOOL)
			cut = message(it);
	}
	return cut && cut->link.prev != messages ? cut : NULL;
}

static const char *const names[] = {[CHAT_USER] = "User", [CHAT_ASSISTANT] = "Assistant", [CHAT_TOOL] = "Result"};

struct str compact_transcript(struct arena *a, struct list *messages, const struct chat_message *cut, size_t max_bytes)
{
	struct buf out = BUF_INIT;
	size_t n = 0, each;

	for (struct list *it = messages->next; it != &cut->link; it = it->next)
		n++;
	each = MAX(max_bytes / (n + 1), (size_t)MIN_PIECE);
	for (struct list *it = messages->next; it != &cut->link; it = it->next) {
		const struct chat_message *m = message(it);
		struct str text = m->content.n > each ? shorten(a, m->content, each * 2 / 3, each / 3) : m->content;
		buf_printf(&out, "%s: %.*s\n", names[m->role], STR_ARG(text));
		for (size_t i = 0; i < m->n_images; i++)
			buf_printf(&out, "(with the image %s)\n", m->images[i].name);
		for (size_t i = 0; i < m->n_calls; i++) {
			struct str arguments = m->calls[i].arguments;
			buf_printf(&out, "(calls %s with %.*s)\n", m->calls[i].name,
				   (int)MIN(arguments.n, (size_t)MIN_PIECE), arguments.p ? arguments.p : "");
		}
	}
	struct str all = shorten(a, buf_str(&out), max_bytes / 2, max_bytes / 2);
	buf_deinit(&out);
	return all;
}

struct str compact_plain_summary(struct arena *a, struct list *messages, const struct chat_message *cut,
				 size_t max_bytes)
{
	struct buf out = BUF_INIT;

	buf_add_str(&out, "The user said, in this order:\n");
	for (struct list *it = messages->next; it != &cut->link; it = it->next) {
		const struct chat_message *m = message(it);
		if (m->role == CHAT_USER)
			buf_printf(&out, "- %.*s\n", STR_ARG(shorten(a, m->content, MIN_PIECE, MIN_PIECE)));
	}
	struct str all = shorten(a, buf_str(&out), max_bytes / 2, max_bytes / 2);
	buf_deinit(&out);
	return all;
}

struct chat_message *compact_message(struct arena *a, struct str summary)
{
	struct chat_message *m = arena_new_of(a, struct chat_message);

	list_init(&m->link);
	m->role = CHAT_USER;
	m->content = str_of(arena_printf(a, HEADER "%.*s", STR_ARG(summary)));
	return m;
}

int64_t compact_replace(struct arena *a, struct list *messages, struct chat_message *cut, struct str summary)
{
	while (messages->next != &cut->link)
		list_remove(messages->next);
	list_prepend(messages, &compact_message(a, summary)->link);
	return cut->seq - 1;
}
