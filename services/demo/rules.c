#include "rules.h"

#include <ctype.h>

#include "base/buf.h"

/* A pattern is a list of words that must all be there; "a_b" is a phrase, "a*" the beginning of a word. */
struct rule {
	enum demo_topic topic;
	const char *command;
	const char *patterns[12];
};

/* The first rule with a pattern that fits wins. */
static const struct rule rules[] = {
	{DEMO_WORDS, NULL, {"count word*", "how_many words", "number words", "word_count", "wc"}},
	{DEMO_DISK,
	 "df -h .",
	 {"disk", "disks", "storage", "filesystem*", "file_system", "free_space", "space left", "space free",
	  "space available", "drive full"}},
	{DEMO_MEMORY, "head -n 3 /proc/meminfo", {"memory", "ram", "meminfo"}},
	{DEMO_KERNEL,
	 "uname -a",
	 {"kernel*", "uname", "linux version", "which linux", "what linux", "operating_system", "which os", "what os"}},
	{DEMO_WHO,
	 "id",
	 {"who_am_i", "whoami", "who_are_you running", "which user", "what user", "user_name", "username", "user_id",
	  "my user", "current_user", "logged_in"}},
	{DEMO_FILES,
	 "ls -la",
	 {"list file*", "list folder*", "list director*", "show file*", "show folder*", "show director*", "which files",
	  "what files", "any files", "what is_in folder", "what is_in director*", "ls"}},
};

/* Lower-case words with one blank around each, so that a search for " word " finds whole words. */
static const char *normalize(struct arena *a, struct str text)
{
	char *out = arena_alloc(a, text.n + 3);
	size_t n = 0;

	out[n++] = ' ';
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (isalnum(c) || c >= 0x80)
			out[n++] = (char)tolower(c);
		else if (c != '\'' && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	if (out[n - 1] != ' ')
		out[n++] = ' ';
	return out;
}

static bool has_word(const char *words, struct str wanted)
{
	char form[64] = " ";
	size_t n = MIN(wanted.n, sizeof(form) - 3);
	bool is_prefix = wanted.p[wanted.n - 1] == '*';

	memcpy(form + 1, wanted.p, n);
	for (size_t i = 1; i <= n; i++)
		if (form[i] == '_')
			form[i] = ' ';
	if (is_prefix)
		form[n] = 0;
	else
		form[n + 1] = ' ';
	return strstr(words, form) != NULL;
}

static bool fits(const char *words, const char *pattern)
{
	struct str rest = str_of(pattern);

	while (rest.p)
		if (!has_word(words, str_cut(&rest, ' ')))
			return false;
	return true;
}

static const struct rule *find_rule(const char *words)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		for (size_t k = 0; k < ARRAY_SIZE(rules[i].patterns) && rules[i].patterns[k]; k++)
			if (fits(words, rules[i].patterns[k]))
				return &rules[i];
	return NULL;
}

const char *demo_shell_quote(struct arena *a, struct str text)
{
	struct buf out = BUF_INIT;

	buf_add_char(&out, '\'');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\'')
			buf_add_str(&out, "'\\''");
		else
			buf_add_char(&out, text.p[i]);
	}
	buf_add_char(&out, '\'');

	const char *copy = arena_strndup(a, out.p, out.n);

	buf_deinit(&out);
	return copy;
}

static bool between(struct str text, const char *open, const char *close, struct str *ret)
{
	const char *from = memmem(text.p, text.n, open, strlen(open));

	if (!from)
		return false;
	from += strlen(open);

	size_t left = (size_t)(text.p + text.n - from);
	const char *to = NULL;

	/* The last closing mark, so that an apostrophe inside does not end the text. */
	for (const char *at = from; (at = memmem(at, left - (size_t)(at - from), close, strlen(close))); at++)
		to = at;
	if (!to)
		return false;
	*ret = (struct str){from, (size_t)(to - from)};
	return true;
}

/* The text whose words are to be counted: in quotation marks, or behind a colon. */
static bool find_text(struct str text, struct str *ret)
{
	struct str rest = text;

	if (between(text, "\"", "\"", ret) || between(text, "\xe2\x80\x9c", "\xe2\x80\x9d", ret) ||
	    between(text, "\xe2\x80\x9e", "\xe2\x80\x9c", ret) || between(text, " '", "'", ret) ||
	    between(text, "`", "`", ret))
		return true;
	str_cut(&rest, ':');
	if (!rest.p)
		return false;
	*ret = str_trim(rest);
	return ret->n > 0;
}

static void add_command(struct demo_wish *w, const char *command)
{
	struct demo_step *s = &w->steps[w->n_steps - 1];

	if (s->n < DEMO_MAX_CALLS)
		s->commands[s->n++] = command;
}

static bool read_directive(struct str line, struct str name, struct str *ret)
{
	if (line.n < name.n || !str_ieq((struct str){line.p, name.n}, name))
		return false;
	*ret = str_trim((struct str){line.p + name.n, line.n - name.n});
	return ret->n > 0;
}

/* "run: CMD" lines; "then: CMD" begins the next step. */
static void read_directives(struct arena *a, struct str text, struct demo_wish *w)
{
	while (text.p) {
		struct str line = str_trim(str_cut(&text, '\n')), command;
		bool is_then = read_directive(line, STR("then:"), &command);

		if (!is_then && !read_directive(line, STR("run:"), &command))
			continue;
		if (w->n_steps == 0 || (is_then && w->n_steps < DEMO_MAX_STEPS))
			w->n_steps++;
		w->topic = DEMO_RUN;
		add_command(w, arena_strndup(a, command.p, command.n));
	}
}

void demo_wish_read(struct arena *a, struct str text, struct demo_wish *ret)
{
	*ret = (struct demo_wish){0};
	read_directives(a, text, ret);
	if (ret->topic == DEMO_RUN)
		return;

	const struct rule *rule = find_rule(normalize(a, text));
	const char *command = rule ? rule->command : NULL;
	struct str words;

	if (!rule)
		return;
	ret->topic = rule->topic;
	if (rule->topic == DEMO_WORDS) {
		if (find_text(text, &words))
			command = arena_printf(a, "printf '%%s' %s | wc -w", demo_shell_quote(a, words));
		else
			ret->topic = DEMO_NO_TEXT;
	}
	if (command) {
		ret->n_steps = 1;
		add_command(ret, command);
	}
}
