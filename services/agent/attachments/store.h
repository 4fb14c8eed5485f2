/* Files of conversations in the database. A row of attachments is a file of one conversation; its bytes are in
 * attachment_parts, once for all who have the same (by SHA-256), and go with the last of them. Worker thread, but for
 * attachment_prepare. */
#pragma once

#include "agent/attachments/room.h"
#include "agent/attachments/sniff.h"
#include "agent/handlers.h"
#include "base/encode.h"
#include "base/list.h"

#define ATTACHMENTS_PER_MESSAGE 10

struct attachment {
	char id[ID_SIZE];
	const char *hash, *name;
	struct attachment_type type;
	int64_t size, created_at;
	struct str bytes; /* of one that is to be stored */
};

/* What comes of storing one. */
enum attachment_result {
	ATTACHMENT_STORED,
	ATTACHMENT_KNOWN, /* the conversation has this file under this name: *file is that one */
	ATTACHMENT_FULL,  /* the conversation has as much as it may */
};

/* On the loop: an id, a clean name, its type, its hash; the bytes must live on. Returns 0 or -EINVAL with err set, as
 * attachment_sniff. */
int attachment_prepare(struct arena *a, struct str bytes, const char *name, struct attachment *ret, struct error *err);

/* Both in a transaction that has locked the conversation's row. enum attachment_result or -errno. */
int attachment_store(struct db_conn *c, struct arena *a, const char *conversation_id, int64_t max_total,
		     struct attachment *file);
/* Removes files that no message has and that are older than `before`; id: only this one, NULL = all. Returns how many
 * or -errno. */
int attachments_drop_unsent(struct db_conn *c, const char *conversation_id, const char *id, int64_t before);

/* 1 found, 0 none, or -errno. */
int attachment_find(struct db_conn *c, struct arena *a, const char *conversation_id, const char *id,
		    struct attachment *ret);
void attachment_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct attachment *file);
/* Appends the bytes. Returns 0, -ENOENT or -errno. */
int attachment_read_bytes(struct db_conn *c, const char *hash, struct buf *out);

/* Gives a message its file number `position`. 1 done, 0 the conversation has no such file, or -errno. */
int attachment_link(struct db_conn *c, const char *conversation_id, const char *message_id, int position,
		    const char *attachment_id);
/* Messages of an execution go; the files stay until nobody has them. Returns 0 or -errno. */
int attachments_unlink_execution(struct db_conn *c, const char *conversation_id, const char *execution_id);
/* All of a conversation. Returns 0 or -errno. */
int attachments_erase(struct db_conn *c, const char *conversation_id);
/* The new conversation `to`, whose messages are there, gets their files from `from`, and those of the message that
 * began the execution, for who sends that again. Returns 0 or -errno. */
int attachments_fork(struct db_conn *c, const char *from, const char *to, const char *execution_id);

/* A file and the message that has it. */
struct attachment_of {
	const char *message_id;
	int64_t message_seq;
	struct attachment file;
};
/* The files of the messages at the places from `after` + 1 to `up_to`, the newest message first, at most `max`. In the
 * arena. Returns how many or -errno. */
int attachments_list(struct db_conn *c, struct arena *a, const char *conversation_id, int64_t after, int64_t up_to,
		     int max, struct attachment_of **ret);

/* Gives the messages (struct chat_message, by their places) what was attached to them: images as they are, texts at the
 * end of the content; what is too much as a note. Returns 0, -ENOBUFS when there is no room for it now, or -errno.
 * must: as attachment_room_take. */
int attachments_load(struct db_conn *c, struct arena *a, const char *conversation_id, struct list *messages,
		     struct attachment_room *room, bool must);
