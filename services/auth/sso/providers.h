/* What a provider's secret is sealed for. */
#pragma once

#include "sso/sso.h"

/* The context of seal and unseal, for the row of that id. In the arena. */
const char *provider_secret_context(struct arena *a, const char *id);
