#include "roles.h"

int demo_main(const struct options *options)
{
	return 1;
}
