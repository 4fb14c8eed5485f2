#include "roles.h"

int agent_main(const struct options *options)
{
	return 1;
}
