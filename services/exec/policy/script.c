#include "policy/script.h"

#include <limits.h>

#define NO_QUOTE UINT_MAX

struct parser {
	struct arena *arena;
	const char *p;
	unsigned n, at, depth;
	char *text, *start; /* where the words' texts go; the one that is being read */
	struct script_word word;
	bool has_word;
	const struct script_limits *limits;
	struct script *out;
};

/* A command that is being read. */
struct building {
	struct script_command c;
	bool is_redirecting; /* the next word is the target of the last redirection */
	enum script_op previous;
	char closing; /* ')' or '`' of the list that it is in, 0 = none */
};

static void read_list(struct parser *p, char closing);

/* ---- What bash treats as its own ---- */

/* Those of bash's builtins that have no program of the same work: run from our parse they would do nothing, or
 * something else. */
static const char *const builtins[] = {
	".",         ":",        "alias",   "bg",       "bind",    "break",   "builtin", "caller",  "command",
	"compgen",   "complete", "compopt", "continue", "declare", "dirs",    "disown",  "enable",  "eval",
	"exec",      "exit",     "export",  "fc",       "fg",      "getopts", "hash",    "help",    "history",
	"jobs",      "kill",     "let",     "local",    "logout",  "mapfile", "popd",    "pushd",   "read",
	"readarray", "readonly", "return",  "set",      "shift",   "shopt",   "source",  "suspend", "times",
	"trap",      "type",     "typeset", "ulimit",   "umask",   "unalias", "unset",   "wait",
};
static const char *const keywords[] = {"if",     "then",  "else",  "elif", "fi",   "case",  "esac",     "for",
				       "select", "while", "until", "do",   "done", "in",    "function", "time",
				       "{",      "}",     "!",     "[[",   "]]",   "coproc"};
/* Behind these a command follows; behind the others something else. */
static const char *const keywords_before[] = {"if", "then", "else",   "elif", "while", "until", "do", "time",
					      "{",  "!",    "coproc", "fi",   "done",  "esac",  "}"};

static bool is_in(struct str s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(s, list[i]))
			return true;
	return false;
}

bool script_is_builtin(struct str name)
{
	return is_in(name, builtins, ARRAY_SIZE(builtins));
}

bool script_is_keyword(struct str name)
{
	return is_in(name, keywords, ARRAY_SIZE(keywords));
}

/* ---- Growing arrays in the arena ---- */

static void *grow(struct arena *a, void *items, unsigned n, size_t size)
{
	void *more;

	if (n != 0 && (n < 4 || (n & (n - 1))))
		return items;
	more = arena_alloc(a, (n ? 2 * (size_t)n : 4) * size);
	if (n)
		memcpy(more, items, n * size);
	return more;
}

#define PUSH(a, items, n, item)                                      \
	do {                                                         \
		(items) = grow((a), (items), (n), sizeof(*(items))); \
		(items)[(n)++] = (item);                             \
	} while (0)

/* ---- Notes ---- */

static void opaque(struct parser *p, const char *why)
{
	if (p->out->opaque)
		return;
	p->out->opaque = why;
	p->out->opaque_at = p->at;
}

static void over(struct parser *p, const char *limit)
{
	if (!p->out->over)
		p->out->over = limit;
	p->at = p->n;
}

/* Deeper it is read flat, so that nobody's brackets use up our stack. */
static bool is_too_deep(struct parser *p)
{
	if (p->depth < p->limits->depth)
		return false;
	if (!p->out->over)
		p->out->over = "depth";
	return true;
}

static char peek(const struct parser *p, unsigned ahead)
{
	return p->at + ahead < p->n ? p->p[p->at + ahead] : 0;
}

/* ---- Words ---- */

static void word_begin(struct parser *p)
{
	p->start = p->text;
	p->has_word = false;
	p->word = (struct script_word){.is_proven = true, .at = p->at, .quote_at = NO_QUOTE};
}

static void word_char(struct parser *p, char c)
{
	*p->text++ = c;
	p->has_word = true;
}

