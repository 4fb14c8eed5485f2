#include "target.h"

#define CREATE_BODY (8 << 20) /* 1 MiB of stdin, every byte of it escaped, and the rest */

const struct route exec_routes[] = {
	{HTTP_GET_, "/api/commands", "commands.read", 0, 0, commands_list},
	{HTTP_POST_, "/api/commands", "commands.run", ROUTE_BODY_JSON, CREATE_BODY, commands_create},
	{HTTP_GET_, "/api/commands/{id}", "commands.read", 0, 0, commands_get},
	{HTTP_GET_, "/api/commands/{id}/stream", "commands.read", 0, 0, commands_stream},
	{HTTP_GET_, "/api/commands/{id}/output", "commands.read", 0, 0, commands_output},
	{HTTP_POST_, "/api/commands/{id}/cancel", "commands.run", 0, 1024, commands_cancel},
	{HTTP_POST_, "/api/commands/{id}/stdin", "commands.run", ROUTE_STREAM, 0, commands_stdin},
	{HTTP_POST_, "/api/commands/{id}/signal", "commands.run", ROUTE_BODY_JSON, 1024, commands_signal},
	{HTTP_POST_, "/api/commands/{id}/resize", "commands.run", ROUTE_BODY_JSON, 1024, commands_resize},
	{HTTP_GET_, "/api/commands/{id}/recording", "commands.read", 0, 0, commands_recording},
	/* The token may come in the first message: a browser cannot send it otherwise. */
	{HTTP_GET_, "/api/commands/{id}/terminal", NULL, ROUTE_PUBLIC, 0, commands_terminal},
	{HTTP_GET_, "/api/targets", "commands.read", 0, 0, targets_list},
};
const size_t exec_routes_n = ARRAY_SIZE(exec_routes);
