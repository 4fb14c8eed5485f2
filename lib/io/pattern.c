#include "io/pattern.h"

#include <pthread.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "io/library.h"

#define MATCH_LIMIT 200000
#define DEPTH_LIMIT 2000
#define HEAP_KIB 4096

#define FUNCTIONS(X)            \
	X(compile)              \
	X(code_free)            \
	X(match)                \
	X(match_data_create)    \
	X(match_data_free)      \
	X(match_context_create) \
	X(match_context_free)   \
	X(set_match_limit)      \
	X(set_depth_limit)      \
	X(set_heap_limit)

static struct {
#define X(name) typeof(pcre2_##name##_8) *name;
	FUNCTIONS(X)
#undef X
} pcre;
static bool is_loaded;

static void load(void)
{
	static const struct library_function functions[] = {
#define X(name) {"pcre2_" #name "_8", (void **)&pcre.name},
		FUNCTIONS(X)
#undef X
	};

	is_loaded = library_load("libpcre2-8.so.0", functions, ARRAY_SIZE(functions));
}

static pcre2_code_8 *compile(const char *pattern)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int code;
	size_t at;

	pthread_once(&once, load);
	if (!is_loaded || strlen(pattern) > PATTERN_MAX)
		return NULL;
	/* As in ECMAScript the dollar is the very end, and \C and the like have no place. */
	return pcre.compile((PCRE2_SPTR8)pattern, PCRE2_ZERO_TERMINATED,
			    PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX, &code, &at,
			    NULL);
}

bool pattern_is_good(const char *pattern)
{
	pcre2_code_8 *code = compile(pattern);

	if (code)
		pcre.code_free(code);
	return code != NULL;
}

bool pattern_matches(const char *pattern, struct str text)
{
	pcre2_code_8 *code = compile(pattern);
	pcre2_match_context_8 *limits;
	pcre2_match_data_8 *data;
	int n;

	if (!code)
		return false;
	limits = pcre.match_context_create(NULL);
	pcre.set_match_limit(limits, MATCH_LIMIT);
	pcre.set_depth_limit(limits, DEPTH_LIMIT);
	pcre.set_heap_limit(limits, HEAP_KIB);
	data = pcre.match_data_create(1, NULL);
	n = pcre.match(code, (PCRE2_SPTR8)(text.p ? text.p : ""), text.n, 0, 0, data, limits);
	pcre.match_data_free(data);
	pcre.match_context_free(limits);
	pcre.code_free(code);
	return n >= 0;
}
