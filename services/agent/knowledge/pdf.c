#include "agent/knowledge/pdf.h"

#include <errno.h>
#include <stdlib.h>

#define RUN_MS 60000
#define RUN_SECONDS "60"
#define ANSWER_MS 30000
#define TEXT_MAX (32 * 1024 * 1024)
#define REPLY_MAX (256 * 1024)
/* Blocks of 512 bytes (POSIX), KiB, seconds. */
#define SCRIPT                                                       \
	"ulimit -f 65536; ulimit -v 1500000; ulimit -t " RUN_SECONDS \
	"; exec pdftotext -enc UTF-8 -eol unix document.pdf document.txt"

/* What it waits for. */
enum { PDF_MAKING, PDF_PUTTING, PDF_RUNNING, PDF_FETCHING, PDF_CLEANING };

static void on_answer(void *arg, int err, int status, struct str body);

static void call(struct pdf *p, int state, const char *method, const char *target, const char *type, struct str body,
		 size_t max, uint64_t ms)
{
	struct service *s = p->agent->service;
	struct http_headers *headers = service_peer_headers(s, "exec", p->user_id, NULL, NULL, p->arena);

	if (state == PDF_RUNNING)
		http_header_set(headers, "Idempotency-Key",
				arena_printf(p->arena, "knowledge:%s:%lld", p->document_id, (long long)p->claim));
	p->state = state;
	p->fetch = http_fetch(service_peer(s, "exec"), method, target, headers, type, body, max, ms, on_answer, p);
}

static const char *path(struct pdf *p, const char *rest)
{
	return arena_printf(p->arena, "/api/workspaces/k-%s%s", p->document_id, rest);
}

static void finish(struct pdf *p)
{
	arena_free(p->arena);
	p->arena = NULL;
	p->on_done(p, p->is_cancelled ? -ECANCELED : p->error.code[0] ? -EIO : 0);
}

static void clean_up(struct pdf *p)
{
	call(p, PDF_CLEANING, "DELETE", path(p, ""), NULL, (struct str){0}, REPLY_MAX, ANSWER_MS);
}

/* Exec could not be asked, or refused. */
static void fail(struct pdf *p, int err, int status, struct str body)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(p->arena, body.p, body.n, NULL));
	const char *detail = json_get_str(root, "detail", "");

	p->may_retry = err < 0 || status >= 500 || status == 429 || status == 409 || status == 401;
	if (err == -EMSGSIZE)
		error_set(&p->error, "document_too_large", "The PDF has more text than %d MiB: divide it.",
			  TEXT_MAX >> 20);
	else if (err < 0)
		error_set(&p->error, "sandbox_unreachable",
			  "The service that reads PDF in the sandbox cannot be reached (%s). It is tried again.",
			  strerror(-err));
	else
		error_set(&p->error, "sandbox_refused",
			  "The sandbox does not run the program that reads PDF (%d%s%.300s).", status,
			  *detail ? ": " : "", detail);
}

/* How the program ended. */
static void judge(struct pdf *p, struct str body)
{
	yyjson_val *root = yyjson_doc_get_root(json_parse(p->arena, body.p, body.n, NULL));
	const char *status = json_get_str(root, "status", "");
	int64_t code = json_get_int(root, "exit_code", -1);

	if (strcmp(status, "exited") == 0 && code == 0)
		return;
	if (strcmp(status, "exited") == 0 && (code == 127 || code == 126))
		error_set(&p->error, "pdf_reader_missing",
			  "PDF cannot be read here: install poppler-utils where commands run (apt-get install "
			  "poppler-utils), then index the document again.");
	else if (strcmp(status, "exited") == 0)
		error_set(&p->error, "document_unreadable",
			  "The PDF is damaged or needs a password: save it anew without one and send it again.");
	else if (strcmp(status, "timeout") == 0 || strcmp(status, "cpu") == 0)
		error_set(&p->error, "document_too_slow",
			  "Reading the PDF took longer than " RUN_SECONDS " s: divide it, or save it anew.");
	else if (strcmp(status, "running") == 0 || strcmp(status, "lost") == 0) {
		p->may_retry = true;
		error_set(&p->error, "sandbox_unreachable",
			  "The command that reads the PDF was lost. It is tried again.");
	} else
		error_set(&p->error, "document_too_large",
			  "Reading the PDF needs more memory, time or room than it may have (%.20s): divide it, or "
			  "save it "
			  "anew.",
			  status);
}

static void run(struct pdf *p)
{
	static const char fmt[] = "{\"script\":\"" SCRIPT "\",\"workspace\":\"k-%s\",\"timeout_ms\":%d}";
	const char *body = arena_printf(p->arena, fmt, p->document_id, RUN_MS);

	call(p, PDF_RUNNING, "POST", "/api/commands?wait_ms=65000", "application/json", str_of(body), REPLY_MAX,
	     RUN_MS + ANSWER_MS);
}

/* The whole flow: what just came, what is next. */
static void on_answer(void *arg, int err, int status, struct str body)
{
	struct pdf *p = arg;
	bool works = err == 0 && status >= 200 && status < 300;

	p->fetch = NULL;
	if (p->is_cancelled || p->state == PDF_CLEANING) {
		finish(p);
		return;
	}
	switch (p->state) {
	case PDF_MAKING: /* or it is there */
		if (works || status == 409) {
			call(p, PDF_PUTTING, "PUT", path(p, "/files/document.pdf"), "application/octet-stream",
			     p->bytes, REPLY_MAX, ANSWER_MS);
			return;
		}
		break;
	case PDF_PUTTING:
		if (works) {
			run(p);
			return;
		}
		break;
	case PDF_RUNNING:
		if (works)
			judge(p, body);
		if (works && !p->error.code[0]) {
			call(p, PDF_FETCHING, "GET", path(p, "/files/document.txt"), NULL, (struct str){0}, TEXT_MAX,
			     ANSWER_MS);
			return;
		}
		break;
	case PDF_FETCHING:
		if (works)
			buf_add(&p->text, body.p, body.n);
		break;
	}
	if (!works)
		fail(p, err, status, body);
	clean_up(p);
}

void pdf_start(struct pdf *p)
{
	p->arena = arena_new();
	call(p, PDF_MAKING, "POST", "/api/workspaces", "application/json",
	     str_of(arena_printf(p->arena, "{\"id\":\"k-%s\"}", p->document_id)), REPLY_MAX, ANSWER_MS);
}

void pdf_cancel(struct pdf *p)
{
	p->is_cancelled = true;
	if (p->fetch)
		http_fetch_cancel(p->fetch);
}

void pdf_clear(struct pdf *p)
{
	buf_deinit(&p->text);
}
