#include "command.h"

#include <stdio.h>
#include <string.h>

#define PLACE_HELP                                                                        \
	"\n  --data DIR    the data folder whose running platform is meant\n"             \
	"  --url URL     a platform elsewhere, after `ogent login URL`; also OGENT_URL\n" \
	"\nWithout --url the platform of the data folder is used if it runs, otherwise the one of the last login.\n"
#define ROLE(name, summary)                                          \
	{                                                            \
		name, "[--OPTION VALUE]...", summary, NULL, cmd_role \
	}

const struct command commands[] = {
	{"up", "[--data DIR] [--listen ADDR:PORT] [--OPTION VALUE]...", "run the whole platform from one data folder",
	 "Starts every role as its own process, restarts what dies, and prints the address to open once all is ready.\n"
	 "Ctrl-C or SIGTERM stops it in order; a second Ctrl-C at once. Every option of `ogent help config` can be "
	 "given.\n",
	 cmd_up},
	{"chat", "[--agent NAME] [--conversation ID] [--attach FILE] [TEXT]", "talk to an agent",
	 "Streams the answer to stdout; the commands it runs and their output go to stderr. Without TEXT it reads "
	 "stdin:\n"
	 "a terminal becomes a conversation line by line, anything else is one message. Ctrl-C cancels the "
	 "run. --attach sends an image or a text along with the first message.\n" PLACE_HELP,
	 cmd_chat},
	{"run", "[--agent NAME] [--conversation ID] [--attach FILE] [--schema FILE] [--json] [TEXT]",
	 "give an agent one task, for scripts",
	 "Prints only the final answer, or with --json every event as one line of JSON. The exit code tells how the "
	 "run\n"
	 "ended. Without TEXT the task is read from stdin. With --schema the answer is JSON that fits the JSON Schema "
	 "in "
	 "FILE.\n" PLACE_HELP,
	 cmd_run},
	{"exec",
	 "[--tty] [--session] [--workspace NAME] [--cwd DIR] [--timeout-ms N] [--target NAME] [--attach ID] -- CMD "
	 "[ARG]...",
	 "run a command in the sandbox as if it ran here",
	 "Its stdin, stdout and stderr are this command's, byte by byte, and its exit code too: 128 and the number for "
	 "a "
	 "signal,\n124 after its time-out, 125 when the platform could not run it. With --tty it has a terminal of "
	 "this "
	 "one's size.\n--session shares a sandbox with the workspace's other commands. Signals go to the command. "
	 "--attach ID goes on with one that runs.\n" PLACE_HELP
	 "\nWithout -- this runs one role: commands in the sandbox.\n",
	 cmd_exec},
	{"terminal",
	 "[--workspace NAME] [--alone] [--cwd DIR] [--target NAME] [--timeout-ms N] [--attach ID] [-- CMD [ARG]...]",
	 "open a shell, or CMD, on a terminal in the sandbox",
	 "Every key goes there, the size of this terminal too, and its exit code is this command's. It goes on when "
	 "the\n"
	 "connection breaks. Ctrl-] leaves it running; --attach ID comes back to it. With --workspace it is in the\n"
	 "workspace's shared sandbox, among what others have started there, unless --alone is given.\n" PLACE_HELP,
	 cmd_terminal},
	{"files", "[list | VERB WORKSPACE ...] [--target NAME] [--json]",
	 "list, get, put and remove files of a workspace",
	 "  list                         the workspaces\n"
	 "  ls WORKSPACE [FOLDER]        what is in a folder\n"
	 "  get WORKSPACE PATH [FILE]    a file, into FILE, a folder, or - for stdout\n"
	 "  put WORKSPACE FILE [PATH]    a file, or - for stdin; with a slash behind PATH it keeps its name\n"
	 "  rm WORKSPACE PATH [--recursive]\n"
	 "  mkdir WORKSPACE FOLDER       with the folders that are missing\n"
	 "  mv WORKSPACE FROM TO\n"
	 "  archive WORKSPACE [FILE] [--path FOLDER] [--gzip]   a folder, or all of it, as tar\n"
	 "  unpack WORKSPACE FILE [--path FOLDER]               a tar or tar.gz, or - for stdin\n"
	 "\n  --target NAME             a workspace on that target; `ogent files list --target NAME` lists them\n"
	 "  --mode 755                the permissions of what is put\n" PLACE_HELP,
	 cmd_files},
	{"agents", "[VERB] [AGENT] [--json]", "list agents, make them from templates, compare, share and move them",
	 "  list                         all that you may use\n"
	 "  templates                    what an agent can be made from\n"
	 "  show AGENT                   one: by slug, id or name\n"
	 "  create NAME [--template ID] [--instructions TEXT]\n"
	 "  versions AGENT               what it was\n"
	 "  diff AGENT [VERSION] [--from VERSION]   what changed\n"
	 "  restore AGENT VERSION        makes that version the newest\n"
	 "  export AGENT                 the agent as one file, to stdout\n"
	 "  import FILE [--dry-run] [--skip-missing] [--name NAME]   a file, or - for stdin\n"
	 "  share AGENT ROLE [use|edit|share]...    '*' is everyone; without a right it is taken back\n"
	 "  archive AGENT\n" PLACE_HELP,
	 cmd_agents},
	{"usage", "[show | budget USER] [--group day|user|agent|model] [--days N] [--user USER] [--json]",
	 "show tokens and money, see and set what a user may spend in a day",
	 "show adds up what was spent; ~ marks what was estimated. budget shows what a user has spent today; with\n"
	 "--tokens N or --dollars N it sets what he may spend in a day (0 = without limit).\n" PLACE_HELP,
	 cmd_usage},
	{"fork", "run RUN [--step N] [--same-version] [--json]", "begin a conversation where a run was at a step",
	 "With the messages and the files of that step; 0 is before its message, without --step it is its end. Prints "
	 "the\nconversation's id, for `ogent chat --conversation ID`.\n" PLACE_HELP,
	 cmd_fork},
	{"approvals", "[--json] | approve ID | reject ID [WHY] | answer ID TEXT | edit ID COMMAND",
	 "list what waits for you, or decide it",
	 "approve lets exactly what is shown run, once. reject tells the agent why, if you say so. edit lets it run "
	 "with "
	 "\nanother command, or with other arguments as JSON. answer answers a question.\n" PLACE_HELP,
	 cmd_approvals},
	{"schedules", "[--json] | add NAME TEXT | show ID | run ID | pause ID | resume ID | remove ID | preview",
	 "list schedules, make and change them",
	 "A schedule sends TEXT to an agent at certain times. show tells what became of them; preview the next ones.\n"
	 "\n  --cron '0 7 * * mon-fri'  when, by the clock of --zone\n"
	 "  --zone NAME               such as Europe/Berlin; UTC unless told\n"
	 "  --every SECONDS           in a rhythm instead\n"
	 "  --at TIME                 once instead, such as 2026-12-24T18:00:00+01:00\n"
	 "  --agent NAME              the agent, by name or id; the first unless told\n"
	 "  --keep                    always in the same conversation\n"
	 "  --missed skip|once|all    times at which nothing ran; once unless told\n"
	 "  --overlap skip|queue|cancel  while the last run is on; skip unless told\n" PLACE_HELP,
	 cmd_schedules},
	{"batches",
	 "[--json] | add NAME TEXT FILE | show ID | results ID | pause ID | resume ID | cancel ID | retry ID | remove "
	 "ID",
	 "run an agent once for each row of a file",
	 "FILE is a table as CSV, whose first line names the columns, or JSONL; TEXT has a place for each column, such "
	 "as "
	 "{{name}}.\nresults prints what became of each row, with --json as JSONL; retry runs again what failed.\n"
	 "\n  --agent NAME              the agent, by name or id; the first unless told\n"
	 "  --concurrency N           runs at the same time, at most 50; 4 unless told\n"
	 "  --max-failures N          stop after so many\n"
	 "  --format csv|jsonl        by the ending of FILE unless told\n" PLACE_HELP,
	 cmd_batches},
	{"evaluations",
	 "[--json] | add NAME GRADERS FILE | import SET FILE | cases SET | run SET | runs SET | show RUN | results RUN "
	 "| "
	 "compare RUN RUN | pause|resume|cancel|retry RUN | remove SET",
	 "try agents on sets of cases, and compare their versions",
	 "GRADERS is a JSON list, or a file with one; FILE has the cases as JSONL or CSV (docs/evaluations.md). A SET "
	 "is\n"
	 "named by its name or id. compare says what improved and what got worse from the first run to the second.\n"
	 "\n  --agent NAME              of run: the agent, by name or id; the first unless told\n"
	 "  --version N               of run: of the agent; the newest unless told\n"
	 "  --repeats N               of run: each case so often\n"
	 "  --tag TAG                 of run: only cases that have it\n"
	 "  --concurrency N           of run: at the same time, at most 50; 4 unless told\n"
	 "  --wait                    of run: until it is over; exits with 1 when not everything passed\n"
	 "  --failed                  of results: only what did not pass\n"
	 "  --replace                 of import: cases that FILE does not name go\n"
	 "  --format csv|jsonl        by the ending of FILE unless told\n" PLACE_HELP,
	 cmd_evaluations},
	{"knowledge",
	 "[list [COLLECTION] | create NAME | add COLLECTION FILE... | search TEXT | index|remove COLLECTION|DOCUMENT] "
	 "[--json]",
	 "keep documents that agents search",
	 "A collection is named by its name or id, a document by its id. Text, Markdown, HTML and PDF can be added. "
	 "index "
	 "reads\nanew, after a change of the model; remove deletes for good.\n"
	 "\n  --language NAME      of create: english, german, … (default: simple, which fits all)\n"
	 "  --model NAME         of create: a model for embeddings\n"
	 "  --shared             of create: for everybody\n"
	 "  --wait               of add: until the documents are indexed; exits with 1 when one has failed\n"
	 "  --collection NAME    of search: only there\n"
	 "  --mode hybrid|words|vectors, --limit N   of search\n" PLACE_HELP,
	 cmd_knowledge},
	{"models", "[list | providers | add PROVIDER | test SLUG | remove SLUG] [--json]",
	 "list the models, connect and test their providers",
	 "add connects openai, responses, anthropic, ollama or compatible; the key is read from OGENT_MODEL_KEY or "
	 "from a "
	 "line\nof stdin, never from the command line.\n"
	 "\n  --slug SLUG      its short name: models are SLUG/MODEL then\n"
	 "  --address URL    where it is, for ollama and compatible\n"
	 "  --model NAME     its default model; of test: the model to ask\n"
	 "  --default        its default model is what \"default\" means\n"
	 "  --own            for oneself, not for everybody\n" PLACE_HELP,
	 cmd_models},
	{"apis",
	 "[list | show API | add FILE|URL | read API | credentials API SCHEME | share API ROLE [use|edit|share]... | "
	 "remove API] [--json]",
	 "describe HTTP APIs by OpenAPI documents, for agents to call",
	 "add takes an OpenAPI 3 document, JSON or YAML, from a file, an address or - for stdin; read reads its "
	 "address "
	 "once\nmore, or FILE with --file. show lists the operations, ! are those that cannot be called. credentials "
	 "reads "
	 "a secret\nfrom OGENT_API_SECRET or a line of stdin, never from the command line; an empty one takes it away. "
	 "share with\nROLE '*' is everyone, without a right it is taken back.\n"
	 "\n  --name NAME, --slug SLUG   of add: its name, and its short name, with which its tools begin\n"
	 "  --address URL    of add: where the API is, when the document does not say it\n"
	 "  --user NAME      of credentials: the username of a basic scheme\n"
	 "  --file FILE      of read\n" PLACE_HELP,
	 cmd_apis},
	{"account", "export [--out FILE] [--json]", "write all that is one's own into a file",
	 "A tar.gz with JSON lines for each kind, attachments, documents and recordings; no secrets. It is made in "
	 "the\n"
	 "background; the command waits and writes ogent-account.tar.gz, or FILE, never over one that is "
	 "there.\n" PLACE_HELP,
	 cmd_account},
	{"memory", "[list|search WORDS|delete ID|clear] [--json]", "list or forget what agents remember of you",
	 "search finds what has any of the words. clear forgets all but what is shared with everybody.\n" PLACE_HELP,
	 cmd_memory},
	{"retention", "[preview] [--event-days N]... [--json]",
	 "say what is kept for how long, and what would go by now",
	 "For administrators. What is older than an option says goes within the hour; 0 keeps it. agents counts those "
	 "whose\nsetting `retention` is looked at too. To try other rules without any effect:\n"
	 "\n  --conversation-days N, --execution-days N, --result-days N, --event-days N,\n"
	 "  --schedule-history-days N, --delivery-days N, --batch-days N, --usage-days N\n" PLACE_HELP,
	 cmd_retention},
	{"policy", "check [--policy NAME] [--json] 'COMMAND' | list [--json]",
	 "say what the policies make of a command, or list them",
	 "check judges a command line without running it, by the policy that always applies and the one named, and "
	 "says\nwhy. It exits with 0 when it would run by itself, 1 when not. list marks the one that always applies "
	 "with *.\n" PLACE_HELP,
	 cmd_policy},
	{"mails", "[--json]", "list the mails to users, and the links to be handed over",
	 "What was sent, waits or failed, newest first. Without a mail server (option mail_url) the links for "
	 "invitations, new\npasswords and addresses stand here, for whoever may manage users.\n" PLACE_HELP,
	 cmd_mails},
	{"history", "[--limit N] [--json] [ID]", "list past runs, or show one",
	 "With an ID: its message, the commands with their output, and the answer.\n" PLACE_HELP, cmd_history},
	{"status", "[--json]", "show the roles, the sandbox and the model of the platform running here",
	 "Exits with 0 when every role is ready, 1 when one is not, 3 when nothing runs.\n", cmd_status},
	{"doctor", "[--level strict|standard|landlock] [--json]",
	 "show each layer of the sandbox and how to get what is missing",
	 "Tries it out on this machine, as the user who asks. Nothing needs to run. Exits with 0 when commands would "
	 "run "
	 "at\nthat level (the option sandbox_level unless told), 1 when not.\n",
	 cmd_doctor},
	{"users", "[VERB] [USER] [--json]", "list users, see and change what they may do",
	 "  list                         all users\n"
	 "  show USER                    one: by e-mail address, name or id\n"
	 "  roles USER [ROLE]...         give exactly these roles\n"
	 "  grant|deny USER PERMISSION...   besides the roles; a denial wins over every grant\n"
	 "  clear USER PERMISSION...     take such a grant or denial back\n"
	 "  add-service NAME [ROLE]...   a user that is a program, for `ogent tokens create --user`\n"
	 "  disable|enable USER\n"
	 "  remove USER [--transfer-to USER]   with all that is his; what others use goes to whoever removes him\n"
	 "  removals                     what becomes of what removed users had\n" PLACE_HELP,
	 cmd_users},
	{"roles", "[VERB] [ROLE] [--json]", "list roles, make one's own, say why somebody may do something",
	 "  list                         all roles\n"
	 "  show ROLE\n"
	 "  create ROLE [PERMISSION]... [--description TEXT]\n"
	 "  set ROLE [PERMISSION]... [--description TEXT]    these permissions and no others\n"
	 "  remove ROLE                  one that nobody has\n"
	 "  permissions                  every permission there is; agents.* means all that begin so, * all\n"
	 "  check PERMISSION... [--user USER]   exits with 0 when all are allowed, 1 when not\n" PLACE_HELP,
	 cmd_roles},
	{"tokens", "[list|create NAME|revoke ID] [--scopes A,B] [--days N] [--user USER] [--json]",
	 "list, make and revoke access tokens for programs",
	 "create prints the token, once: `OGENT_TOKEN=$(ogent tokens create ci --scopes agents.read)`. It may what its "
	 "scopes\nsay and its user may, for 90 days unless --days says otherwise (at most 366). --user is a service "
	 "account,\nmade by `ogent users add-service`.\n" PLACE_HELP,
	 cmd_tokens},
	{"sso",
	 "[list|add NAME ISSUER CLIENT_ID|set NAME|test NAME|remove NAME] [--label TEXT] [--on yes|no] [--sign-up] "
	 "[--role ROLE] [--domains A,B] [--method M] [--scopes TEXT] [--json]",
	 "let people sign in by another provider (OpenID Connect)",
	 "The client's secret is read from OGENT_SSO_SECRET. --sign-up: who has no account gets one with --role, when "
	 "the\nprovider has verified an address of --domains. --method is client_secret_basic, client_secret_post or "
	 "none.\ntest reads the provider's description and keys, and exits with 1 when they are not good.\n" PLACE_HELP,
	 cmd_sso},
	{"events",
	 "[list|add URL|set ID|test ID|log ID|remove ID] [--events A,B] [--description TEXT] [--on yes|no] [--json]",
	 "send security events to other systems by webhook",
	 "Whatever is written into the audit log is sent, signed by the rules of Standard Webhooks; --events takes "
	 "names "
	 "or\npatterns such as 'factor.*'. add prints the secret, once. log says what was sent and what came of "
	 "it.\n" PLACE_HELP,
	 cmd_events},
	{"audit",
	 "[list|verify] [--event E] [--actor ID] [--target T] [--outcome O] [--since TIME] [--until TIME] "
	 "[--limit N] [--json]",
	 "read the audit log, or check that nobody changed it",
	 "--event takes a name or a beginning such as 'user.*'. verify exits with 0 when every row is as it was "
	 "written,\n1 when one was changed, removed or put in.\n" PLACE_HELP,
	 cmd_audit},
	{"keys", "[list|rotate] [--compromised] [--json]", "list the keys that sign tokens, or take a new one",
	 "rotate publishes a new key, which signs after `signing_key_lead`; the former one is checked with until the "
	 "last\ntoken that it signed has ended. With --compromised the new one signs at once and the others are "
	 "dropped.\n" PLACE_HELP,
	 cmd_keys},
	{"login", "URL", "store a login for a platform elsewhere",
	 "Asks for e-mail and password, or takes a token from OGENT_TOKEN. What it stores is readable only by you, in\n"
	 "$XDG_CONFIG_HOME/ogent/login.json (~/.config/ogent/login.json).\n",
	 cmd_login},
	{"backup", "[--data DIR] FOLDER", "save databases, secrets and workspaces in a new folder",
	 "The platform may run meanwhile. Each database is saved as it is at one moment, and checked. Databases on "
	 "servers\n"
	 "are saved by their own tools; docs/operations.md says how.\n",
	 cmd_backup},
	{"restore", "[--data DIR] FOLDER", "fill an empty data folder from a backup",
	 "Checks the backup first, file by file. Then start the platform with `ogent up`.\n", cmd_restore},
	{"config", "check|show [--config FILE] [--json] [--OPTION VALUE]...",
	 "check the configuration, or show what is in force",
	 "check reads every source and names each fault with its place: unknown and wrong options, addresses, files "
	 "of\n"
	 "secrets. It exits with 0 when all is right and 2 when something is not. A variable OGENT_... that is no "
	 "option is\nonly warned of. show prints the values in force and where each comes from; secrets are not "
	 "shown.\n"
	 "`ogent help config` explains the options.\n",
	 cmd_config},
	{"setup-link", "[--data DIR]", "print a new link for the first administrator",
	 "Where the auth role has its data folder, as its user; the link is good once, for 30 minutes. The URL in "
	 "front "
	 "is\nthat of the option public_url.\n",
	 cmd_setup_link},
	{"healthcheck", "ROLE [--OPTION VALUE]...", "say whether the role running here is ready",
	 "Exits with 0 when it is ready, 1 when it is not (with the reasons on stderr), 3 when it does not answer.\n",
	 cmd_healthcheck},
	{"version", "", "print the version", NULL, cmd_version},
	{"help", "[COMMAND or TOPIC]", "help on a command, or on: config environment formatting exit-codes", NULL,
	 cmd_help},
	ROLE("gateway", "run one role: the public entry and the web app"),
	ROLE("auth", "run one role: users, roles, tokens"),
	ROLE("agent", "run one role: agents, conversations, runs"),
	ROLE("socket", "run one role: live events over WebSocket"),
	ROLE("demo-model", "run one role: a model that needs no key"),
	{0},
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

void command_print_help(const struct command *c)
{
	printf("Usage: ogent %s%s%s\n\n%c%s.\n", c->name, *c->arguments ? " " : "", c->arguments, c->summary[0] - 0x20,
	       c->summary + 1);
	if (c->help)
		printf("%s%s", c->help[0] == '\n' ? "" : "\n", c->help);
}
