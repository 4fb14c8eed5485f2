#include "base/options.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/option_value.h"

#define ROLE_OPTIONS(role)                                                                                          \
	{#role "_listen",                                                                                           \
	 OPTION_ADDRESS,                                                                                            \
	 "",                                                                                                        \
	 NULL,                                                                                                      \
	 0,                                                                                                         \
	 0,                                                                                                         \
	 NULL,                                                                                                      \
	 "Internal address of the " #role " role: HOST:PORT or unix:PATH; empty: unix:<data>/run/" #role ".sock"},  \
	{                                                                                                           \
#role "_url", OPTION_PEER, "", NULL, 0, 0, NULL,                                                    \
			"Where the other roles find " #role ": HOST:PORT or unix:PATH; empty: its embedded address" \
	}

/* The table: name, type, default, alias, minimum, maximum, choices, help. `ogent help config` prints it. */
static const struct option_def defs[] = {
	{"data", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "Folder of all data; empty: $XDG_DATA_HOME/ogent or ~/.local/share/ogent"},
	{"listen", OPTION_ADDRESS, "127.0.0.1:8420", NULL, 0, 0, NULL, "Public address of the gateway, ADDRESS:PORT"},
	{"public_url", OPTION_URL, "", NULL, 0, 0, "http|https",
	 "The URL people use, if not http://<listen>, such as https://ogent.example.org"},
	{"trusted_proxies", OPTION_NETWORKS, "", NULL, 0, 0, NULL,
	 "Addresses or networks, separated by commas, whose X-Forwarded-* headers are believed; unix: any on a Unix "
	 "socket"},
	{"proxy_header", OPTION_STRING, "x-forwarded-for", NULL, 0, 0, "x-forwarded-for|forwarded",
	 "Which header trusted_proxies write: X-Forwarded-For (with -Proto and -Host) or Forwarded (RFC 7239)"},
	{"proxy_protocol", OPTION_BOOL, "false", NULL, 0, 0, NULL,
	 "Whether trusted_proxies begin each connection with a header of the PROXY protocol, version 1 or 2"},
	{"metrics_listen", OPTION_ADDRESS, "", NULL, 0, 0, NULL,
	 "Where the gateway gives the metrics of all roles to Prometheus, at /metrics; empty: nowhere. Not for the "
	 "public"},
	{"gateway_routes", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "File of routes and upstreams beside those built in, see docs/gateway.md; empty: none"},
	{"dns_servers", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "DNS servers that the gateway asks for its upstreams, ADDRESS or ADDRESS:PORT, separated by commas; empty: "
	 "the system's"},
	{"outbound_allow", OPTION_NETWORKS, "", NULL, 0, 0, NULL,
	 "Addresses and networks, separated by commas, that addresses named by users, agents and other servers may "
	 "lead "
	 "to although they are not public"},
	{"otlp_endpoint", OPTION_URL, "", "OTEL_EXPORTER_OTLP_ENDPOINT", 0, 0, "http|https",
	 "OpenTelemetry collector that gets spans by OTLP over HTTP as JSON, at <endpoint>/v1/traces; empty: none"},
	{"otlp_headers", OPTION_SECRET, "", "OTEL_EXPORTER_OTLP_HEADERS", 0, 0, NULL,
	 "Headers for the collector: NAME=VALUE, separated by commas"},
	{"log_level", OPTION_STRING, "info", NULL, 0, 0, "debug|info|warn|error", "Least important lines to log"},
	{"log_format", OPTION_STRING, "auto", NULL, 0, 0, "auto|text|json",
	 "Form of log lines; auto: text on a terminal, else json"},
	ROLE_OPTIONS(gateway),
	ROLE_OPTIONS(auth),
	ROLE_OPTIONS(agent),
	ROLE_OPTIONS(exec),
	ROLE_OPTIONS(socket),
	ROLE_OPTIONS(demo),
	{"socket_profile", OPTION_STRING, "production", NULL, 0, 0, "production|protocol-test",
	 "protocol-test: the socket role echoes, without tokens, for the public suites of Engine.IO and Socket.IO; "
	 "only on "
	 "an address of this machine"},
	{"auth_db_url", OPTION_DATABASE, "", NULL, 0, 0, "sqlite|mysql|mariadb",
	 "Database of the auth role; empty: sqlite:<data>/db/ogent_auth.db"},
	{"mail_url", OPTION_URL, "", NULL, 0, 0, "smtp|smtps",
	 "Mail server: smtp://HOST:PORT or smtps://HOST:PORT; empty: no mail is sent, administrators see the links"},
	{"mail_from", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "Sender of mail: ogent@example.org or Ogent <ogent@example.org>"},
	{"mail_user", OPTION_STRING, "", NULL, 0, 0, NULL, "Name for signing in to the mail server; empty: no sign-in"},
	{"mail_password", OPTION_SECRET, "", NULL, 0, 0, NULL, "Password for the mail server"},
	{"mail_tls", OPTION_STRING, "auto", NULL, 0, 0, "auto|required|off",
	 "STARTTLS with an smtp:// server; auto: if it is offered, and required when there is a password"},
	{"mail_timeout", OPTION_MS, "60s", NULL, 1000, 600000, NULL, "How long sending one mail may take"},
	{"mail_retry", OPTION_MS, "30s", NULL, 100, 3600000, NULL,
	 "Wait after the first failure to send a mail; doubles each time, up to an hour, for two days"},
	{"org_name", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "Name of the organisation: it is in mails, and no password may hold it"},
	{"invite_ttl", OPTION_MS, "7d", NULL, 60000, 90ll * 86400000, NULL, "Life of an invitation's link"},
	{"verify_ttl", OPTION_MS, "1d", NULL, 60000, 30ll * 86400000, NULL,
	 "Life of a link that confirms an e-mail address"},
	{"reset_ttl", OPTION_MS, "1h", NULL, 60000, 7ll * 86400000, NULL, "Life of a link to a new password"},
	{"agent_db_url", OPTION_DATABASE, "", "DATABASE_URL", 0, 0, "sqlite|postgres|postgresql",
	 "Database of the agent role; empty: sqlite:<data>/db/langchain_agent.db"},
	{"redis_url", OPTION_DATABASE, "", "REDIS_URL", 0, 0, "redis|unix",
	 "Redis that several gateways and socket services share: redis://USER:PASSWORD@HOST:PORT/NUMBER or unix:/PATH; "
	 "empty: none"},
	{"openai_api_key", OPTION_SECRET, "", "OPENAI_API_KEY", 0, 0, NULL,
	 "Key for the OpenAI-compatible model provider"},
	{"openai_base_url", OPTION_URL, "https://api.openai.com/v1", "OPENAI_BASE_URL", 0, 0, NULL,
	 "Address of the OpenAI-compatible API"},
	{"openai_model", OPTION_STRING, "", "OPENAI_MODEL", 0, 0, NULL,
	 "Model to use; empty: chosen from the provider's list"},
	{"ollama_url", OPTION_URL, "http://127.0.0.1:11434", "OLLAMA_HOST", 0, 0, NULL, "Address of Ollama"},
	{"models_file", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "File with context sizes and prices of models that come before the built-in ones; docs/models.md tells its "
	 "form"},
	{"ollama_context", OPTION_INT, "16384", NULL, 512, 10000000, NULL,
	 "Tokens of context that Ollama is asked for (num_ctx); more takes more memory there"},
	{"sandbox_level", OPTION_STRING, "standard", NULL, 0, 0, "strict|standard|landlock",
	 "Weakest sandbox in which commands may run; below it none runs"},
	{"sandbox_pool", OPTION_INT, "2", NULL, 0, 64, NULL,
	 "Sandboxes made ahead while commands are asked for; let go after a minute without; 0 = none"},
	{"command_timeout", OPTION_MS, "2m", NULL, 100, 86400000, NULL,
	 "Longest run of one command, unless asked otherwise"},
	{"command_timeout_max", OPTION_MS, "1h", NULL, 100, 7ll * 86400000, NULL, "Longest run that can be asked for"},
	{"command_output_max", OPTION_BYTES, "8M", NULL, 1024, 1 << 30, NULL, "Most output kept of one command"},
	{"command_tmp_max", OPTION_BYTES, "256M", NULL, 1 << 20, 0, NULL, "Size of a command's /tmp, which is memory"},
	{"command_file_max", OPTION_BYTES, "2G", NULL, 0, 0, NULL,
	 "Largest file that a command can write; 0: no limit"},
	{"command_running_max", OPTION_INT, "32", NULL, 1, 10000, NULL, "Commands of one user at the same time"},
	{"command_retention", OPTION_MS, "7d", NULL, 0, 0, NULL, "How long ended commands and their output are kept"},
	{"command_policy", OPTION_STRING, "contained", NULL, 0, 0, NULL,
	 "Policy that every command must pass: contained, guarded, minimal, or the name of a stored one"},
	{"workspace_max", OPTION_BYTES, "10G", NULL, 1 << 20, 0, NULL,
	 "Most bytes of one upload, of one archive and of all snapshots of a workspace"},
	{"workspace_quota", OPTION_BYTES, "20G", NULL, 0, 0, NULL,
	 "Most bytes of a workspace that commands may write; 0: no quota"},
	{"workspace_files_max", OPTION_INT, "2000000", NULL, 0, 2000000000, NULL,
	 "Most files and folders of a workspace that commands may make; 0: no quota"},
	{"workspace_protect", OPTION_BOOL, "true", NULL, 0, 0, NULL,
	 "Commands cannot write what programs obey unasked: git's hooks and configuration, start files of shells, "
	 "settings of editors and agents"},
	{"workspace_snapshots_max", OPTION_INT, "10", NULL, 0, 10000, NULL, "Most snapshots of one workspace"},
	{"sandbox_sessions_max", OPTION_INT, "16", NULL, 0, 1000, NULL,
	 "Shared sandboxes that may live at the same time (docs/sandbox.md)"},
	{"sandbox_session_idle", OPTION_MS, "15m", NULL, 1000, 86400000, NULL,
	 "A shared sandbox that nobody has used for so long ends, and what was left in it"},
	{"workspace_steps_max", OPTION_INT, "50", NULL, 0, 10000, NULL,
	 "Most snapshots of one workspace after steps of runs; the oldest go; 0 = none"},
	{"sandbox_uid_base", OPTION_INT, "1879048192", NULL, 1, 4000000000, NULL,
	 "As root: the first of the host's user ids that workspaces get"},
	{"command_memory", OPTION_BYTES, "1G", NULL, 1 << 20, 0, NULL, "Most memory of one command's processes"},
	{"command_pids", OPTION_INT, "256", NULL, 1, 100000, NULL, "Most processes of one command"},
	{"command_cpu_time", OPTION_MS, "0s", NULL, 0, 7ll * 86400000, NULL,
	 "Most CPU time of all of one command's processes together; 0s: no limit but the time-out"},
	{"command_cpu_percent", OPTION_INT, "0", NULL, 0, 100000, NULL,
	 "CPU quota of one command, in percent of one CPU (150 is one and a half), where a cgroup can keep it; 0: "
	 "none"},
	{"exec_network_inner", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "Addresses and networks, separated by commas, that commands may reach by an allowed name although they are "
	 "not public"},
	{"exec_network_dns", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "Name servers for the hosts of commands, as 10.0.0.2 or 127.0.0.1:5353, separated by commas; empty: the "
	 "system's"},
	{"exec_ssh_target", OPTION_SSH, "", NULL, 0, 0, NULL,
	 "Other hosts for commands: ssh://USER@HOST[:PORT], or several as NAME=ssh://..., separated by commas"},
	{"exec_ssh_identity", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "File of the private key for these hosts; empty: <data>/secrets/exec_ssh_key"},
	{"exec_ssh_known_hosts", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "File of their host keys, as OpenSSH's known_hosts; empty: <data>/secrets/exec_ssh_known_hosts"},
	{"exec_ssh_network", OPTION_BOOL, "false", NULL, 0, 0, NULL,
	 "Whether commands on these hosts may use the hosts' network"},
	{"exec_ssh_sessions", OPTION_INT, "10", NULL, 1, 1000, NULL,
	 "Commands on one SSH connection at the same time; as sshd's MaxSessions"},
	{"agent_target", OPTION_STRING, "local", NULL, 0, 0, NULL,
	 "Where the commands of a new agent run unless it says otherwise: local, or a name of exec_ssh_target"},
	{"run_max_steps", OPTION_INT, "25", NULL, 1, 1000, NULL,
	 "Most model calls of one run, unless the agent says less"},
	{"run_max_seconds", OPTION_INT, "600", NULL, 1, 86400, NULL,
	 "Longest run in seconds, unless the agent says less"},
	{"run_parallel_calls", OPTION_INT, "8", NULL, 1, 16, NULL,
	 "Calls of tools that one run makes at the same time"},
	{"batch_max_rows", OPTION_INT, "10000", NULL, 1, 1000000, NULL, "Rows of one batch"},
	{"attachment_max", OPTION_BYTES, "5M", NULL, 1024, 64 << 20, NULL,
	 "Largest file that is attached to a message"},
	{"attachments_total", OPTION_BYTES, "200M", NULL, 1024, 1ll << 40, NULL, "All files of one conversation"},
	{"attachments_memory", OPTION_BYTES, "256M", NULL, 1 << 20, 1ll << 40, NULL,
	 "Most bytes of attached files that live runs of one agent process hold; others wait for room"},
	{"knowledge_max_document", OPTION_BYTES, "32M", NULL, 1024, 512 << 20, NULL,
	 "Largest document in a collection"},
	{"knowledge_workers", OPTION_INT, "2", NULL, 1, 16, NULL,
	 "Documents that one process reads and indexes at the same time"},
	{"knowledge_memory", OPTION_BYTES, "128M", NULL, 0, 1ll << 40, NULL,
	 "Memory for vectors of documents; what finds no room is read at each search"},
	{"user_day_tokens", OPTION_INT, "0", NULL, 0, 1000000000000ll, NULL,
	 "Tokens that a user may spend in a day (UTC), unless he has a budget of his own; 0 = no limit"},
	{"user_day_cents", OPTION_INT, "0", NULL, 0, 1000000000, NULL,
	 "US cents that a user may spend in a day (UTC), unless he has a budget of his own; 0 = no limit"},
	{"conversation_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "Conversations that nobody used for so many days are deleted with all of theirs; 0 = they stay"},
	{"approval_confirm", OPTION_STRING, "chosen", NULL, 0, 0, "chosen|factor|always",
	 "Who confirms approvals of risky calls with a second factor: who has chosen so for himself, everybody who has "
	 "one, or everybody, so that without one nothing risky is approved"},
	{"execution_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "Runs that ended so many days ago are deleted with their events, steps and commands; their messages stay; 0 = "
	 "they stay"},
	{"result_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "What tools gave to runs that ended so many days ago is deleted: in messages, events, and exec's commands "
	 "with "
	 "output and recordings; 0 = it stays"},
	{"event_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "The events of runs that ended so many days ago are deleted, the runs stay; 0 = they stay"},
	{"schedule_history_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "How many days it is known what became of the times of schedules; 0 = for ever"},
	{"delivery_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "How many days deliveries of webhooks are known after their end; 0 = for ever"},
	{"batch_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "Batches that ended so many days ago are deleted with their rows, their conversations stay; 0 = they stay"},
	{"usage_days", OPTION_INT, "0", NULL, 0, 36500, NULL,
	 "Months of which every day is older than so many days keep the sums of the month alone; 0 = days stay"},
	{"account_export_max", OPTION_BYTES, "512M", NULL, 1 << 20, 1ll << 36, NULL,
	 "The largest file with all that is a person's; it is kept in the agent service's database"},
	{"account_export_hours", OPTION_INT, "72", NULL, 1, 24 * 365, NULL,
	 "How many hours such a file can be fetched"},
	{"approval_seconds", OPTION_INT, "86400", NULL, 1, 30 * 86400, NULL,
	 "How long a run waits for a person before it goes on without"},
	{"gateway_threads", OPTION_INT, "0", NULL, 0, 64, NULL,
	 "Threads that serve the gateway's public listener; 0: one for each CPU, at most 8"},
	{"header_timeout", OPTION_MS, "10s", NULL, 100, 600000, NULL,
	 "How long a client of the gateway may take for the head of a request"},
	{"body_timeout", OPTION_MS, "30s", NULL, 100, 3600000, NULL,
	 "How long a client of the gateway may send nothing of a body, or take nothing of an answer"},
	{"body_min_rate", OPTION_BYTES, "240", NULL, 0, 1 << 30, NULL,
	 "Bytes a second with which a client of the gateway must send a body at least; 0: no such limit"},
	{"body_rate_time", OPTION_MS, "20s", NULL, 100, 3600000, NULL,
	 "Over how long that is looked at, again and again, for the first time that long after the head"},
	{"keepalive_timeout", OPTION_MS, "75s", NULL, 100, 3600000, NULL,
	 "How long a connection to the gateway stays open without a request"},
	{"drain_delay", OPTION_MS, "0s", NULL, 0, 3600000, NULL,
	 "How long a service that is to stop says that it is not ready and still takes connections, before it drains"},
	{"rate_limit", OPTION_INT, "50", NULL, 0, 1000000, NULL,
	 "Requests per second of one user, or of one address that is not signed in; 0: no such limit"},
	{"rate_burst", OPTION_INT, "200", NULL, 1, 1000000, NULL, "Requests of one client at once before rate_limit"},
	{"rate_limits", OPTION_STRING, "login=60/1m/address,messages=600/1m/user,stop=600/1m/user", NULL, 0, 0, NULL,
	 "More limits, for sign-in, new messages, and cancelling and signing out (instead of rate_limit): "
	 "NAME=REQUESTS/TIME[/KEY[/BURST]], separated by commas; KEY is user, token, address or route; 0: none"},
	{"socket_connections", OPTION_INT, "20000", NULL, 1, 1000000, NULL, "Connections of one socket service"},
	{"socket_user_connections", OPTION_INT, "100", NULL, 1, 1000000, NULL,
	 "Connections of one user at one socket service"},
	{"socket_accept_rate", OPTION_INT, "1000", NULL, 0, 1000000, NULL,
	 "New connections a second; more are told to come back later; 0: no limit"},
	{"socket_origins", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "Origins whose pages may connect, besides this host's own, separated by commas; *: all"},
	{"socket_queue_bytes", OPTION_BYTES, "1M", NULL, 1024, 0, NULL,
	 "Most that waits for a client who reads too slowly"},
	{"socket_queue_messages", OPTION_INT, "4096", NULL, 1, 1000000, NULL, "Most events that wait for him"},
	{"socket_policies", OPTION_STRING, "", NULL, 0, 0, NULL,
	 "What happens then, by the beginning of a channel's name: PREFIX=close|drop|skip, separated by commas"},
	{"socket_history", OPTION_MS, "5m", NULL, 0, 86400000, NULL,
	 "How long a channel's events are kept for who comes back"},
	{"socket_history_messages", OPTION_INT, "256", NULL, 0, 100000, NULL, "Most events kept of one channel"},
	{"socket_history_bytes", OPTION_BYTES, "1M", NULL, 0, 0, NULL, "Most bytes kept of one channel"},
	{"socket_history_total", OPTION_BYTES, "64M", NULL, 0, 0, NULL, "Most bytes kept of all channels"},
	{"access_token_ttl", OPTION_MS, "10m", NULL, 10000, 86400000, NULL, "Life of an access token"},
	{"token_algorithm", OPTION_STRING, "ed25519", NULL, 0, 0, "ed25519|es256|rs256",
	 "What signs access tokens; another one is published signing_key_lead before it signs"},
	{"token_alg_name", OPTION_STRING, "EdDSA", NULL, 0, 0, "EdDSA|Ed25519",
	 "What tokens and the key set call Ed25519: by RFC 8037, or by RFC 9864, which older clients do not know"},
	{"signing_key_life", OPTION_MS, "30d", NULL, 0, 0, NULL,
	 "How long a key signs tokens before the next one does; 0: until `ogent keys rotate`"},
	{"signing_key_lead", OPTION_MS, "6m", NULL, 0, 7ll * 86400000, NULL,
	 "How long a new key is published before it signs; not less than the 5m for which others keep the key set"},
	{"refresh_ttl", OPTION_MS, "30d", NULL, 60000, 0, NULL, "Life of a session without use"},
	{"password_memory", OPTION_INT, "19", NULL, 7, 1024, NULL, "Memory of one password hash (argon2id), MiB"},
	{"password_time", OPTION_INT, "2", NULL, 1, 20, NULL, "Passes of one password hash (argon2id)"},
	{"hash_threads", OPTION_INT, "1", NULL, 1, 64, NULL, "Passwords hashed at the same time"},
	{"hash_queue", OPTION_INT, "64", NULL, 1, 10000, NULL,
	 "Passwords that wait to be hashed before sign-in answers 503"},
	{"password_min", OPTION_INT, "15", NULL, 8, 256, NULL, "Shortest password, characters"},
	{"oauth_registration", OPTION_BOOL, "true", NULL, 0, 0, NULL,
	 "Whether OAuth clients, such as MCP programs, may register themselves (RFC 7591)"},
	{"oauth_clients_max", OPTION_INT, "1000", NULL, 1, 1000000, NULL,
	 "Most OAuth clients that registered themselves; those unused for a day make room"},
	{"oauth_inner_networks", OPTION_NETWORKS, "", NULL, 0, 0, NULL,
	 "Addresses and networks, separated by commas, from which documents of OAuth clients are read although they "
	 "are not public"},
	{"session_ttl", OPTION_MS, "90d", NULL, 60000, 0, NULL, "Life of a session, however much it is used"},
	{"refresh_grace", OPTION_MS, "30s", NULL, 0, 300000, NULL,
	 "Time in which a refresh token just used still gives the same successor"},
};

enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_LINE };
static const char *const source_names[] = {"default", "file", "environment", "command line"};

struct options {
	struct {
		char *text;     /* never NULL */
		int64_t number; /* of the types that are numbers, bool as 0 or 1 */
		unsigned line;  /* where ogent.conf set it */
		enum source source;
		char *place; /* NULL = the default */
	} values[ARRAY_SIZE(defs)];

	/* While loading. */
	enum source source; /* the one being read */
	void (*on_fault)(void *arg, const struct error *err);
	void *arg;
};

static int find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(defs); i++)
		if (strcmp(defs[i].name, name) == 0)
			return (int)i;
	return -1;
}

bool option_is_known(const char *name)
{
	return find(name) >= 0;
}

/* Whether to go on after a fault: it was reported, and the next one counts too. */
static bool goes_on(const struct options *o, const struct error *err)
{
	if (!o->on_fault)
		return false;
	o->on_fault(o->arg, err);
	return true;
}

/* `place` names the source in an error and in what options_print and option_info tell. */
static int set_value(struct options *o, int i, const char *text, const char *place, struct error *err)
{
	int64_t number;

	if (option_value_read(&defs[i], text, place, &number, err) < 0)
		return -EINVAL;
	if (option_type_is_secret(defs[i].type) && o->values[i].text)
		explicit_bzero(o->values[i].text, strlen(o->values[i].text));
	free(o->values[i].text);
	o->values[i].text = xstrdup(text);
	o->values[i].number = number;
	o->values[i].source = o->source;
	free(o->values[i].place);
	o->values[i].place = o->source == SOURCE_DEFAULT ? NULL : xstrdup(place);
	return 0;
}

/* A secret from a file; the line's end does not belong to it. */
static int set_from_file(struct options *o, int i, const char *path, const char *place, struct error *err)
{
	char text[16384];
	FILE *f = fopen(path, "re");

	if (!f)
		return error_set(err, "option_invalid", "%s: the file %s cannot be read: %s", place, path,
				 strerror(errno));
	size_t n = fread(text, 1, sizeof(text), f);
	bool failed = ferror(f);
	fclose(f);
	if (failed || n == sizeof(text) || memchr(text, 0, n))
		return error_set(err, "option_invalid", "%s: the file %s does not hold a text of at most 16 KiB", place,
				 path);
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	char *both = xasprintf("%s (file %s)", place, path);
	int r = set_value(o, i, text, both, err);
	explicit_bzero(text, sizeof(text));
	free(both);
	return r;
}

static bool may_come_from_file(const char *name, char *ret_base, size_t size)
{
	struct str s = str_of(name);

	if (!str_has_suffix(s, STR("_file")) || s.n - 5 >= size)
		return false;
	memcpy(ret_base, name, s.n - 5);
	ret_base[s.n - 5] = '\0';
	int i = find(ret_base);
	return i >= 0 && option_type_is_secret(defs[i].type);
}

/* How many letters must be changed, added, left out or swapped with their neighbour to get from one to the other
 * (optimal string alignment); `most` when it is more than that or one of them is too long. */
static unsigned distance(const char *a, const char *b, unsigned most)
{
	unsigned rows[3][65], *before = rows[0], *last = rows[1], *row = rows[2];
	size_t n = strlen(a), m = strlen(b);

	if (n > 64 || m > 64)
		return most;
	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(replaced, MIN(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		unsigned *free_row = before;
		before = last;
		last = row;
		row = free_row;
	}
	return MIN(last[m], most);
}

const char *option_nearest(const char *name)
{
	unsigned best = (unsigned)MAX(3, strlen(name) * 2 / 5 + 1);
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(defs); i++) {
		unsigned d = distance(name, defs[i].name, best);
		if (d < best) {
			best = d;
			found = defs[i].name;
		}
	}
	return found;
}

/* `name` as in the table, or with "_file" behind it. */
static int set_named(struct options *o, const char *name, const char *value, const char *place, struct error *err)
{
	char base[64];
	int i = find(name);

	if (i >= 0)
		return set_value(o, i, value, place, err);
	if (may_come_from_file(name, base, sizeof(base)))
		return set_from_file(o, find(base), value, place, err);
	const char *near = option_nearest(name);
	if (near)
		return error_set(err, "option_unknown",
				 "%s: there is no option \"%s\"; did you mean %s? `ogent help config` lists all", place,
				 name, near);
	return error_set(err, "option_unknown", "%s: there is no option \"%s\"; `ogent help config` lists all", place,
			 name);
}

/* ---- Sources ---- */

struct conf_reader {
	struct options *options;
	const char *path;
	FILE *file;
	unsigned line;
	struct error *err;
	bool failed;
};

/* inih cuts a line that does not fit its buffer in two: this refuses it instead. */
static char *conf_read_line(char *ret, int size, void *arg)
{
	struct conf_reader *r = arg;

	if (r->failed || !fgets(ret, size, r->file))
		return NULL;
	r->line++;
	if (!strchr(ret, '\n') && !feof(r->file)) {
		error_set(r->err, "option_invalid",
			  "%s line %u is longer than %d bytes: put the value into a file and "
			  "name it with <option>_file",
			  r->path, r->line, size - 2);
		r->failed = true; /* what follows cannot be told apart from this line's rest */
		return NULL;
	}
	return ret;
}

static int conf_on_value(void *arg, const char *section, const char *name, const char *value)
{
	struct conf_reader *r = arg;
	char place[400];
	int i = find(name);

	if (r->failed)
		return 0;
	r->failed = true;
	if (*section)
		error_set(r->err, "option_unknown", "%s line %u: sections such as [%s] are not used here: remove it",
			  r->path, r->line, section);
	else if (i >= 0 && r->options->values[i].line)
		error_set(r->err, "option_invalid", "%s line %u: %s is already set in line %u: keep one", r->path,
			  r->line, name, r->options->values[i].line);
	else {
		if (i >= 0)
			r->options->values[i].line = r->line;
		snprintf(place, sizeof(place), "%s line %u: %s", r->path, r->line, name);
		r->failed = set_named(r->options, name, value, place, r->err) < 0;
	}
	if (r->failed && goes_on(r->options, r->err))
		r->failed = false;
	return !r->failed;
}

static int load_conf(struct options *o, const char *path, struct error *err)
{
	struct conf_reader r = {.options = o, .path = path, .err = err, .file = fopen(path, "re")};

	if (!r.file)
		return error_set(err, "option_file", "the configuration file %s cannot be read: %s", path,
				 strerror(errno));
	int line = ini_parse_stream(conf_read_line, &r, conf_on_value, &r);
	fclose(r.file);
	if (r.failed)
		return -EINVAL;
	if (line != 0)
		return error_set(err, "option_invalid", "%s line %d is not of the form name = value", path, line);
	return 0;
}

static const char *get_env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int load_env_name(struct options *o, int i, const char *variable, struct error *err)
{
	char file[96];
	const char *value = get_env(variable), *path;

	snprintf(file, sizeof(file), "%s_FILE", variable);
	if (value)
		return set_value(o, i, value, variable, err);
	if (option_type_is_secret(defs[i].type) && (path = get_env(file)))
		return set_from_file(o, i, path, file, err);
	return 0;
}

static void env_name(const char *name, char *ret, size_t size)
{
	int n = snprintf(ret, size, "OGENT_%s", name);

	for (int i = 0; i < n; i++)
		ret[i] = (char)toupper((unsigned char)ret[i]);
}

static int load_env(struct options *o, struct error *err)
{
	char variable[80];

	for (int i = 0; i < (int)ARRAY_SIZE(defs); i++) {
		env_name(defs[i].name, variable, sizeof(variable));
		if (defs[i].alias && load_env_name(o, i, defs[i].alias, err) < 0 && !goes_on(o, err))
			return -EINVAL;
		if (load_env_name(o, i, variable, err) < 0 && !goes_on(o, err))
			return -EINVAL;
	}
	return 0;
}

static int load_args(struct options *o, const struct option_arg *args, size_t n, struct error *err)
{
	char place[96], name[64];

	for (size_t i = 0; i < n; i++) {
		snprintf(place, sizeof(place), "--%s", args[i].name);
		snprintf(name, sizeof(name), "%s", args[i].name);
		for (char *c = name; *c; c++)
			if (*c == '-')
				*c = '_';
		if (set_named(o, name, args[i].value, place, err) < 0 && !goes_on(o, err))
			return -EINVAL;
	}
	return 0;
}

static char *default_data_dir(void)
{
	const char *xdg = get_env("XDG_DATA_HOME"), *home = get_env("HOME");

	if (xdg && xdg[0] == '/')
		return xasprintf("%s/ogent", xdg);
	if (!home) {
		struct passwd *pw = getpwuid(getuid());
		home = pw ? pw->pw_dir : "/";
	}
	return xasprintf("%s/.local/share/ogent", home);
}

/* Empty becomes the default place, and a relative path absolute. */
static void settle_data_dir(struct options *o)
{
	char **data = &o->values[find("data")].text, *path;

	if (**data == '/')
		return;
	if (**data) {
		char *cwd = getcwd(NULL, 0);
		path = xasprintf("%s/%s", cwd ? cwd : "", *data);
		free(cwd);
	} else {
		path = default_data_dir();
	}
	free(*data);
	*data = path;
}

static struct options *new_with_defaults(void)
{
	struct options *o = xcalloc(1, sizeof(*o));
	struct error err;

	for (int i = 0; i < (int)ARRAY_SIZE(defs); i++)
		if (set_value(o, i, defs[i].def, defs[i].name, &err) < 0)
			fatal("the table of options is wrong: %s", err.message);
	return o;
}

static int load_sources(struct options *o, const char *conf_path, const struct option_arg *args, size_t n_args,
			struct error *err)
{
	o->source = SOURCE_FILE;
	if (conf_path && load_conf(o, conf_path, err) < 0 && !goes_on(o, err))
		return -EINVAL;
	o->source = SOURCE_ENVIRONMENT;
	if (load_env(o, err) < 0)
		return -EINVAL;
	o->source = SOURCE_LINE;
	return load_args(o, args, n_args, err);
}

struct options *options_load(const char *conf_path, const struct option_arg *args, size_t n_args, struct error *err)
{
	struct options *o = new_with_defaults();

	if (load_sources(o, conf_path, args, n_args, err) < 0) {
		options_free(o);
		return NULL;
	}
	settle_data_dir(o);
	return o;
}

struct options *options_load_all(const char *conf_path, const struct option_arg *args, size_t n_args,
				 void (*on_fault)(void *arg, const struct error *err), void *arg)
{
	struct options *o = new_with_defaults();
	struct error err;

	o->on_fault = on_fault;
	o->arg = arg;
	load_sources(o, conf_path, args, n_args, &err);
	settle_data_dir(o);
	return o;
}

void options_free(struct options *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(defs); i++) {
		if (o->values[i].text)
			explicit_bzero(o->values[i].text, strlen(o->values[i].text));
		free(o->values[i].text);
		free(o->values[i].place);
	}
	free(o);
}

void options_wipe_secrets(struct options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(defs); i++)
		if (option_type_is_secret(defs[i].type) && o->values[i].text)
			explicit_bzero(o->values[i].text, strlen(o->values[i].text));
}

/* ---- Reading ---- */

static int find_known(const char *name)
{
	int i = find(name);

	if (i < 0)
		fatal("the option %s is not in the table", name);
	return i;
}

const char *option_str(const struct options *o, const char *name)
{
	return o->values[find_known(name)].text;
}

int64_t option_int(const struct options *o, const char *name)
{
	return o->values[find_known(name)].number;
}

bool option_bool(const struct options *o, const char *name)
{
	return o->values[find_known(name)].number != 0;
}

bool option_info(const struct options *o, size_t i, struct option_info *ret)
{
	if (i >= ARRAY_SIZE(defs))
		return false;
	const struct option_def *d = &defs[i];
	bool is_secret = option_type_is_secret(d->type);

	*ret = (struct option_info){
		.name = d->name,
		.type = option_type_name(d->type),
		.help = d->help,
		.def = d->def,
		.alias = d->alias,
		.one_of = d->one_of,
		.is_secret = is_secret,
		.is_set = *o->values[i].text,
		.value = is_secret ? NULL : o->values[i].text,
		.source = source_names[o->values[i].source],
		.place = o->values[i].place ? o->values[i].place : "",
	};
	env_name(d->name, ret->variable, sizeof(ret->variable));
	return true;
}

void options_print(const struct options *o, FILE *out)
{
	struct option_info d;

	for (size_t i = 0; option_info(o, i, &d); i++) {
		fprintf(out, "%s = %s\n", d.name, !d.is_secret ? d.value : d.is_set ? "(set, not shown)" : "");
		fprintf(out, "    %s.\n    ", d.help);
		if (d.one_of)
			fprintf(out, "One of %s. ", d.one_of);
		if (*d.def && (!d.value || strcmp(d.def, d.value) != 0))
			fprintf(out, "Default: %s. ", d.def);
		fprintf(out, "Environment: %s%s", d.variable, d.is_secret ? " or ..._FILE" : "");
		if (d.alias)
			fprintf(out, ", %s", d.alias);
		fputs("\n", out);
	}
}
