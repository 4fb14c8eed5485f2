#include "egress/hosts.h"

#include <errno.h>

int hosts_read(struct arena *a, yyjson_val *arr, const char *what, struct egress_rules **ret, struct error *err)
{
	struct egress_rules *rules;
	yyjson_val *item;
	size_t i, max;

	*ret = NULL;
	if (!arr || yyjson_arr_size(arr) == 0)
		return yyjson_is_arr(arr) || !arr ? 0 : error_set(err, "invalid_field", "%s is a list of hosts.", what);
	rules = arena_new_of(a, struct egress_rules);
	yyjson_arr_foreach(arr, i, max, item)
	{
		struct str text = {yyjson_get_str(item), yyjson_get_len(item)};

		if (!yyjson_is_str(item))
			return error_set(err, "invalid_field", "%s is a list of hosts.", what);
		if (egress_rules_add(rules, text, what, err))
			return -EINVAL;
	}
	*ret = rules;
	return 0;
}

void hosts_add_json(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, const struct egress_rules *hosts)
{
	yyjson_mut_val *arr = hosts ? yyjson_mut_obj_add_arr(doc, obj, key) : NULL;
	char text[EGRESS_NAME_SIZE + 16];

	for (size_t i = 0; hosts && i < hosts->n; i++) {
		egress_rule_format(&hosts->items[i], text, sizeof(text));
		yyjson_mut_arr_add_strcpy(doc, arr, text);
	}
}
