/* `ogent doctor`: what this machine gives the sandbox, as the user who asks, and how to get what is missing. Nothing
 * needs to run for it; the probe is the one that the spawner makes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "roles.h"
#include "target.h"

#define NAMESPACES_ADVICE                                                                                             \
	"Ubuntu 23.10 and later: an AppArmor profile for ogent with `userns,`, or sysctl "                            \
	"kernel.apparmor_restrict_unprivileged_userns=0. Debian: sysctl kernel.unprivileged_userns_clone=1. Docker: " \
	"--security-opt seccomp=PROFILE with clone3, unshare, setns, mount and pivot_root allowed, "                  \
	"apparmor=unconfined, "                                                                                       \
	"and as root --cap-add SETFCAP. Kernel 5.12 or later."

static const char *const advice[LAYER_COUNT] = {
	[LAYER_USERNS] = NAMESPACES_ADVICE,
	[LAYER_PIDNS] = NAMESPACES_ADVICE,
	[LAYER_MOUNTNS] = NAMESPACES_ADVICE,
	[LAYER_NETNS] = NAMESPACES_ADVICE,
	[LAYER_IPCNS] = NAMESPACES_ADVICE,
	[LAYER_UTSNS] = NAMESPACES_ADVICE,
	[LAYER_CGROUPNS] = "A kernel with control groups (CONFIG_CGROUPS), and namespaces allowed.",
	[LAYER_ROOT] = NAMESPACES_ADVICE,
	[LAYER_PROC] =
		"In a container /proc must not be masked: Docker --security-opt systempaths=unconfined. Commands run "
		"without it, with an empty /proc.",
	[LAYER_CAPABILITIES] = "This needs nothing; a security module refuses it.",
	[LAYER_NO_NEW_PRIVS] = "This needs nothing; a security module refuses it.",
	[LAYER_RLIMITS] = "A limit of ogent itself is below what is set: raise it where ogent is started.",
	[LAYER_LANDLOCK] =
		"Kernel 5.13 or later with CONFIG_SECURITY_LANDLOCK, and `landlock` in the boot parameter lsm=.",
	[LAYER_SECCOMP] = "A kernel with CONFIG_SECCOMP_FILTER; in a container the call seccomp must be allowed.",
	[LAYER_CGROUP] =
		"Run as root, or as a systemd service with Delegate=yes (the Debian package's is one), or in a "
		"container with a writable cgroup. Without it limits hold per process (rlimits), not for a command "
		"as a whole.",
};

/* In a child: the probe may enter namespaces for good. Returns false without a report. */
static bool probe(const char *data, struct sandbox_report *ret)
{
	char name[300];
	int pipe_fds[2];
	bool ok;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return false;
	snprintf(name, sizeof(name), "%.200s/doctor-%d", data, (int)getpid());
	pid = fork();
	if (pid == 0) {
		static struct sandbox_host host;

		signal(SIGCHLD, SIG_DFL);
		sandbox_host_probe(&host, name);
		ok = write(pipe_fds[1], &host.report, sizeof(host.report)) == sizeof(host.report);
		sandbox_host_deinit(&host);
		_exit(!ok);
	}
	close(pipe_fds[1]);
	ok = pid > 0 && read(pipe_fds[0], ret, sizeof(*ret)) == sizeof(*ret);
	close(pipe_fds[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return ok;
}

static void print_text(const struct sandbox_report *r, enum sandbox_level wanted)
{
	const char *last = NULL;

	printf("level     %s, required %s: commands %s\n", sandbox_level_name(r->level), sandbox_level_name(wanted),
	       r->level >= wanted ? "run" : "do NOT run");
	for (int i = 0; i < LAYER_COUNT; i++)
		printf("%-3s  %-13s %s\n", r->layers[i].ok ? "on" : "OFF", sandbox_layer_name((enum sandbox_layer)i),
		       r->layers[i].detail);
	for (int i = 0; i < LAYER_COUNT; i++)
		if (!r->layers[i].ok && advice[i] != last) {
			last = advice[i];
			printf("\nTo get %s: %s\n", sandbox_layer_name((enum sandbox_layer)i), advice[i]);
		}
}

static void print_json(const struct sandbox_report *r, enum sandbox_level wanted)
{
	_cleanup_(arena_free_p) struct arena *a = arena_new();
	yyjson_mut_doc *doc;
	yyjson_mut_val *obj = json_new_obj(a, &doc), *layers;
	struct str text;

	report_add_json(doc, obj, r, wanted);
	layers = yyjson_mut_obj_get(obj, "layers");
	for (int i = 0; i < LAYER_COUNT; i++)
		if (!r->layers[i].ok)
			yyjson_mut_obj_add_str(doc,
					       yyjson_mut_obj_get(layers, sandbox_layer_name((enum sandbox_layer)i)),
					       "advice", advice[i]);
	text = json_text(a, doc);
	printf("%.*s\n", (int)text.n, text.p);
}

bool exec_doctor(const struct options *options, const char *level, bool is_json)
{
	enum sandbox_level wanted = sandbox_level_of(level ? level : option_str(options, "sandbox_level"));
	struct sandbox_report report;

	if (wanted == SANDBOX_NONE || !probe(option_str(options, "data"), &report)) {
		fprintf(stderr, wanted == SANDBOX_NONE ? "ogent: --level is strict, standard or landlock\n"
						       : "ogent: the probe of the sandbox died\n");
		return false;
	}
	if (is_json)
		print_json(&report, wanted);
	else
		print_text(&report, wanted);
	return report.level >= wanted;
}
