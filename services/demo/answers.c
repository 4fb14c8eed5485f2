#include "answers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

#define MAX_QUOTE 4000

static bool read_object(struct arena *a, struct str content, struct demo_result *r)
{
	yyjson_doc *doc = content.n > 0 && content.p[0] == '{' ? json_parse(a, content.p, content.n, NULL) : NULL;
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	const char *output = json_get_str(root, "output", json_get_str(root, "stdout", NULL));

	if (!output)
		return false;
	r->output = str_of(output);
	r->status = (int)json_get_int(root, "exit_code", -1);
	return true;
}

void demo_result_read(struct arena *a, const char *command, struct str content, struct demo_result *r)
{
	static const struct str head = STR("Exit status: ");
	struct str rest = content;

	*r = (struct demo_result){.command = command, .output = content, .status = -1, .has_failed = true};
	if (read_object(a, content, r)) {
		r->has_failed = false;
	} else if (str_has_prefix(content, head)) {
		str_cut(&rest, '\n');
		r->status = atoi(arena_strndup(a, content.p + head.n, MIN(content.n - head.n, 8)));
		r->output = rest.p ? rest : STR("");
		r->has_failed = false;
	}
	if (str_is(str_trim(r->output), "It wrote nothing."))
		r->output = STR("");
}

/* A fence longer than any in the text. */
static void quote(struct buf *out, struct str text)
{
	size_t fence = 3, run = 0;

	for (size_t i = 0; i < text.n; i++) {
		run = text.p[i] == '`' ? run + 1 : 0;
		fence = MAX(fence, run + 1);
	}

	size_t n = MIN(text.n, MAX_QUOTE);

	while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	buf_printf(out, "%.*s\n", (int)MIN(fence, 40), "````````````````````````````````````````");
	buf_add(out, text.p, n);
	if (n == 0 || text.p[n - 1] != '\n')
		buf_add_char(out, '\n');
	buf_printf(out, "%.*s\n", (int)MIN(fence, 40), "````````````````````````````````````````");
	if (n < text.n)
		buf_printf(out, "\n… and %zu bytes more.\n", text.n - n);
}

/* The n-th field, counted from 0, of a line; blanks divide. */
static struct str field(struct str line, unsigned n)
{
	struct str f = {0};

	for (unsigned i = 0; i <= n; i++) {
		line = str_trim(line);
		if (line.n == 0)
			return (struct str){0};
		f = str_cut(&line, ' ');
	}
	return f;
}

static struct str last_line(struct str text)
{
	struct str line = {0};

	while (text.p && text.n > 0) {
		struct str l = str_cut(&text, '\n');

		if (str_trim(l).n > 0)
			line = l;
	}
	return line;
}

/* Each of these says a sentence about the output, or returns false where it does not look as expected. */
static bool say_disk(struct buf *out, struct str output)
{
	struct str line = last_line(output), size = field(line, 1), free_space = field(line, 3), used = field(line, 4);

	if (!used.p || !str_has_suffix(used, STR("%")))
		return false;
	buf_printf(out, "%.*s of %.*s are free on the disk of the workspace (%.*s used).", STR_ARG(free_space),
		   STR_ARG(size), STR_ARG(used));
	return true;
}

static bool read_kib(struct str output, struct str name, uint64_t *ret)
{
	while (output.p) {
		struct str line = str_cut(&output, '\n');

		if (str_has_prefix(line, name))
			return str_to_u64(field(line, 1), UINT64_MAX / 1024, ret) == 0;
	}
	return false;
}

static bool say_memory(struct buf *out, struct str output)
{
	uint64_t total, available;

	if (!read_kib(output, STR("MemTotal:"), &total) || !read_kib(output, STR("MemAvailable:"), &available))
		return false;
	buf_printf(out, "%llu MiB of %llu MiB of memory are available.", (unsigned long long)available / 1024,
		   (unsigned long long)total / 1024);
	return true;
}

