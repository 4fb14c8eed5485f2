/* How an answer is paced and what is wrong with it: set for the whole server, by a request's header, or by a line of
 * the message. docs/demo-model.md tells every member; add one in script.c's table and there. */
#pragma once

#include "base/error.h"
#include "base/json.h"

struct demo_script {
	int64_t pace_ms, chunk, first_ms;
	int64_t fail_status, fail_retry_after, fail_times;
	int64_t break_after_chunks, error_after_chunks, hang_after_chunks; /* -1 = never */
	int64_t instant, loop, loop_same, hang;
	int64_t malformed_arguments, null_arguments, object_arguments, empty_arguments, unknown_tool, no_index, no_id;
	int64_t html_error, empty_choices, no_choices, no_done, no_usage, zero_usage, crlf, comments, double_finish;
	int64_t error_in_stream, error_in_body;
	int64_t thoughts, name_late, refusal, filtered, context;
};

extern const struct demo_script demo_script_default;

/* Sets what `obj` names and leaves the rest. Returns 0, or -EINVAL with err set and `s` unchanged. */
int demo_script_apply(struct demo_script *s, yyjson_val *obj, struct error *err);
int demo_script_parse(struct demo_script *s, struct arena *a, struct str json, struct error *err);
void demo_script_write(const struct demo_script *s, yyjson_mut_doc *doc, yyjson_mut_val *obj);
