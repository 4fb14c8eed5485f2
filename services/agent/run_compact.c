#include "agent/run_compact.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/compact.h"
#include "agent/models/estimate.h"
#include "base/alloc.h"

#define MOST_A_STEP 3
#define SUMMARY_TOKENS 1500
#define TRANSCRIPT_MAX (192 * 1024)
#define TRANSCRIPT_MIN 1000
#define INSTRUCTIONS                                                                                                   \
	"You shorten a conversation between a user and an assistant with tools, so that the assistant can go on "      \
	"with the summary in its place. Keep: what the user wants, in his words where they matter; decisions; "        \
	"facts, names, numbers, paths and results that may be needed again; what is done and what is left. Leave out " \
	"the rest. Answer with the summary only."

struct run_fitting {
	struct run *run;
	void (*on_fit)(struct run *run);
	struct model_call call;
	struct chat_message message;
	struct list messages;
	struct chat_message *cut;
	int64_t before;
};

static struct chat_request request_of(struct run *run)
{
	return (struct chat_request){run->instructions, &run->messages, run->tools, run->n_tools,
				     run->max_output_tokens};
}

/* Tokens by the estimate and by what this provider has counted so far. */
static int64_t tokens_of(struct run *run)
{
	struct chat_request r = request_of(run);

	return (int64_t)((double)estimate_request(&r) * model_place_factor(run->target->place));
}

/* How many tokens the request may have; 0 = as many as it likes. */
static int64_t budget_of(struct run *run, int64_t now, bool is_overflow)
{
	int64_t context = run->target->context, budget;

	if (context == 0)
		return is_overflow ? now * 6 / 10 : 0;
	budget = (context - MIN(run->max_output_tokens, context / 4)) * 9 / 10;
	return is_overflow ? MIN(budget, now * 6 / 10) : budget;
}

/* ---- The summary ---- */

static void replace(struct run_fitting *f, struct str summary)
{
	struct run *run = f->run;
	struct run_mark *mark = arena_new_of(run->arena, struct run_mark);
	_cleanup_(buf_deinit) struct buf text = BUF_INIT;

	id_new(mark->id);
	mark->summary = arena_str(run->arena, summary);
	mark->up_to_seq = compact_replace(run->arena, &run->messages, f->cut, mark->summary);
	mark->tokens_before = f->before;
	mark->tokens_after = tokens_of(run);
	run->mark = mark;
	json_quote(&text, mark->summary);
	run_emit(run, EVENT_CONTEXT_COMPACTED, false,
		 "{\"summary\":%s,\"up_to_message\":%lld,\"tokens_before\":%lld,\"tokens_after\":%lld}", text.p,
		 (long long)mark->up_to_seq, (long long)mark->tokens_before, (long long)mark->tokens_after);
}

void run_fit_free(struct run *run)
{
	if (!run->fitting)
		return;
	model_call_clear(&run->fitting->call);
	free(run->fitting);
	run->fitting = NULL;
}

static void on_done(struct model_call *c, int err)
{
	struct run_fitting *f = c->owner;
	struct run *run = f->run;
	void (*on_fit)(struct run * run) = f->on_fit;

	if (err == -ECANCELED) {
		run_fit_free(run);
		run_on_done(run, -ECANCELED);
		return;
	}
	if (err == 0) {
		run->usage.input_tokens += c->answer.usage.input_tokens;
		run->usage.output_tokens += c->answer.usage.output_tokens;
		run->usage.cached_tokens += c->answer.usage.cached_tokens;
		run->usage.cost_nano += c->answer.usage.cost_nano;
		run->usage.estimated = run->usage.estimated || c->answer.usage.estimated;
	}
	if (err == 0 && str_trim(buf_str(&c->answer.text)).n > 0)
		replace(f, str_trim(buf_str(&c->answer.text)));
	else
		replace(f, compact_plain_summary(run->arena, &run->messages, f->cut, 4 * SUMMARY_TOKENS));
	run_fit_free(run);
	on_fit(run);
}

static void on_text(struct model_call *c, struct str text)
{
}

static void on_retry(struct model_call *c, unsigned attempt, uint64_t wait_ms, const char *reason)
{
}

static void on_fallback(struct model_call *c, const struct model_target *from, const struct model_target *to,
			const char *reason)
{
}

static void on_waiting(struct model_call *c, enum model_hold why)
{
}

static void on_warning(struct model_call *c, const char *code, const char *message)
{
}

/* About half of what the model takes, at two bytes a token, which is fewer than any text has. */
static size_t transcript_size(int64_t budget)
{
	return (size_t)MIN(MAX(budget / 2 * 2, TRANSCRIPT_MIN), TRANSCRIPT_MAX);
}

