/* Shared libraries that are loaded at first use: linked, they and what they need would cost every role memory that most
 * never need. The user names its functions once as an X macro, of which it makes the struct and the table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct library_function {
	const char *symbol;
	void **at; /* gets its address */
};

/* Opens the library of the given file name (its soname) and finds all n functions. False: it is not installed, or too
 * old to have them all; what `at` points to is then not to be used. Not twice at the same time for the same table. */
bool library_load(const char *name, const struct library_function *functions, size_t n);
