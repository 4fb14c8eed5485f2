/* GET /api/commands/{id}/network: which hosts the command may reach, and the connections that it made or was refused.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "egress/hosts.h"
#include "egress/proxy.h"
#include "files.h"
#include "lookup.h"

/* A line of the proxy's log as it is told. */
static void add_connection(struct exchange *x, yyjson_mut_doc *doc, yyjson_mut_val *arr, struct str line)
{
	yyjson_doc *in = json_parse(x->arena, line.p, line.n, NULL);
	yyjson_val *from = yyjson_doc_get_root(in);
	char at[TIME_TEXT_SIZE];
	yyjson_mut_val *obj;

	if (!yyjson_is_obj(from)) /* cut off by a crash */
		return;
	obj = yyjson_mut_arr_add_obj(doc, arr);
	time_format(json_get_int(from, "at_us", 0), at);
	json_add_str(doc, obj, "at", at);
	json_add_str(doc, obj, "host", json_get_str(from, "host", ""));
	yyjson_mut_obj_add_sint(doc, obj, "port", json_get_int(from, "port", 0));
	json_add_str(doc, obj, "address", json_get_str(from, "address", ""));
	json_add_str(doc, obj, "verdict", json_get_str(from, "verdict", ""));
	json_add_str(doc, obj, "reason", json_get_str(from, "reason", ""));
	yyjson_mut_obj_add_sint(doc, obj, "sent", json_get_int(from, "sent", 0));
	yyjson_mut_obj_add_sint(doc, obj, "received", json_get_int(from, "received", 0));
	yyjson_mut_obj_add_sint(doc, obj, "ms", json_get_int(from, "ms", 0));
}

static struct str read_log(struct exchange *x, const struct spec *s)
{
	struct exec *e = x->self;
	int dir = journal_folder(&e->journal, s->id);
	struct str text = {0};

	if (dir >= 0) {
		if (file_read(dir, NETWORK_FILE, EGRESS_LOG_MAX + 4096, x->arena, &text) < 0)
			text = (struct str){0}; /* there was no connection */
		close(dir);
	}
	return text;
}

static void found(struct lookup *l)
{
	struct exchange *x = l->x;
	const struct spec *spec = l->command ? &l->command->spec : &l->entry.spec;
	struct str log = read_log(x, spec), rest = log;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc), *arr;

	if (spec->hosts)
		hosts_add_json(doc, obj, "hosts", spec->hosts);
	else
		yyjson_mut_obj_add_arr(doc, obj, "hosts");
	arr = yyjson_mut_obj_add_arr(doc, obj, "connections");
	while (rest.n)
		add_connection(x, doc, arr, str_cut(&rest, '\n'));
	yyjson_mut_obj_add_bool(doc, obj, "is_cut", log.n >= EGRESS_LOG_MAX);
	reply_json(x, 200, doc);
}

void commands_network(struct exchange *x)
{
	lookup_command(x, found);
}
