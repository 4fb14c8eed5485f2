/* What an authenticator sends: CBOR, COSE keys, authenticator data. The first byte says where the rest goes. */
#include "mfa/webauthn.h"

#include <stdint.h>

#include "mfa/cbor.h"

static const uint8_t challenge[WEBAUTHN_CHALLENGE_SIZE];
static const struct webauthn_request request = {"example.org", "https://example.org", challenge, false};
static const struct str made = STR("{\"type\":\"webauthn.create\",\"origin\":\"https://example.org\","
				   "\"challenge\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"),
			used = STR("{\"type\":\"webauthn.get\",\"origin\":\"https://example.org\","
				   "\"challenge\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = {(const char *)data + 1, n - 1};
	struct webauthn_credential c;
	struct error err = {0};
	uint32_t count;
	size_t cut;

	if (n == 0)
		return 0;
	switch (data[0] & 3) {
	case 0: webauthn_read_new(&request, made, in, &c, &err); break;
	case 1: webauthn_read_new(&request, in, STR("\xa0"), &c, &err); break;
	case 2:
		cut = in.n / 2;
		webauthn_check(&request, (struct str){in.p, cut}, 0, used, (struct str){in.p + cut, in.n - cut},
			       STR("sig"), &count, &err);
		break;
	default: return cbor_item_size(in) > in.n ? __builtin_trap(), 0 : 0;
	}
	return 0;
}
