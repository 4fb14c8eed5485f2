#include "roles.h"

int exec_main(const struct options *options)
{
	return 1;
}
