/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */

/* OpenSSL 3, and in functions what it has as macros, which Swift cannot see. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static inline unsigned long trunk_ssl_ctx_set_mode(SSL_CTX *ctx, unsigned long mode) {
  return (unsigned long)SSL_CTX_set_mode(ctx, mode);
}
/* RFC 9113 section 9.2.1: no renegotiation, no compression. */
static inline void trunk_ssl_ctx_set_http2_options(SSL_CTX *ctx) {
  (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}
static inline int trunk_ssl_ctx_set_min_version(SSL_CTX *ctx, int version) {
  return (int)SSL_CTX_set_min_proto_version(ctx, version);
}
static inline void trunk_ssl_ctx_set_session_cache_mode(SSL_CTX *ctx, long mode) {
  (void)SSL_CTX_set_session_cache_mode(ctx, mode);
}
static inline int trunk_ssl_ctx_add_chain_cert(SSL_CTX *ctx, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(ctx, certificate);
}
static inline void trunk_ssl_ctx_set_servername_callback(
    SSL_CTX *ctx, int (*callback)(SSL *, int *, void *), void *argument) {
  (void)SSL_CTX_set_tlsext_servername_callback(ctx, callback);
  (void)SSL_CTX_set_tlsext_servername_arg(ctx, argument);
}
static inline int trunk_ssl_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}
static inline void trunk_print_name(BIO *bio, X509_NAME *name) {
  (void)X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
}
static inline void trunk_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void trunk_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline int trunk_err_reason(unsigned long error) { return ERR_GET_REASON(error); }

static inline X509 *trunk_chain_at(X509_STORE_CTX *context, int index) {
  STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context);
  return chain && index < sk_X509_num(chain) ? sk_X509_value(chain, index) : NULL;
}

/* The subject alternative names; free with trunk_san_free. */
static inline GENERAL_NAMES *trunk_san(X509 *certificate) {
  return (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}
static inline void trunk_san_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
static inline int trunk_san_count(GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
/* The type of a name (GEN_DNS, GEN_URI, GEN_IPADD) and its bytes; other types have none. */
static inline int trunk_san_at(
    GENERAL_NAMES *names, int index, const unsigned char **bytes, int *count) {
  GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
  ASN1_STRING *text = NULL;
  if (name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL) text = name->d.ia5;
  if (name->type == GEN_IPADD) text = name->d.iPAddress;
  *bytes = text ? ASN1_STRING_get0_data(text) : NULL;
  *count = text ? ASN1_STRING_length(text) : 0;
  return name->type;
}
