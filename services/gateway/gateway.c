#include "roles.h"

int gateway_main(const struct options *options)
{
	return 1;
}
