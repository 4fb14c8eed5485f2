/* Engine.IO payloads and Socket.IO packets: what is read is written back as it was and read again. */
#include <stdlib.h>

#include "base/alloc.h"
#include "engine_codec.h"
#include "socketio_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_packet(struct arena *a, struct str text)
{
	_cleanup_(buf_deinit) struct buf written = BUF_INIT;
	struct socketio_packet p, again;
	yyjson_val *payload;

	if (!socketio_packet_read(text, &p) || !socketio_payload_read(a, &p, &payload))
		return;
	check(p.nsp.n > 0 && p.nsp.p[0] == '/' && p.nsp.n <= SOCKETIO_MAX_NAMESPACE);
	check(p.attachments <= SOCKETIO_MAX_ATTACHMENTS);
	socketio_packet_write(&written, &p);
	check(socketio_packet_read(buf_str(&written), &again));
	check(again.type == p.type && again.id == p.id && again.attachments == p.attachments);
	check(str_eq(again.nsp, p.nsp) && str_eq(again.json, p.json));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	_cleanup_(buf_deinit) struct buf bytes = BUF_INIT, written = BUF_INIT;
	char *copy = xmalloc(n + 1); /* NUL is a byte like others here */
	struct str rest = {copy, n};
	struct engine_query q;
	struct engine_packet p;
	bool is_whole = true;

	if (n)
		memcpy(copy, data, n);
	copy[n] = '\0';
	engine_query_read(a, rest, &q);
	while (rest.p && is_whole) {
		is_whole = engine_payload_next(&rest, &bytes, &p);
		if (!is_whole)
			break;
		engine_payload_add(&written, &p);
		if (p.type == ENGINE_MESSAGE && !p.is_binary)
			read_packet(a, p.data);
	}
	if (is_whole)
		check(str_eq(buf_str(&written), (struct str){copy, n}));
	free(copy);
	return 0;
}
