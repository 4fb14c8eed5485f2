#include "sandbox/gitconfig.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

#define CONFIG_MAX (32 << 10)

/* What git init, clone, remote and branch write, and who commits. Not among them: whatever names a program, a folder
 * of hooks, a filter, an alias, or another file to read. */
static const struct {
	const char *section, *keys; /* each key between blanks */
} harmless[] = {
	{"core",
	 " repositoryformatversion filemode bare logallrefupdates ignorecase precomposeunicode symlinks autocrlf "
	 "eol safecrlf quotepath abbrev "},
	{"user", " name email "},
	{"author", " name email "},
	{"committer", " name email "},
	{"remote", " url fetch pushurl push tagopt prune "},
	{"branch", " remote merge rebase description "},
	{"init", " defaultbranch "},
	{"pull", " rebase ff "},
	{"push", " default autosetupremote "},
	{"fetch", " prune "},
	{"merge", " ff conflictstyle "},
	{"color", " ui "},
};

static char *trim(char *s)
{
	size_t n;

	while (isblank((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return s;
}

/* "[name]" or "[name \"part\"]". NULL: not a section that is known. */
static const char *keys_of(char *line)
{
	char *end = strchr(line, ']'), *name = line + 1;
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	if (!end || end[1] || (name[n] != ']' && name[n] != ' '))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (n == strlen(harmless[i].section) && strncasecmp(name, harmless[i].section, n) == 0)
			return harmless[i].keys;
	return NULL;
}

static bool is_harmless_setting(const char *keys, char *line)
{
	char *equals = strchr(line, '='), word[40] = " ";
	size_t n;

	if (equals)
		*equals = 0;
	line = trim(line);
	n = strlen(line);
	if (!keys || n == 0 || n > sizeof(word) - 3)
		return false;
	for (size_t i = 0; i < n; i++)
		word[i + 1] = (char)tolower((unsigned char)line[i]);
	strcpy(word + n + 1, " ");
	/* "ext::" and the like name a program in an address. */
	return strstr(keys, word) && !(equals && strstr(equals + 1, "::"));
}

bool gitconfig_is_harmless(int fd)
{
	static char text[CONFIG_MAX];
	const char *keys = NULL;
	char *rest = text;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size >= CONFIG_MAX || st.st_nlink != 1)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0 || memchr(text, 0, (size_t)n) || memchr(text, '\\', (size_t)n) || memchr(text, '\r', (size_t)n))
		return false;
	text[n] = 0;
	for (char *line; (line = strsep(&rest, "\n"));) {
		line = trim(line);
		if (*line == 0 || *line == '#' || *line == ';')
			continue;
		if (*line != '[') {
			if (!is_harmless_setting(keys, line))
				return false;
			continue;
		}
		keys = keys_of(line);
		if (!keys)
			return false;
	}
	return true;
}
