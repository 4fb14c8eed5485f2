#include "remote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define CODE_TIMEOUT 124

/* ---- Our terminal ---- */

static struct termios saved;
static bool is_raw, has_hook;

void raw_leave(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	is_raw = false;
}

void raw_enter(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	t = saved;
	cfmakeraw(&t);
	is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
	if (!has_hook)
		atexit(raw_leave);
	has_hook = true;
}

struct winsize remote_window(void)
{
	struct winsize w = {.ws_row = 24, .ws_col = 80};

	if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0) || !w.ws_row ||
	    !w.ws_col)
		return (struct winsize){.ws_row = 24, .ws_col = 80};
	return w;
}

bool remote_write(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EAGAIN) {
			struct pollfd full = {.fd = fd, .events = POLLOUT};

			poll(&full, 1, -1);
		} else if (k < 0 && errno != EINTR) {
			return false;
		}
		p += MAX(k, 0);
		n -= (size_t)MAX(k, 0);
	}
	return true;
}

/* ---- The command ---- */

bool remote_is_id(const char *text)
{
	return strspn(text, "0123456789abcdef-") == strlen(text) && strlen(text) < 64;
}

int remote_exit_code(yyjson_val *command)
{
	const char *status = json_get_str(command, "status", ""), *reason = json_get_str(command, "reason", NULL);
	int code = (int)json_get_int(command, "exit_code", -1), sig = (int)json_get_int(command, "signal", 0);

	if (strcmp(status, "exited") == 0 && code >= 0) {
		if (reason && code >= 126)
			fprintf(stderr, "ogent: %s\n", reason);
		return code;
	}
	if (strcmp(status, "signalled") == 0 && sig > 0)
		return 128 + sig;
	fprintf(stderr, "ogent: %s%s%s\n", status, reason ? ": " : "", reason ? reason : "");
	return strcmp(status, "timeout") == 0     ? CODE_TIMEOUT
	       : strcmp(status, "oom") == 0       ? 128 + SIGKILL
	       : strcmp(status, "quota") == 0     ? 128 + SIGKILL
	       : strcmp(status, "cpu") == 0       ? 128 + SIGXCPU
	       : strcmp(status, "cancelled") == 0 ? 128 + SIGTERM
						  : REMOTE_CODE_PLATFORM;
}

static void add_tty(yyjson_mut_doc *doc, yyjson_mut_val *obj)
{
	yyjson_mut_val *tty = yyjson_mut_obj_add_obj(doc, obj, "tty");
	struct winsize w = remote_window();

	yyjson_mut_obj_add_uint(doc, tty, "rows", w.ws_row);
	yyjson_mut_obj_add_uint(doc, tty, "cols", w.ws_col);
	if (getenv("TERM") && *getenv("TERM"))
		yyjson_mut_obj_add_str(doc, tty, "term", getenv("TERM"));
}

int remote_create(struct session *s, const struct remote_spec *spec, char ret_id[static 64])
{
	struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *arr = yyjson_mut_obj_add_arr(doc, obj, "argv");
	yyjson_val *answer = NULL;
	uint64_t ms = 0;
	int code;

	for (char **argv = spec->argv; *argv; argv++)
		yyjson_mut_arr_add_str(doc, arr, *argv);
	yyjson_mut_obj_add_bool(doc, obj, "stdin_open", true);
	if (spec->has_tty)
		add_tty(doc, obj);
	if (spec->workspace)
		yyjson_mut_obj_add_str(doc, obj, "workspace", spec->workspace);
	if (spec->is_shared)
		yyjson_mut_obj_add_str(doc, obj, "sandbox", "session");
	if (spec->target)
		yyjson_mut_obj_add_str(doc, obj, "target", spec->target);
	if (spec->cwd)
		yyjson_mut_obj_add_str(doc, obj, "cwd", spec->cwd);
	if (spec->timeout && str_to_u64(str_of(spec->timeout), INT32_MAX, &ms) == 0)
		yyjson_mut_obj_add_uint(doc, obj, "timeout_ms", ms);
	code = session_call(s, a, "POST", "/api/commands", json_text(a, doc), &answer);
	if (code == EXIT_OK)
		snprintf(ret_id, 64, "%s", json_get_str(answer, "id", ""));
	arena_free(a);
	return code;
}
