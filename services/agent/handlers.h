/* What the files of the resources share: the handlers of routes.c, and jobs that decide the answer. */
#pragma once

#include "agent/agent.h"
#include "base/clock.h"
#include "base/id.h"

/* A job whose `run` decides what is answered. Embed it first; start it with answer_read or answer_write. */
struct answer {
	struct exchange_job job;
	int status;
	struct str body; /* JSON, in the exchange's arena; p NULL = none */
	const char *etag, *location;
	const char *code, *detail; /* a problem instead of a body */
};

/* For `return answer_problem(…)` in run: the transaction is rolled back and this is answered. */
int answer_problem(struct answer *a, int status, const char *code, const char *detail);
int answer_not_found(struct answer *a, const char *what);
int answer_json(struct answer *a, int status, yyjson_mut_doc *doc);
/* An agent that the exchange's user may use: 0 and its name in the arena, 1 after setting 404 `agent_not_found`, or
 * -errno. */
int answer_find_agent(struct db_conn *c, struct answer *a, const char *id, const char **ret_name);
/* 200 with a file that a browser downloads and never opens in our name. name: of the file, in UTF-8. */
void reply_download(struct exchange *x, const char *type, const char *name, struct str bytes);
/* For creating POSTs: 0 = go on; anything else is to be returned from run: the answer is known, or it failed. */
int answer_known(struct db_conn *c, struct answer *a);
/* Keeps a creation's answer for its Idempotency-Key. Returns 0 or -errno. */
int answer_keep(struct db_conn *c, struct answer *a);
void answer_read(struct exchange *x, struct answer *a, int (*run)(struct db_conn *c, struct exchange_job *job));
/* Reads for a page of rows, which ?limit and ?after choose; `run` gets a struct page_answer. */
struct page_answer {
	struct answer answer;
	struct page page;
};
void answer_page(struct exchange *x, int (*run)(struct db_conn *c, struct exchange_job *job));
void answer_write(struct exchange *x, struct answer *a, int (*run)(struct db_conn *c, struct exchange_job *job));
/* `done` for a job that does more after answering. */
void answer_send(struct exchange_job *job, int result);

/* Behind every id, in whatever order a database has for texts. */
#define ID_LAST "ffffffff-ffff-ffff-ffff-ffffffffffff"

/* Adds a time, or null for 0. */
void add_time(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int64_t us);
/* The id from the path, "" (which is nobody's) when it is no id. */
const char *path_id(const struct exchange *x);
/* Asks for all conversations and executions, not only own ones. */
bool sees_all_conversations(const struct exchange *x);
bool sees_all_executions(const struct exchange *x);

void agents_list(struct exchange *x);
void agents_create(struct exchange *x);
void agents_get(struct exchange *x);
void agents_patch(struct exchange *x);
void agents_restore(struct exchange *x);
void agents_archive(struct exchange *x);
void agents_list_versions(struct exchange *x);
void agents_diff_versions(struct exchange *x);
void agents_share(struct exchange *x);
void agents_list_templates(struct exchange *x);
void agents_export(struct exchange *x);
void agents_import(struct exchange *x);
void models_list(struct exchange *x);
void model_providers_list(struct exchange *x);
void model_providers_create(struct exchange *x);
void model_providers_get(struct exchange *x);
void model_providers_patch(struct exchange *x);
void model_providers_delete(struct exchange *x);
void model_providers_test(struct exchange *x);
void conversations_list(struct exchange *x);
void conversations_create(struct exchange *x);
void conversations_get(struct exchange *x);
void conversations_patch(struct exchange *x);
void conversations_delete(struct exchange *x);
void messages_list(struct exchange *x);
void messages_send(struct exchange *x);
void memory_list(struct exchange *x);
void memory_save(struct exchange *x);
void memory_remove(struct exchange *x);
void memory_clear(struct exchange *x);
void agent_approvals_list(struct exchange *x);
void agent_approvals_get(struct exchange *x);
void agent_approvals_decide(struct exchange *x);
void executions_list(struct exchange *x);
void executions_get(struct exchange *x);
void executions_resume(struct exchange *x);
void executions_fork(struct exchange *x);
void usage_get(struct exchange *x);
void budgets_get(struct exchange *x);
void budgets_put(struct exchange *x);
void executions_cancel(struct exchange *x);
void executions_events(struct exchange *x);
/* Streams of this execution (NULL: of all) that another process works on look into the database now. */
void events_wake(struct agent *agent, const char *execution_id);
/* automation/ */
route_handler batches_list, batches_create, batches_get, batches_patch, batches_retry,
	batches_delete; /* batches/api.c */
route_handler evaluations_list, evaluations_create, evaluations_get, evaluations_patch,
	evaluations_delete; /* evaluations/sets.c */
route_handler evaluation_cases_list, evaluation_cases_create, evaluation_cases_patch, evaluation_cases_delete,
	evaluation_cases_import, evaluation_cases_export;                  /* evaluations/cases.c */
route_handler evaluation_runs_list, evaluation_runs_create;                /* evaluations/runs.c */
route_handler evaluation_runs_rows, evaluation_runs_results;               /* evaluations/results.c */
route_handler evaluation_runs_compare;                                     /* evaluations/comparison.c */
route_handler batches_rows, batches_results;                               /* batches/results.c */
route_handler attachments_create, attachments_content, attachments_delete; /* attachments/api.c */
route_handler triggers_list, triggers_create, triggers_patch, triggers_delete, triggers_incoming;
route_handler hooks_list, hooks_create, hooks_get, hooks_patch, hooks_delete, hooks_rotate, hooks_ping,
	hooks_deliveries, hooks_delivery, hooks_redeliver;
route_handler schedules_list, schedules_create, schedules_get, schedules_patch, schedules_delete, schedules_run,
	schedules_firings, schedules_preview;
route_handler apis_list, apis_get, apis_get_operation, apis_delete, apis_share;           /* apis/source.c */
route_handler apis_create, apis_patch, apis_put_document;                                 /* apis/change.c */
route_handler user_gone;                                                                  /* user_gone.c */
route_handler retention_preview;                                                          /* retention_api.c */
route_handler erasures_list;                                                              /* account/api.c */
route_handler exports_list, exports_create, exports_get, exports_delete, exports_content; /* account/export_api.c */
