#include "roles.h"

int socket_main(const struct options *options)
{
	return 1;
}
