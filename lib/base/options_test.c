#include "base/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"

static char path[64], secret_path[64];

static void write_file(char *ret_path, const char *content)
{
	strcpy(ret_path, "/tmp/ogent-options-test-XXXXXX");
	int fd = mkstemp(ret_path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static int setup(void **state)
{
	static const char *const clear[] = {"OGENT_DATA",     "OGENT_LISTEN",  "OGENT_RATE_LIMIT",
					    "OPENAI_API_KEY", "OPENAI_MODEL",  "DATABASE_URL",
					    "OLLAMA_HOST",    "XDG_DATA_HOME", "OGENT_OPENAI_API_KEY_FILE"};

	for (size_t i = 0; i < ARRAY_SIZE(clear); i++)
		unsetenv(clear[i]);
	setenv("HOME", "/home/somebody", 1);
	path[0] = secret_path[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	unlink(secret_path);
	return setup(state);
}

static struct options *load(const char *conf, const struct option_arg *args, size_t n)
{
	struct error err = {0};
	struct options *o = options_load(conf, args, n, &err);

	if (!o)
		fail_msg("%s", err.message);
	return o;
}

static void fails_with(const char *conf, const struct option_arg *args, size_t n, const char *part)
{
	struct error err = {0};

	assert_null(options_load(conf, args, n, &err));
	if (!strstr(err.message, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err.message);
}

static void conf_fails(const char *content, const char *part)
{
	write_file(path, content);
	fails_with(path, NULL, 0, part);
	unlink(path);
}

static void defaults_hold_without_any_source(void **state)
{
	struct options *o = load(NULL, NULL, 0);

	assert_string_equal(option_str(o, "listen"), "127.0.0.1:8420");
	assert_string_equal(option_str(o, "data"), "/home/somebody/.local/share/ogent");
	assert_string_equal(option_str(o, "openai_api_key"), "");
	assert_int_equal(option_int(o, "access_token_ttl"), 600000);
	assert_string_equal(option_str(o, "auth_url"), "");
	options_free(o);
}

static void sources_rise_from_file_to_environment_to_command_line(void **state)
{
	const struct option_arg args[] = {{"rate-limit", "3"}};

	write_file(path, "# a remark\nlisten = 1.1.1.1:1\nrate_limit = 1\nopenai_model = m1 ; remark\n");
	setenv("OGENT_LISTEN", "2.2.2.2:2", 1);
	setenv("OGENT_RATE_LIMIT", "2", 1);
	struct options *o = load(path, args, 1);
	assert_string_equal(option_str(o, "listen"), "2.2.2.2:2");
	assert_int_equal(option_int(o, "rate_limit"), 3);
	assert_string_equal(option_str(o, "openai_model"), "m1");
	options_free(o);
}

static void well_known_variables_work_and_ours_is_stronger(void **state)
{
	setenv("OPENAI_API_KEY", "sk-theirs", 1);
	setenv("OLLAMA_HOST", "", 1);
	struct options *o = load(NULL, NULL, 0);
	assert_string_equal(option_str(o, "openai_api_key"), "sk-theirs");
	assert_string_equal(option_str(o, "ollama_url"), "http://127.0.0.1:11434");
	options_free(o);
	write_file(secret_path, "sk-ours\n");
	setenv("OGENT_OPENAI_API_KEY_FILE", secret_path, 1);
	o = load(NULL, NULL, 0);
	assert_string_equal(option_str(o, "openai_api_key"), "sk-ours");
	options_free(o);
}

static void a_secret_comes_from_a_file_named_in_the_configuration(void **state)
{
	char conf[128];

	write_file(secret_path, "postgres://u:p@h/db\r\n");
	snprintf(conf, sizeof(conf), "agent_db_url_file = %s\n", secret_path);
	write_file(path, conf);
	struct options *o = load(path, NULL, 0);
	assert_string_equal(option_str(o, "agent_db_url"), "postgres://u:p@h/db");
	options_free(o);
	unlink(path);
	conf_fails("agent_db_url_file = /nowhere\n", "/nowhere cannot be read");
	conf_fails("listen_file = /nowhere\n", "there is no option");
}

static void errors_name_the_place(void **state)
{
	char longest[400] = "openai_api_key = ";

	memset(longest + 17, 'k', 300);
	strcat(longest, "\n");
	conf_fails("\nlisten = a:1\nlistem = b\n",
		   "line 3: listem: there is no option \"listem\"; did you mean listen?");
	conf_fails("rate_limit = many\n", "line 1: rate_limit: \"many\" is not a whole number");
	conf_fails("rate_limit = 1\nrate_limit = 2\n", "line 2: rate_limit is already set in line 1");
	conf_fails("[agent]\nrate_limit = 1\n", "sections such as [agent] are not used");
	conf_fails("rate_limit = 1\nwhat is this\n", "line 2 is not of the form");
	conf_fails(longest, "line 1 is longer than");
	fails_with("/nowhere/ogent.conf", NULL, 0, "/nowhere/ogent.conf cannot be read");
	setenv("OGENT_RATE_LIMIT", "-1", 1);
	fails_with(NULL, NULL, 0, "OGENT_RATE_LIMIT: -1 is less than");
	unsetenv("OGENT_RATE_LIMIT");
	fails_with(NULL, &(struct option_arg){"log-level", "loud"}, 1,
		   "--log-level: \"loud\" is not one of debug|info");
	fails_with(NULL, &(struct option_arg){"rot-level", "loud"}, 1, "--rot-level: there is no option");
}

static void addresses_are_judged_by_their_type(void **state)
{
	static const struct {
		const char *name, *good, *bad;
	} cases[] = {
		{"listen", "[::1]:80", "::1:80"},
		{"listen", "unix:/run/x.sock", "unix:"},
		{"listen", "localhost:0", "localhost"},
		{"listen", "0.0.0.0:65535", "0.0.0.0:65536"},
		{"auth_listen", "10.0.0.1:9001", "http://10.0.0.1:9001"},
		{"auth_url", "http://ogent-auth:9001", "https://ogent-auth:9001"},
		{"auth_url", "ogent_auth:9001", "ogent auth:9001"},
		{"public_url", "https://ogent.example.org/", "ogent.example.org"},
		{"public_url", "http://[::1]:8420", "ftp://ogent.example.org"},
		{"openai_base_url", "https://api.example.org:8443/v1?x=y", "https:///v1"},
		{"ollama_url", "127.0.0.1:11434", "127.0.0.1:many"},
		{"agent_db_url", "postgres://u:p@h:5432/db?sslmode=require", "postgres:/h"},
		{"agent_db_url", "sqlite:/tmp/x.db", "sqlite:"},
		{"auth_db_url", "mysql://u:p@h/db", "postgres://u:p@h/db"},
		{"exec_ssh_target", "ssh://ogent@10.0.0.2:2222", "ssh://ogent:hunter2@host"},
		{"exec_ssh_target", "ssh://ogent@host", "ssh://host"},
		{"exec_ssh_target", "one=ssh://a@host, two=ssh://b@host:22", "one=ssh://a@host,two=host"},
		{"trusted_proxies", "127.0.0.1, 10.0.0.0/8,fd00::/64,unix", "10.0.0.0/33"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct options *o = load(NULL, &(struct option_arg){cases[i].name, cases[i].good}, 1);
		assert_string_equal(option_str(o, cases[i].name), cases[i].good);
		options_free(o);
		fails_with(NULL, &(struct option_arg){cases[i].name, cases[i].bad}, 1, cases[i].name);
	}
}

static void a_wrong_address_shows_no_password(void **state)
{
	static const char *const secret[] = {"auth_db_url", "openai_base_url", "listen"};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(secret); i++) {
		err = (struct error){0};
		assert_null(options_load(NULL, &(struct option_arg){secret[i], "http://ada:hunter2@h/x"}, 1, &err));
		assert_null(strstr(err.message, "hunter2"));
	}
}

static void count_fault(void *arg, const struct error *err)
{
	struct buf *all = arg;

	buf_printf(all, "%s\n", err->message);
}

static void every_fault_is_reported_and_the_rest_is_read(void **state)
{
	_cleanup_(buf_deinit) struct buf faults = BUF_INIT;

	write_file(path, "listen = x\nrate_limt = 3\nrate_burst = 9\nnonsense\nopenai_api_key_file = "
			 "/nowhere\n[agent]\nlisten = y\n");
	setenv("OGENT_RATE_LIMIT", "many", 1);
	struct options *o = options_load_all(path, &(struct option_arg){"log-level", "loud"}, 1, count_fault, &faults);
	assert_non_null(strstr(faults.p, "line 1: listen: \"x\" is not an address"));
	assert_non_null(
		strstr(faults.p, "line 2: rate_limt: there is no option \"rate_limt\"; did you mean rate_limit?"));
	assert_non_null(strstr(faults.p, "sections such as [agent]"));
	assert_non_null(strstr(faults.p, "line 4 is not of the form"));
	assert_non_null(strstr(faults.p, "/nowhere cannot be read"));
	assert_non_null(strstr(faults.p, "OGENT_RATE_LIMIT: \"many\""));
	assert_non_null(strstr(faults.p, "--log-level"));
	assert_int_equal(option_int(o, "rate_burst"), 9);
	assert_string_equal(option_str(o, "listen"), "127.0.0.1:8420");
	options_free(o);
}

static struct option_info info_of(const struct options *o, const char *name)
{
	struct option_info info;

	for (size_t i = 0; option_info(o, i, &info); i++)
		if (strcmp(info.name, name) == 0)
			return info;
	fail_msg("no option %s", name);
	abort();
}

static void each_value_tells_where_it_comes_from(void **state)
{
	char conf[200], from_file[200];

	write_file(secret_path, "sk-1\n");
	snprintf(conf, sizeof(conf), "listen = 1.1.1.1:1\n\nopenai_api_key_file = %s\n", secret_path);
	write_file(path, conf);
	setenv("OPENAI_MODEL", "m", 1);
	struct options *o = load(path, &(struct option_arg){"rate-limit", "3"}, 1);
	assert_string_equal(info_of(o, "rate_burst").source, "default");
	assert_string_equal(info_of(o, "rate_limit").place, "--rate-limit");
	assert_string_equal(info_of(o, "openai_model").source, "environment");
	assert_string_equal(info_of(o, "openai_model").place, "OPENAI_MODEL");
	snprintf(from_file, sizeof(from_file), "%s line 3: openai_api_key_file (file %s)", path, secret_path);
	struct option_info key = info_of(o, "openai_api_key");
	assert_string_equal(key.place, from_file);
	assert_string_equal(key.source, "file");
	assert_true(key.is_secret && key.is_set && !key.value);
	options_free(o);
}

static void the_nearest_name_is_the_one_meant(void **state)
{
	assert_string_equal(option_nearest("openai_key"), "openai_api_key");
	assert_string_equal(option_nearest("lsiten"), "listen");
	assert_string_equal(option_nearest("command_time_out"), "command_timeout");
	assert_string_equal(option_nearest("dat"), "data");
	assert_null(option_nearest("colour_of_the_sky"));
	assert_null(option_nearest(""));
}

static int64_t number(const char *name, const char *value)
{
	struct options *o = load(NULL, &(struct option_arg){name, value}, 1);
	int64_t n = option_int(o, name);

	options_free(o);
	return n;
}

static void times_and_sizes_have_units(void **state)
{
	assert_int_equal(number("command_timeout", "1500ms"), 1500);
	assert_int_equal(number("command_timeout", "90s"), 90000);
	assert_int_equal(number("refresh_ttl", "7d"), 7LL * 86400000);
	assert_int_equal(number("command_memory", "3G"), 3LL << 30);
	assert_int_equal(number("command_memory", "512MiB"), 512 << 20);
	assert_int_equal(number("command_memory", "2000000"), 2000000);
	fails_with(NULL, &(struct option_arg){"command_timeout", "90"}, 1, "is not a time with its unit");
	fails_with(NULL, &(struct option_arg){"command_timeout", "99999999999999999999s"}, 1, "is not a time");
	fails_with(NULL, &(struct option_arg){"command_memory", "9999999999G"}, 1, "is not a size");
	fails_with(NULL, &(struct option_arg){"command_memory", "1k"}, 1, "is not a size");
}

static void a_relative_data_folder_becomes_absolute(void **state)
{
	struct options *o = load(NULL, &(struct option_arg){"data", "here"}, 1);
	char cwd[4096];

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_memory_equal(option_str(o, "data"), cwd, strlen(cwd));
	assert_string_equal(option_str(o, "data") + strlen(cwd), "/here");
	options_free(o);
}

/* Every option is printed with its help: a sentence's line is indented and ends in a full stop. No secret shows. */
static void every_option_has_help_and_no_secret_is_printed(void **state)
{
	char *text;
	size_t n, options = 0;
	struct options *o = load(NULL, &(struct option_arg){"openai_api_key", "sk-secret"}, 1);
	FILE *f = open_memstream(&text, &n);

	options_print(o, f);
	fclose(f);
	assert_null(strstr(text, "sk-secret"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char name[64];
		assert_int_equal(sscanf(line, "%63[a-z_] =", name), 1);
		assert_true(option_is_known(name));
		char *help = strtok(NULL, "\n"), *environment = strtok(NULL, "\n");
		assert_true(help && strlen(help) > 15 && help[strlen(help) - 1] == '.');
		assert_non_null(strstr(environment, "OGENT_"));
		options++;
	}
	assert_true(options >= 35);
	options_free(o);
	free(text);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults_hold_without_any_source),
		TEST(sources_rise_from_file_to_environment_to_command_line),
		TEST(well_known_variables_work_and_ours_is_stronger),
		TEST(a_secret_comes_from_a_file_named_in_the_configuration),
		TEST(errors_name_the_place),
		TEST(addresses_are_judged_by_their_type),
		TEST(a_wrong_address_shows_no_password),
		TEST(every_fault_is_reported_and_the_rest_is_read),
		TEST(each_value_tells_where_it_comes_from),
		TEST(the_nearest_name_is_the_one_meant),
		TEST(times_and_sizes_have_units),
		TEST(a_relative_data_folder_becomes_absolute),
		TEST(every_option_has_help_and_no_secret_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