static void start(struct run *run, struct chat_message *cut, int64_t before, int64_t budget,
		  void (*on_fit)(struct run *run))
{
	struct run_fitting *f = xcalloc(1, sizeof(*f));

	run->fitting = f;
	f->run = run;
	f->on_fit = on_fit;
	f->cut = cut;
	f->before = before;
	list_init(&f->messages);
	f->message = (struct chat_message){
		.role = CHAT_USER,
		.content = compact_transcript(run->arena, &run->messages, cut, transcript_size(budget)),
	};
	list_append(&f->messages, &f->message.link);
	f->call = (struct model_call){
		.agent = run->agent,
		.targets = run->targets,
		.n_targets = run->n_targets,
		.user_id = run->user_id,
		.request = {.instructions = INSTRUCTIONS,
			    .messages = &f->messages,
			    .max_output_tokens = MIN(SUMMARY_TOKENS, MAX(budget / 4, 64))},
		.traceparent = run->step_traceparent,
		.owner = f,
		.on_text = on_text,
		.on_retry = on_retry,
		.on_fallback = on_fallback,
		.on_waiting = on_waiting,
		.on_warning = on_warning,
		.on_done = on_done,
	};
	model_call_start(&f->call);
}

/* ---- Whether it fits ---- */

/* The newest messages are not summed up: their texts are cut when these alone are too much, and the person is told. */
static void cut_newest(struct run *run, int64_t rest, bool is_overflow)
{
	struct chat_message *newest = compact_find_cut(&run->messages, 0);
	int64_t context = run->target->context, room = newest ? rest * 3 / 4 : rest;
	/* Of a context that is not known it is only known that this was too much. */
	size_t left_out =
		compact_cut_texts(run->arena, &run->messages, newest, is_overflow && context == 0 ? room / 2 : room);
	char size[64] = "";

	if (left_out == 0)
		return;
	if (context > 0)
		snprintf(size, sizeof(size), " (%lld tokens)", (long long)context);
	run_emit(
		run, EVENT_MODEL_WARNING, false,
		"{\"code\":\"text_cut\",\"message\":\"A text is longer than the model's context%s: about %zu bytes "
		"were "
		"left out of the middle of what it reads. Send less, put the file into a knowledge collection, or take "
		"a model with a larger context.\"}",
		size, left_out);
}

bool run_fit(struct run *run, bool is_overflow, void (*on_fit)(struct run *run))
{
	int64_t now = tokens_of(run), budget = budget_of(run, now, is_overflow), rest, of_messages = 0;
	struct chat_message *m, *cut;

	if (budget == 0 || now <= budget || run->n_fits >= MOST_A_STEP)
		return false;
	list_foreach (m, &run->messages, struct chat_message, link)
		of_messages += estimate_message(m);
	/* What the messages may have: the budget without instructions and tools. */
	rest = MAX((int64_t)((double)budget / model_place_factor(run->target->place)) -
			   (estimate_request(&(struct chat_request){run->instructions, &run->messages, run->tools,
								    run->n_tools, 0}) -
			    of_messages),
		   budget / 4);
	if (compact_cut_results(run->arena, &run->messages, rest) <= rest)
		return false;
	cut_newest(run, rest, is_overflow);
	if (compact_cut_results(run->arena, &run->messages, rest) <= rest)
		return false;
	cut = compact_find_cut(&run->messages, rest / 2);
	if (!cut)
		return false;
	run->n_fits++;
	start(run, cut, now, budget, on_fit);
	return true;
}

void run_fit_cancel(struct run *run)
{
	model_call_cancel(&run->fitting->call);
}

/* ---- Its mark ---- */

int run_mark_store(struct db_conn *c, const struct run *run, const struct run_mark *mark, int64_t now)
{
	if (!mark)
		return 0;
	return error_only(db_exec(c,
				  "insert into context_marks (id, conversation_id, execution_id, up_to_seq, summary, "
				  "tokens_before, tokens_after, created_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
				  DB_TEXT(mark->id), DB_TEXT(run->conversation_id), DB_TEXT(run->id),
				  DB_INT(mark->up_to_seq), DB_STR(mark->summary), DB_INT(mark->tokens_before),
				  DB_INT(mark->tokens_after), DB_INT(now)));
}

int run_mark_load(struct db_conn *c, struct arena *a, const char *conversation_id, struct run_mark *ret)
{
	_cleanup_(db_done_p) struct db_stmt *st =
		db_query(c,
			 "select m.up_to_seq, m.summary from context_marks m where m.conversation_id = ? and exists "
			 "(select 1 from messages x where x.conversation_id = m.conversation_id and x.execution_id = "
			 "m.execution_id) order by m.up_to_seq desc, m.id desc limit 1",
			 DB_TEXT(conversation_id));
	int r = db_step(c, st);

	if (r == 1) {
		ret->up_to_seq = db_col_int(st, 0);
		ret->summary = arena_str(a, db_col_str(st, 1));
	}
	return r;
}
