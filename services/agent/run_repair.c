/* Orphan repair: before every call of a model, each call in the conversation gets its result. */
#include "agent/run.h"

static struct chat_message *message(struct list *link)
{
	return container_of(link, struct chat_message, link);
}

/* Takes the result of the call out of those that stand behind the answer. */
static struct chat_message *take_result(struct list *results, const char *call_id)
{
	struct chat_message *m;

	list_foreach (m, results, struct chat_message, link) {
		if (m->call_id && strcmp(m->call_id, call_id) == 0) {
			list_remove(&m->link);
			return m;
		}
	}
	return NULL;
}

static struct chat_message *no_result(struct arena *a, const char *call_id)
{
	struct chat_message *m = arena_new_of(a, struct chat_message);

	list_init(&m->link);
	m->role = CHAT_TOOL;
	m->call_id = call_id;
	m->content = STR("No result of this call was recorded.");
	return m;
}

void run_repair(struct arena *a, struct list *messages)
{
	struct list results, *it, *next;

	for (it = messages->next; it != messages; it = next) {
		struct chat_message *m = message(it);
		list_init(&results);
		for (next = it->next; next != messages && message(next)->role == CHAT_TOOL; next = it->next) {
			list_remove(next);
			list_append(&results, next);
		}
		/* What is left over answers no call. */
		for (size_t i = 0; i < m->n_calls; i++) {
			struct chat_message *r = take_result(&results, m->calls[i].id);
			if (!r)
				r = no_result(a, m->calls[i].id);
			list_insert_(next->prev, next, &r->link);
		}
	}
}
