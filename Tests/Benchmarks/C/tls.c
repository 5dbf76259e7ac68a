/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */

/* A TLS client that is the same for every server: TLS 1.3, ALPN h2, no certificates checked.
 *   tls PORT full COUNT      handshakes one after the other; prints {"per_s": N}
 *   tls PORT resumed COUNT   the same with the newest ticket
 *   tls PORT idle COUNT      connections with preface and SETTINGS exchanged; prints `ready`, holds
 *                            them until the end of stdin
 * cc -O2 -o tls tls.c -lssl -lcrypto */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static SSL_SESSION *newest;

static int keep(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  SSL_SESSION_free(newest);
  newest = session;
  return 1;
}
static void fail(const char *what) {
  fprintf(stderr, "tls: %s\n", what);
  exit(1);
}
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

/* A connection whose SETTINGS have come, and with them the ticket that was sent before. */
static SSL *open_connection(SSL_CTX *context, int port, int resume) {
  static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("no connection");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  SSL *ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  SSL_set_tlsext_host_name(ssl, "localhost");
  if (resume && newest) SSL_set_session(ssl, newest);
  if (SSL_connect(ssl) != 1) fail("no handshake");
  if (resume > 1 && !SSL_session_reused(ssl)) fail("not resumed");
  char answer[256];
  if (SSL_write(ssl, hello, sizeof hello - 1) <= 0 || SSL_read(ssl, answer, sizeof answer) <= 0)
    fail("no HTTP/2");
  return ssl;
}
static void close_connection(SSL *ssl) {
  int fd = SSL_get_fd(ssl);
  struct linger at_once = {1, 0}; /* no TIME_WAIT: there are more connections than ports */
  SSL_shutdown(ssl);
  SSL_free(ssl);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 4) fail("usage: tls PORT full|resumed|idle COUNT");
  int port = atoi(argv[1]), count = atoi(argv[3]);
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\2h2", 3);
  if (!strcmp(argv[2], "idle")) {
    for (int i = 0; i < count; i++) open_connection(context, port, 0);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
  }
  int resume = !strcmp(argv[2], "resumed");
  if (resume) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep);
  }
  for (int i = 0; i < 20; i++) close_connection(open_connection(context, port, resume));
  double start = now();
  for (int i = 0; i < count; i++) close_connection(open_connection(context, port, resume * 2));
  printf("{\"per_s\": %.1f}\n", count / (now() - start));
  return 0;
}