static void word_quoted(struct parser *p)
{
	if (p->word.quote_at == NO_QUOTE)
		p->word.quote_at = (unsigned)(p->text - p->start);
	p->has_word = true;
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* NAME=…, NAME+=… or NAME[…]=… with nothing of the name quoted. */
static bool is_assignment(const struct script_word *w)
{
	size_t i = 0;

	if (w->text.n == 0 || !is_name_start(w->text.p[0]))
		return false;
	while (i < w->text.n && (is_name_start(w->text.p[i]) || (w->text.p[i] >= '0' && w->text.p[i] <= '9')))
		i++;
	if (i < w->text.n && w->text.p[i] == '[')
		while (i < w->text.n && w->text.p[i] != '=')
			i++;
	else if (i < w->text.n && w->text.p[i] == '+')
		i++;
	return i < w->text.n && w->text.p[i] == '=' && i < w->quote_at;
}

static void add_redirect_target(struct parser *p, struct building *b)
{
	struct script_redirect *r = &b->c.redirects[b->c.n_redirects - 1];

	r->target = p->word;
	b->is_redirecting = false;
	if (p->word.text.n == 0)
		opaque(p, "a redirection to an empty name");
	if (str_has_prefix(p->word.text, STR("/dev/tcp/")) || str_has_prefix(p->word.text, STR("/dev/udp/")))
		opaque(p, "a redirection to the network");
}

/* The word that was read goes where it belongs. */
static void word_end(struct parser *p, struct building *b)
{
	if (!p->has_word)
		return;
	p->word.text = (struct str){p->start, (size_t)(p->text - p->start)};
	p->word.end = p->at;
	*p->text++ = 0;
	if (++p->out->n_words > p->limits->words)
		over(p, "words");
	if (b->is_redirecting) {
		add_redirect_target(p, b);
	} else if (b->c.n_words == 0 && is_assignment(&p->word)) {
		opaque(p, "an assignment");
		PUSH(p->arena, b->c.assignments, b->c.n_assignments, p->word);
	} else {
		PUSH(p->arena, b->c.words, b->c.n_words, p->word);
	}
	p->has_word = false;
}

/* $(…) or `…` in a word: what stands before it is a word of its own, which does no harm, since all is opaque now. */
static void substitution(struct parser *p, struct building *b, unsigned skip, char closing)
{
	opaque(p, "a substitution");
	p->word.is_proven = false;
	word_end(p, b);
	p->at += skip;
	if (!is_too_deep(p))
		read_list(p, closing);
	word_begin(p);
	p->word.is_proven = false;
}

static void unproven(struct parser *p, const char *why)
{
	opaque(p, why);
	p->word.is_proven = false;
}

static void read_single(struct parser *p)
{
	word_quoted(p);
	p->at++;
	while (p->at < p->n && p->p[p->at] != '\'')
		word_char(p, p->p[p->at++]);
	if (p->at == p->n)
		unproven(p, "a quote that is not closed");
	else
		p->at++;
}

/* $'…': its escapes are not read. */
static void read_ansi(struct parser *p)
{
	unproven(p, "an expansion");
	word_quoted(p);
	p->at += 2;
	while (p->at < p->n && p->p[p->at] != '\'') {
		if (p->p[p->at] == '\\' && p->at + 1 < p->n)
			word_char(p, p->p[p->at++]);
		word_char(p, p->p[p->at++]);
	}
	p->at += p->at < p->n;
}

static void read_double_escape(struct parser *p)
{
	char c = peek(p, 1);

	if (c == '\n') {
		unproven(p, "a line break");
		p->at += 2;
	} else if (c == '$' || c == '`' || c == '"' || c == '\\') {
		word_char(p, c);
		p->at += 2;
	} else {
		word_char(p, '\\');
		p->at++;
	}
}

static void read_dollar(struct parser *p, struct building *b, bool in_double)
{
	if (peek(p, 1) == '(') {
		substitution(p, b, 2, ')');
	} else if (!in_double && peek(p, 1) == '\'') {
		read_ansi(p);
	} else {
		unproven(p, "an expansion");
		if (in_double || peek(p, 1) != '"')
			word_char(p, '$');
		p->at++;
	}
}

static void read_double(struct parser *p, struct building *b)
{
	word_quoted(p);
	p->at++;
	while (p->at < p->n && p->p[p->at] != '"') {
		switch (p->p[p->at]) {
		case '\\': read_double_escape(p); break;
		case '$': read_dollar(p, b, true); break;
		case '`':
			if (b->closing == '`')
				return;
			substitution(p, b, 1, '`');
			break;
		default: word_char(p, p->p[p->at++]);
		}
	}
	if (p->at >= p->n)
		unproven(p, "a quote that is not closed");
	else
		p->at++;
}

static void read_backslash(struct parser *p)
{
	unproven(p, "a backslash");
	p->at++;
	if (p->at < p->n && p->p[p->at] == '\n') {
		p->at++;
		return;
	}
	word_quoted(p);
	word_char(p, p->at < p->n ? p->p[p->at] : '\\');
	p->at += p->at < p->n;
}

static const char *expansion_of(char c)
{
	switch (c) {
	case '~': return "a tilde";
	case '*':
	case '?':
	case '[': return "a file name pattern";
	case '{':
	case '}': return "a brace";
	default: return NULL;
	}
}

static bool ends_word(char c, char closing)
{
	return c == ' ' || c == '\t' || c == '\n' || c == ';' || c == '&' || c == '|' || c == '<' || c == '>' ||
	       c == '(' || c == ')' || (c == '`' && closing == '`');
}

/* The program [ by its name. */
static bool is_lone_bracket(const struct parser *p, char closing)
{
	return peek(p, 0) == '[' && !p->has_word && (p->at + 1 >= p->n || ends_word(peek(p, 1), closing));
}

static bool is_number(const struct parser *p)
{
	if (!p->has_word || p->word.quote_at != NO_QUOTE)
		return false;
	for (const char *c = p->start; c < p->text; c++)
		if (*c < '0' || *c > '9')
			return false;
	return p->text > p->start;
}

/* ---- Redirections ---- */

static void begin_redirect(struct parser *p, struct building *b, enum script_redirect_kind kind, int fd, unsigned skip)
{
	struct script_redirect r = {.kind = kind, .fd = fd};

	if (b->is_redirecting)
		opaque(p, "a redirection without a file");
	PUSH(p->arena, b->c.redirects, b->c.n_redirects, r);
	b->is_redirecting = true;
	p->at += skip;
}

/* >&1 and >&2 as whole words. */
static bool read_dup(struct parser *p, struct building *b, int fd)
{
	char after = peek(p, 3);

	if ((peek(p, 2) != '1' && peek(p, 2) != '2') ||
	    (after && (after == '<' || after == '>' || !ends_word(after, 0))))
		return false;
	begin_redirect(p, b, REDIRECT_DUP, fd, 2);
	word_begin(p);
	word_char(p, p->p[p->at++]);
	word_end(p, b);
	return true;
}

static void read_output(struct parser *p, struct building *b, int fd)
{
	char c = peek(p, 1);

	if (c == '>') {
		begin_redirect(p, b, REDIRECT_APPEND, fd, 2);
	} else if (c == '|') {
		opaque(p, "a redirection of another kind");
		begin_redirect(p, b, REDIRECT_WRITE, fd, 2);
	} else if (c == '&') {
		if (read_dup(p, b, fd))
			return;
		opaque(p, "a redirection of another kind");
		begin_redirect(p, b, REDIRECT_WRITE, fd, 2);
	} else {
		begin_redirect(p, b, REDIRECT_WRITE, fd, 1);
	}
}

static void read_input(struct parser *p, struct building *b, int fd)
{
	char c = peek(p, 1);

	if (c == '<') {
		opaque(p, "a here document");
		begin_redirect(p, b, REDIRECT_OTHER, fd, 2);
		p->at += peek(p, 0) == '<' || peek(p, 0) == '-';
	} else if (c == '>') {
		opaque(p, "a redirection of another kind");
		begin_redirect(p, b, REDIRECT_WRITE, fd, 2);
	} else if (c == '&') {
		opaque(p, "a redirection of another kind");
		begin_redirect(p, b, REDIRECT_OTHER, fd, 2);
	} else {
		begin_redirect(p, b, REDIRECT_READ, fd, 1);
	}
}

/* A number right in front is the descriptor. */
static void read_redirect(struct parser *p, struct building *b)
{
	bool is_input = p->p[p->at] == '<';
	int fd = !is_input;

	if (is_number(p)) {
		fd = p->text - p->start == 1 ? p->start[0] - '0' : 99;
		p->text = p->start;
		p->has_word = false;
		if (fd > 2)
			opaque(p, "a redirection of another descriptor");
	}
	word_end(p, b);
	if (is_input)
		read_input(p, b, fd);
	else
		read_output(p, b, fd);
}

static void read_word(struct parser *p, struct building *b)
{
	word_begin(p);
	while (p->at < p->n) {
		char c = p->p[p->at];

		if (ends_word(c, b->closing))
			break;
		switch (c) {
		case '\'': read_single(p); break;
		case '"': read_double(p, b); break;
		case '\\': read_backslash(p); break;
		case '$': read_dollar(p, b, false); break;
		case '`': substitution(p, b, 1, '`'); break;
		default:
			if (expansion_of(c) && !is_lone_bracket(p, b->closing))
				unproven(p, expansion_of(c));
			word_char(p, c);
			p->at++;
		}
	}
	if (p->at < p->n && (p->p[p->at] == '<' || p->p[p->at] == '>'))
		read_redirect(p, b);
	else
		word_end(p, b);
}

/* ---- Commands ---- */

static void drop_word(struct script_command *c)
{
	c->words++;
	c->n_words--;
}

/* Reserved words in front, and assignments behind those. */
/* Between a keyword and its command: `time -p`, and the name in `coproc NAME { …`. */
static bool belongs_to(struct str keyword, const struct script_command *c)
{
	struct str word = c->words[0].text;

	if (str_is(keyword, "time"))
		return str_is(word, "-p") || str_is(word, "--");
	return str_is(keyword, "coproc") && c->n_words > 1 && c->words[1].quote_at == NO_QUOTE &&
	       script_is_keyword(c->words[1].text);
}

static void skip_keywords(struct parser *p, struct script_command *c)
{
	bool after_keyword = false;
	struct str keyword = STR("");

	while (c->n_words > 0) {
		struct script_word *w = &c->words[0];
		bool is_keyword = w->quote_at == NO_QUOTE && script_is_keyword(w->text);

		if (is_keyword)
			opaque(p, "a reserved word of the shell");
		if (!is_keyword && belongs_to(keyword, c)) {
			drop_word(c);
			continue;
		}
		if (is_keyword)
			keyword = w->text;
		if (is_keyword && !is_in(w->text, keywords_before, ARRAY_SIZE(keywords_before))) {
			c->is_keyword = true;
			return;
		}
		if (!is_keyword && !(after_keyword && is_assignment(w)))
			return;
		if (!is_keyword)
			PUSH(p->arena, c->assignments, c->n_assignments, *w);
		after_keyword = true;
		drop_word(c);
	}
}

static bool has_parent_step(struct str path)
{
	while (path.p)
		if (str_is(str_cut(&path, '/'), ".."))
			return true;
	return false;
}

/* `cd FOLDER` alone: the one builtin that our executor has. */
static bool is_plain_cd(const struct script_command *c, enum script_op previous)
{
	return c->n_words == 2 && c->n_redirects == 0 && c->n_assignments == 0 && previous != SCRIPT_PIPE &&
	       c->op != SCRIPT_PIPE && c->words[1].text.n > 0 && c->words[1].text.p[0] != '-' &&
	       !has_parent_step(c->words[1].text);
}

/* The programs of the same name as a builtin understand a little less. */
static bool is_other_than_builtin(const struct script_command *c)
{
	struct str name = c->words[0].text;
	struct str first = c->n_words > 1 ? c->words[1].text : STR("");

	if (str_is(name, "printf"))
		return str_has_prefix(first, STR("-v"));
	if (str_is(name, "echo") || str_is(name, "true") || str_is(name, "false") || str_is(name, "pwd"))
		return str_has_prefix(first, STR("--"));
	if (str_is(name, "test") || str_is(name, "["))
		for (unsigned i = 1; i < c->n_words; i++)
			if (str_is(c->words[i].text, "-v") || str_is(c->words[i].text, "-o") ||
			    str_is(c->words[i].text, "-R") || str_has_prefix(c->words[i].text, STR("--")))
				return true;
	return false;
}

static void check_program(struct parser *p, struct script_command *c, enum script_op previous)
{
	struct str name;

	if (c->n_words == 0) {
		opaque(p, "a redirection without a command");
		return;
	}
	name = c->words[0].text;
	if (name.n == 0 || name.p[0] == '%')
		opaque(p, "a name that is none of a program");
	else if (str_is(name, "cd") ? !is_plain_cd(c, previous) : script_is_builtin(name))
		opaque(p, "a builtin of the shell");
	else if (is_other_than_builtin(c))
		opaque(p, "a builtin of the shell");
}

static bool is_empty(const struct building *b)
{
	return b->c.n_words == 0 && b->c.n_assignments == 0 && b->c.n_redirects == 0;
}

static void command_end(struct parser *p, struct building *b, enum script_op op)
{
	struct script_command c = b->c;

	c.op = op;
	c.end = p->at;
	c.is_nested = p->depth > 0;
	if (b->is_redirecting)
		opaque(p, "a redirection without a file");
	if (is_empty(b)) {
		if (op != SCRIPT_END || b->previous != SCRIPT_SEQ)
			opaque(p, "a command that is missing");
	} else {
		skip_keywords(p, &c);
		if (!c.is_keyword)
			check_program(p, &c, b->previous);
		if (p->out->n == p->limits->commands)
			over(p, "commands");
		else if (c.n_words || c.n_redirects || c.n_assignments)
			PUSH(p->arena, p->out->commands, p->out->n, c);
	}
	*b = (struct building){.previous = op, .closing = b->closing};
	b->c.at = p->at;
}

/* ---- Lists ---- */

static bool only_line_breaks_follow(const struct parser *p)
{
	for (unsigned i = p->at; i < p->n; i++)
		if (p->p[i] != '\n')
			return false;
	return p->depth == 0;
}

static void read_line_break(struct parser *p, struct building *b)
{
	if (only_line_breaks_follow(p)) {
		p->at = p->n;
		return;
	}
	opaque(p, "a line break");
	p->at++;
	if (!is_empty(b))
		command_end(p, b, SCRIPT_SEQ);
}

static void read_ampersand(struct parser *p, struct building *b)
{
	if (peek(p, 1) == '&') {
		command_end(p, b, SCRIPT_AND);
		p->at += 2;
	} else if (peek(p, 1) == '>') {
		opaque(p, "a redirection of another kind");
		begin_redirect(p, b, REDIRECT_WRITE, 1, peek(p, 2) == '>' ? 3 : 2);
	} else {
		opaque(p, "a command in the background");
		command_end(p, b, SCRIPT_SEQ);
		p->at++;
	}
}

static void read_bar(struct parser *p, struct building *b)
{
	char c = peek(p, 1);

	if (c == '&')
		opaque(p, "a pipe of another kind");
	command_end(p, b, c == '|' ? SCRIPT_OR : SCRIPT_PIPE);
	p->at += c == '|' || c == '&' ? 2 : 1;
}

static void skip_comment(struct parser *p)
{
	opaque(p, "a comment");
	while (p->at < p->n && p->p[p->at] != '\n')
		p->at++;
}

/* A subshell, a function's empty brackets, a pattern: its inside is read as a list. */
static void read_bracket(struct parser *p, struct building *b)
{
	opaque(p, "a bracket");
	if (!is_empty(b))
		command_end(p, b, SCRIPT_SEQ);
	p->at++;
	if (!is_too_deep(p))
		read_list(p, ')');
	b->previous = SCRIPT_SEQ;
}

static void read_list(struct parser *p, char closing)
{
	struct building b = {.closing = closing, .c.at = p->at};

	p->depth += closing != 0;
	while (p->at < p->n) {
		char c = p->p[p->at];

		if (closing && c == closing) {
			command_end(p, &b, SCRIPT_END);
			p->at++;
			p->depth--;
			return;
		}
		switch (c) {
		case ' ':
		case '\t': p->at++; break;
		case '\n': read_line_break(p, &b); break;
		case '#': skip_comment(p); break;
		case ';':
			command_end(p, &b, SCRIPT_SEQ);
			p->at++;
			break;
		case '&': read_ampersand(p, &b); break;
		case '|': read_bar(p, &b); break;
		case '<':
		case '>':
			p->has_word = false;
			read_redirect(p, &b);
			break;
		case '(': read_bracket(p, &b); break;
		case ')':
			opaque(p, "a bracket");
			p->at++;
			if (!is_empty(&b))
				command_end(p, &b, SCRIPT_SEQ);
			break;
		default: read_word(p, &b);
		}
	}
	command_end(p, &b, SCRIPT_END);
	p->depth -= closing != 0;
}

void script_parse(struct arena *a, struct str text, const struct script_limits *limits, struct script *ret)
{
	struct parser p = {.arena = a, .p = text.p, .limits = limits, .out = ret};
	size_t bad = SIZE_MAX;

	*ret = (struct script){0};
	if (text.n > limits->bytes) {
		ret->over = "bytes";
		return;
	}
	p.n = (unsigned)text.n;
	/* Each word costs at least a byte of the source and gets a NUL. */
	p.text = arena_alloc(a, 2 * text.n + 2);
	read_list(&p, 0);
	while (p.n > 0 && text.p[p.n - 1] == '\n')
		p.n--;
	for (size_t from = 0; from < p.n; from = bad + 1) {
		bad = text_find_invisible((struct str){text.p + from, p.n - from});
		if (bad == SIZE_MAX)
			return;
		bad += from;
		if (text.p[bad] != '\n')
			break;
		p.at = (unsigned)bad;
		opaque(&p, "a line break");
	}
	if (bad >= p.n || text.p[bad] == '\n')
		return;
	ret->is_invisible = true;
	ret->invisible_at = p.at = (unsigned)bad;
	opaque(&p, "a character that cannot be seen");
}
