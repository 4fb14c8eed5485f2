#include "roles.h"

int auth_main(const struct options *options)
{
	return 1;
}
