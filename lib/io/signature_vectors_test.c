/* Public vectors (tests/vectors/, whose heads say whence): what is invalid there is refused, what is valid is accepted
 * unless its key is one that this platform takes from nobody. Arguments: the three files. */
#include "io/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 65536

struct counts {
	int valid, invalid, keys_refused;
};

static const char *const *files;

/* From hex; "-" is nothing. */
static struct buf bytes(struct str hex)
{
	struct buf b = BUF_INIT;

	buf_reserve(&b, hex.n + 1);
	if (!str_is(hex, "-"))
		assert_int_equal(sodium_hex2bin((uint8_t *)b.p, hex.n, hex.p, hex.n, NULL, &b.n, NULL), 0);
	return b;
}

static struct signature_key *read_key(enum signature_alg alg, struct str *rest)
{
	struct buf one = bytes(str_cut(rest, ' ')), other = BUF_INIT;
	struct signature_key *key = NULL;
	struct error err = {0};

	switch (alg) {
	case SIGNATURE_EDDSA: key = signature_key_ed25519(buf_str(&one), &err); break;
	case SIGNATURE_ES256:
		key = signature_key_ec((struct str){one.p, one.n / 2}, (struct str){one.p + one.n / 2, one.n / 2},
				       &err);
		break;
	case SIGNATURE_RS256:
		other = bytes(str_cut(rest, ' '));
		key = signature_key_rsa(buf_str(&one), buf_str(&other), &err);
		break;
	}
	buf_deinit(&one);
	buf_deinit(&other);
	return key;
}

static void try_line(enum signature_alg alg, struct str rest, int line, struct counts *n)
{
	struct str result = str_cut(&rest, ' ');
	struct signature_key *key = read_key(alg, &rest);
	struct buf message = bytes(str_cut(&rest, ' ')), signature = bytes(rest);
	bool is_valid = str_has_prefix(result, STR("valid")), is_der = str_has_suffix(result, STR("-der"));
	bool ok =
		key && (is_der ? signature_verify_der : signature_verify)(key, buf_str(&message), buf_str(&signature));

	if (ok != is_valid && !(is_valid && !key))
		fail_msg("line %d: %.*s, but it is %s", line, STR_ARG(result), ok ? "accepted" : "refused");
	n->valid += is_valid && key;
	n->invalid += !is_valid;
	n->keys_refused += is_valid && !key;
	signature_key_free(key);
	buf_deinit(&message);
	buf_deinit(&signature);
}

static struct counts try_file(enum signature_alg alg, const char *path)
{
	static char line[LINE_MAX_BYTES];
	struct counts n = {0};
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	for (int i = 1; fgets(line, sizeof(line), f); i++)
		if (line[0] != '#')
			try_line(alg, str_trim(str_of(line)), i, &n);
	fclose(f);
	return n;
}

static void wycheproofs_signatures_of_ed25519(void **state)
{
	struct counts n = try_file(SIGNATURE_EDDSA, files[0]);

	assert_int_equal(n.valid, 84);
	assert_int_equal(n.invalid, 61);
	assert_int_equal(n.keys_refused, 0);
}

static void nists_signatures_of_p256(void **state)
{
	struct counts n = try_file(SIGNATURE_ES256, files[1]);

	assert_int_equal(n.valid, 21);
	assert_int_equal(n.invalid, 20);
	assert_int_equal(n.keys_refused, 0);
}

/* Exponents of more than 32 bits, and keys of less than 2,048, are nobody's here. */
static void nists_signatures_of_rsa(void **state)
{
	struct counts n = try_file(SIGNATURE_RS256, files[2]);

	assert_int_equal(n.valid + n.keys_refused, 16);
	assert_int_equal(n.invalid, 54);
	assert_in_range(n.valid, 8, 16);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wycheproofs_signatures_of_ed25519),
		cmocka_unit_test(nists_signatures_of_p256),
		cmocka_unit_test(nists_signatures_of_rsa),
	};

	if (argc != 4 || sodium_init() < 0)
		return 2;
	files = (const char *const *)argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
