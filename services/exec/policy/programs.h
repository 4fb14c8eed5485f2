/* What is known of programs by their names: those that run other programs, those that only pass their arguments on to
 * one, and options that make a harmless program run or write something. What is not known here is an ordinary program,
 * about which the rules decide.
 *
 * Options are recognised generously: a letter anywhere in a cluster, a long option by any abbreviation. */
#pragma once

#include "base/arena.h"

enum program_class {
	PROGRAM_PLAIN,
	PROGRAM_CODE,    /* runs what it is given, or what it finds in files: never safe by itself */
	PROGRAM_WRAPPER, /* runs the program in its arguments, and does nothing else */
};
const char *program_class_name(enum program_class c);

#define PROGRAM_NAME_SIZE 64
/* The last part of a path; "" for one that is too long to be known. */
void program_base_name(struct str path, char ret[static PROGRAM_NAME_SIZE]);
/* By the last part of a path; versions (python3.11) are left out. */
enum program_class program_class_of(struct str name);

/* One argument; is_proven: these are its bytes. */
struct arg {
	struct str text;
	bool is_proven;
};

/* What hides in a command's arguments. */
struct program_inside {
	const char *hazard; /* an option that runs or writes something: what it is; NULL = none */
	struct str hazard_arg;
	const struct arg *inner; /* a program with its arguments that it runs; NULL = none */
	unsigned n_inner;
	bool is_guess;           /* … or perhaps not: it is not known which argument is the program */
	bool is_split;           /* inner_script is split by env, not by a shell */
	struct str inner_script; /* or a text for a shell; p NULL = none */
	const struct arg *env;   /* NAME=VALUE in front of the inner one */
	unsigned n_env;
	unsigned at; /* of the next inner one (find has several, and each guess is one); 0 = there is no more */
};
/* args[0] is the program's name. `from`: 0, or ret->at of the time before. */
void program_look_inside(const struct arg *args, unsigned n, unsigned from, struct program_inside *ret);

/* The subcommand of git (and of programs like it): the first argument that is no option. Empty: none. */
struct str program_subcommand(const struct arg *args, unsigned n);
/* Subcommands of git that a rule may allow: they read, and make no patches, for which a repository names programs. */
bool program_git_reads(struct str subcommand);

/* Whether the argument is this option: "-o" (in any cluster), "--output" (or an abbreviation, or with =value), "-name"
 * exactly for programs with such options. */
bool arg_is_option(struct str arg, const char *option);

/* A variable that can change what runs or what a program does. */
bool env_is_hazard(struct str name);
/* … by its value: where messages, formats and zones come from. */
bool env_value_is_hazard(struct str name, struct str value);
