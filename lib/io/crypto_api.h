/* The functions of OpenSSL's libcrypto that are used, for what libsodium does not have (P-256, RSA), loaded from the
 * shared library at first use. */
#pragma once

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

/* X(name) */
#define CRYPTO_FUNCTIONS(X)      \
	X(BN_bin2bn)             \
	X(BN_bn2binpad)          \
	X(BN_free)               \
	X(BN_num_bits)           \
	X(CRYPTO_clear_free)     \
	X(CRYPTO_free)           \
	X(ECDSA_SIG_free)        \
	X(ECDSA_SIG_get0)        \
	X(ECDSA_SIG_new)         \
	X(ECDSA_SIG_set0)        \
	X(ERR_clear_error)       \
	X(EVP_DigestSign)        \
	X(EVP_DigestSignInit)    \
	X(EVP_DigestVerify)      \
	X(EVP_DigestVerifyInit)  \
	X(EVP_MD_CTX_free)       \
	X(EVP_MD_CTX_new)        \
	X(EVP_PKEY_free)         \
	X(EVP_PKEY_get_bn_param) \
	X(EVP_PKEY_get_bits)     \
	X(EVP_PKEY_get_size)     \
	X(EVP_PKEY_is_a)         \
	X(EVP_PKEY_Q_keygen)     \
	X(EVP_sha256)            \
	X(d2i_AutoPrivateKey)    \
	X(d2i_ECDSA_SIG)         \
	X(d2i_PUBKEY)            \
	X(i2d_ECDSA_SIG)         \
	X(i2d_PUBKEY)            \
	X(i2d_PrivateKey)

struct crypto_api {
#define X(name) typeof(name) *name;
	CRYPTO_FUNCTIONS(X)
#undef X
};

/* NULL when the library is not installed. On any thread. */
const struct crypto_api *crypto_api_load(void);
