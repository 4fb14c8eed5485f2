/* The command line, read by us. A small part of bash's grammar is provable: plain words, '…' and "…" without expansion,
 * && || ; |, and redirections of the descriptors 0 to 2 to files or to each other. What is in it is run from this parse
 * (plan.h), so that no second parser has a say. Everything else is opaque: `opaque` says why and where.
 *
 * Of an opaque script the commands are still found as well as can be (also within $(…), `…` and (…)), so that what is
 * forbidden is seen; that can make a verdict stricter, never milder. Words of it may be unproven. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct script_limits {
	unsigned bytes, words, commands, depth;
};

/* What joins a command to the next one. */
enum script_op { SCRIPT_END, SCRIPT_SEQ, SCRIPT_AND, SCRIPT_OR, SCRIPT_PIPE };

struct script_word {
	struct str text;   /* without the quotes, NUL-terminated */
	bool is_proven;    /* bash sees exactly these bytes, as one word */
	unsigned at, end;  /* its source */
	unsigned quote_at; /* in text: the first byte that was quoted; UINT_MAX = none */
};

enum script_redirect_kind { REDIRECT_READ, REDIRECT_WRITE, REDIRECT_APPEND, REDIRECT_DUP, REDIRECT_OTHER };

struct script_redirect {
	enum script_redirect_kind kind;
	int fd;
	struct script_word target; /* a file; of REDIRECT_DUP the other descriptor */
};

struct script_command {
	struct script_word *assignments, *words; /* words[0] is the program */
	struct script_redirect *redirects;
	unsigned n_assignments, n_words, n_redirects;
	unsigned at, end;
	bool is_keyword; /* a part of the shell's own syntax: for, case … */
	bool is_nested;  /* within a substitution or a subshell */
	enum script_op op;
};

struct script {
	struct script_command *commands;
	unsigned n, n_words;
	const char *opaque; /* NULL: provable */
	unsigned opaque_at; /* byte */
	bool is_invisible;  /* has control or invisible characters or is no UTF-8 */
	unsigned invisible_at;
	const char *over; /* the limit that it is over; the rest was not read (of "depth": read flat) */
};

/* Never fails; text is copied into the arena where needed. Linear in its length. */
void script_parse(struct arena *a, struct str text, const struct script_limits *limits, struct script *ret);

/* The first byte that is a control character (but tab), no UTF-8, or cannot be seen: blanks beyond ASCII, zero-width,
 * bidi and formatting characters, fillers. SIZE_MAX = none. */
size_t text_find_invisible(struct str text);
/* Appends the text so that a person sees all of it: such characters as \xHH or \u{HHHH}. */
void text_show(struct buf *out, struct str text);
/* Whether bash treats the name as its own: a builtin whose work no program does, or a reserved word. */
bool script_is_builtin(struct str name);
bool script_is_keyword(struct str name);