static bool say_kernel(struct buf *out, struct str output)
{
	struct str name = field(output, 0), release = field(output, 2);

	if (!release.p)
		return false;
	buf_printf(out, "The kernel is %.*s %.*s.", STR_ARG(name), STR_ARG(release));
	return true;
}

static bool say_who(struct buf *out, struct str output)
{
	struct str uid = field(output, 0), id = uid, name;

	if (!str_has_prefix(uid, STR("uid=")))
		return false;
	str_cut(&id, '=');
	name = id;
	id = str_cut(&name, '(');
	if (name.p)
		name = str_cut(&name, ')');
	if (name.n > 0)
		buf_printf(out, "Commands run here as the user %.*s, with the number %.*s.", STR_ARG(name),
			   STR_ARG(id));
	else
		buf_printf(out, "Commands run here as the user with the number %.*s.", STR_ARG(id));
	return true;
}

static bool say_files(struct buf *out, struct str output)
{
	unsigned n = 0;

	if (!str_has_prefix(output, STR("total ")))
		return false;
	while (output.p) {
		struct str line = str_trim(str_cut(&output, '\n'));

		if (line.n > 0 && !str_has_prefix(line, STR("total ")) && !str_has_suffix(line, STR(" .")) &&
		    !str_has_suffix(line, STR(" ..")))
			n++;
	}
	if (n == 0)
		buf_add_str(out, "The folder is empty.");
	else
		buf_printf(out, n == 1 ? "There is one entry in the folder." : "There are %u entries in the folder.",
			   n);
	return true;
}

static bool say_words(struct buf *out, struct str output)
{
	uint64_t n;

	if (str_to_u64(str_trim(output), 1000000000, &n) < 0)
		return false;
	buf_printf(out, n == 1 ? "The text has one word." : "The text has %llu words.", (unsigned long long)n);
	return true;
}

static bool say(struct buf *out, enum demo_topic topic, struct str output)
{
	switch (topic) {
	case DEMO_DISK: return say_disk(out, output);
	case DEMO_MEMORY: return say_memory(out, output);
	case DEMO_KERNEL: return say_kernel(out, output);
	case DEMO_WHO: return say_who(out, output);
	case DEMO_FILES: return say_files(out, output);
	case DEMO_WORDS: return say_words(out, output);
	default: return false;
	}
}

static void say_result(struct buf *out, enum demo_topic topic, const struct demo_result *r)
{
	bool is_empty = str_trim(r->output).n == 0;

	if (r->has_failed)
		buf_printf(out, "`%s` was not run to its end:", r->command);
	else if (r->status > 0)
		buf_printf(out, "`%s` ended with status %d%s", r->command, r->status,
			   is_empty ? " and wrote nothing." : ":");
	else if (is_empty)
		buf_printf(out, "`%s` ran and wrote nothing.", r->command);
	else if (!say(out, topic, r->output))
		buf_printf(out, "`%s` says:", r->command);
	buf_add_char(out, '\n');
	if (!is_empty) {
		buf_add_char(out, '\n');
		quote(out, r->output);
	}
}

#define WHAT_I_AM                                                                                                  \
	"I am Ogent's demo model: a small program that answers by fixed rules, not a language model. I can run a " \
	"command for you (write `run: uname -a`), and I know questions about disk space, memory, the kernel, the " \
	"current user, the files here and the number of words in a text. For real answers set OPENAI_API_KEY, or " \
	"start Ollama, and start Ogent again."

void demo_answer(struct buf *out, const struct demo_wish *w, const struct demo_result *results, unsigned n)
{
	if (w->topic == DEMO_NO_TEXT)
		buf_add_str(out, "Which text? Put it in quotation marks, as in: count the words in \"one two three\".");
	else if (n == 0)
		buf_add_str(out, WHAT_I_AM);
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(out, '\n');
		say_result(out, w->topic, &results[i]);
	}
}

void demo_answer_without_tool(struct buf *out, const struct demo_wish *w)
{
	buf_printf(out,
		   "I would run `%s`, but I was given no tool named `shell`. Add it to this agent's tools, then ask "
		   "again.",
		   w->steps[0].commands[0]);
}
