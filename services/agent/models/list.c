/* GET /api/models. */
#include "agent/handlers.h"
#include "agent/models/choice.h"

void models_list(struct exchange *x)
{
	struct agent *agent = x->self;
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(x->arena, &doc);

	models_describe(agent->models, x->who.user_id, doc, obj);
	reply_json(x, 200, doc);
}
