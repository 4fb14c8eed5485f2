/* The load of `exec.commands_per_second`: WIDTH clients, each with one connection, run /bin/true one after the other in
 * one workspace and follow each to its end. Usage: commands PORT TOKEN N WIDTH. Prints commands per second. */
#include "client.h"

static void *work(void *arg)
{
	struct client *c = client_new();

	while (atomic_fetch_sub(&left, 1) > 0) {
		ask(c, "POST", "/api/commands?stream=1", "text/event-stream",
		    "{\"argv\":[\"/bin/true\"],\"workspace\":\"bench\",\"timeout_ms\":60000}");
		if (!strstr(c->text, "\"exit_code\":0"))
			die("a command did not end well", c->text);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	place = argv[1], token = argv[2];
	int n = atoi(argv[3]);
	left = n;
	printf("%.1f\n", n / run_all(atoi(argv[4]), work));
	return 0;
}
