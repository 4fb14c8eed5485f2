#include <stdio.h>

int main(void)
{
	puts("ogent " OGENT_VERSION);
	return 0;
}
