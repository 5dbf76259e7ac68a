// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// The least a gRPC server on epoll and nghttp2 can do, in C on one thread: real frames, and messages
// parsed by hand; no limits, no deadlines, no codec. What it costs is nghttp2's and the kernel's.
// Serves helloworld.Greeter and bench.Bench.
//
//   ngt PORT [BATCH]    with BATCH, unary replies wait until BATCH of them can go out in one write:
//                       a client that is measured sees the same in every run
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAM_WINDOW = 1 << 20, CONNECTION_WINDOW = 4 << 20 };

typedef struct {
  uint8_t *bytes;
  size_t from, to, room;
} buffer;

typedef enum { UNKNOWN, HELLO, ECHO, DOWN, PINGPONG } method;

typedef struct {
  method method;
  int started, ended;
  buffer in, out;
  // Down: the message with its prefix, how far the one under way is, and how many are to come.
  uint8_t *message;
  size_t length, sent;
  uint64_t left;
} stream;

typedef struct {
  int fd, watched, waiting;
  nghttp2_session *session;
  buffer out;
  int32_t *ids;  // of calls that wait for their batch
} connection;

static int poller, batch;

static void put(buffer *b, const void *bytes, size_t count) {
  if (b->to + count > b->room) {
    memmove(b->bytes, b->bytes + b->from, b->to - b->from);
    b->to -= b->from;
    b->from = 0;
    if (b->to + count > b->room) {
      if (!b->room) b->room = 256;
      while (b->room < b->to + count) b->room *= 2;
      b->bytes = realloc(b->bytes, b->room);
    }
  }
  memcpy(b->bytes + b->to, bytes, count);
  b->to += count;
}

static size_t take(buffer *b, uint8_t *to, size_t room) {
  size_t count = b->to - b->from;
  if (count > room) count = room;
  if (count) memcpy(to, b->bytes + b->from, count);
  b->from += count;
  if (b->from == b->to) b->from = b->to = 0;
  return count;
}

static void prefix(uint8_t *to, size_t length) {
  to[0] = 0;
  to[1] = (uint8_t)(length >> 24);
  to[2] = (uint8_t)(length >> 16);
  to[3] = (uint8_t)(length >> 8);
  to[4] = (uint8_t)length;
}

static size_t write_varint(uint8_t *to, uint64_t value) {
  size_t n = 0;
  for (; value >= 128; value >>= 7) to[n++] = (uint8_t)(value | 128);
  to[n++] = (uint8_t)value;
  return n;
}

// NULL when it does not end before `end`.
static const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t *value) {
  *value = 0;
  for (int shift = 0; p && p < end && shift < 64; shift += 7) {
    uint8_t byte = *p++;
    *value |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) return p;
  }
  return NULL;
}

#define HEADER(n, v)                                                   \
  {(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1,       \
   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

static ssize_t read_reply(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *user) {
  static const nghttp2_nv trailers[] = {HEADER("grpc-status", "0")};
  stream *s = source->ptr;
  size_t n = 0;
  if (s->method == DOWN) {
    while (n < room && s->left) {
      size_t count = s->length - s->sent;
      if (count > room - n) count = room - n;
      memcpy(to + n, s->message + s->sent, count);
      n += count;
      s->sent += count;
      if (s->sent == s->length) s->sent = 0, s->left--;
    }
    if (s->left) return (ssize_t)n;
  } else {
    n = take(&s->out, to, room);
    if (s->out.to || (s->method == PINGPONG && !s->ended))
      return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
  }
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  nghttp2_submit_trailer(session, id, trailers, 1);
  return (ssize_t)n;
}

static void respond(nghttp2_session *session, int32_t id, stream *s) {
  static const nghttp2_nv headers[] = {HEADER(":status", "200"),
                                       HEADER("content-type", "application/grpc")};
  nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = read_reply};
  if (s->started) {
    nghttp2_session_resume_data(session, id);
  } else {
    s->started = 1;
    nghttp2_submit_response(session, id, headers, 2, &provider);
  }
}

static void refuse(nghttp2_session *session, int32_t id) {
  static const nghttp2_nv headers[] = {HEADER(":status", "200"),
                                       HEADER("content-type", "application/grpc"),
                                       HEADER("grpc-status", "12")};
  nghttp2_submit_response(session, id, headers, 3, NULL);
}

static void hello(stream *s, const uint8_t *p, const uint8_t *end) {
  uint64_t tag, length = 0;
  const uint8_t *name = p;
  while (p && p < end && (p = read_varint(p, end, &tag)) && tag == 10) {
    p = read_varint(p, end, &length);
    if (!p || length > (uint64_t)(end - p) || length > 4000) {
      length = 0;
      break;
    }
    name = p;
    p += length;
  }
  uint8_t reply[4200];
  size_t n = 5;
  reply[n++] = 10;
  n += write_varint(reply + n, 7 + length);
  memcpy(reply + n, "Hello, ", 7);
  memcpy(reply + n + 7, name, length);
  n += 7 + length;
  prefix(reply, n - 5);
  put(&s->out, reply, n);
}

static void down(stream *s, const uint8_t *p, const uint8_t *end) {
  uint64_t tag, value, size = 0;
  while (p && p < end && (p = read_varint(p, end, &tag))) {
    p = read_varint(p, end, &value);
    if (p && tag == 8) s->left = value;
    if (p && tag == 16) size = value;
  }
  if (size > 16 << 20) size = 16 << 20;
  s->message = malloc(size + 32);
  size_t n = 5;
  s->message[n++] = 10;
  n += write_varint(s->message + n, size);
  memset(s->message + n, 'x', size);
  s->length = n + size;
  prefix(s->message, s->length - 5);
}

// One whole request of a method that takes one.
static void handle(connection *c, int32_t id, stream *s) {
  if (s->in.to < 5) return refuse(c->session, id);
  const uint8_t *payload = s->in.bytes + 5, *end = s->in.bytes + s->in.to;
  if (s->method == HELLO) hello(s, payload, end);
  else if (s->method == ECHO) put(&s->out, s->in.bytes, s->in.to);
  else down(s, payload, end);
  if (!batch || s->method == DOWN) return respond(c->session, id, s);
  c->ids[c->waiting++] = id;
  if (c->waiting < batch) return;
  for (int i = 0; i < c->waiting; i++) {
    stream *waiting = nghttp2_session_get_stream_user_data(c->session, c->ids[i]);
    if (waiting) respond(c->session, c->ids[i], waiting);
  }
  c->waiting = 0;
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *f, void *user) {
  if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
    nghttp2_session_set_stream_user_data(session, f->hd.stream_id, calloc(1, sizeof(stream)));
  return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
                     size_t nameLength, const uint8_t *value, size_t length, uint8_t flags,
                     void *user) {
  static const struct {
    const char *path;
    method method;
  } table[] = {{"/helloworld.Greeter/SayHello", HELLO},
               {"/bench.Bench/Echo", ECHO},
               {"/bench.Bench/Down", DOWN},
               {"/bench.Bench/PingPong", PINGPONG}};
  if (nameLength != 5 || memcmp(name, ":path", 5)) return 0;
  stream *s = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
  for (size_t i = 0; s && i < sizeof table / sizeof *table; i++)
    if (strlen(table[i].path) == length && !memcmp(table[i].path, value, length))
      s->method = table[i].method;
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t count, void *user) {
  stream *s = nghttp2_session_get_stream_user_data(session, id);
  if (!s) return 0;
  put(s->method == PINGPONG ? &s->out : &s->in, bytes, count);
  if (s->method == PINGPONG) respond(session, id, s);
  return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user) {
  if (f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS) return 0;
  stream *s = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
  if (!s) return 0;
  int ends = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
  s->ended |= ends;
  if (s->method == UNKNOWN) refuse(session, f->hd.stream_id);
  else if (s->method == PINGPONG && (ends || f->hd.type == NGHTTP2_HEADERS))
    respond(session, f->hd.stream_id, s);
  else if (ends) handle(user, f->hd.stream_id, s);
  return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
  stream *s = nghttp2_session_get_stream_user_data(session, id);
  if (!s) return 0;
  free(s->in.bytes);
  free(s->out.bytes);
  free(s->message);
  free(s);
  return 0;
}

// Not 0 when the connection is over.
static int flush(connection *c) {
  for (;;) {
    while (c->out.to - c->out.from < 65536) {
      const uint8_t *bytes;
      ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
      if (n < 0) return -1;
      if (n == 0) break;
      put(&c->out, bytes, (size_t)n);
    }
    size_t count = c->out.to - c->out.from;
    if (!count) break;
    ssize_t n = send(c->fd, c->out.bytes + c->out.from, count, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return -1;
    c->out.from += (size_t)n;
    if (c->out.from == c->out.to) c->out.from = c->out.to = 0;
    else if ((size_t)n < count) break;
  }
  int want = EPOLLIN | (c->out.to ? EPOLLOUT : 0);
  if (want != c->watched) {
    struct epoll_event e = {.events = (uint32_t)want, .data.ptr = c};
    epoll_ctl(poller, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
    c->watched = want;
  }
  return !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session) &&
         !c->out.to;
}

static void drop(connection *c) {
  close(c->fd);
  nghttp2_session_del(c->session);
  free(c->out.bytes);
  free(c->ids);
  free(c);
}

static void accept_all(int listener, nghttp2_session_callbacks *callbacks) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    if (batch) c->ids = calloc((size_t)batch, sizeof *c->ids);
    nghttp2_session_server_new(&c->session, callbacks, c);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100000},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    nghttp2_submit_settings(c->session, 0, settings, 2);
    nghttp2_session_set_local_window_size(c->session, 0, 0, CONNECTION_WINDOW);
    if (flush(c)) drop(c);
  }
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: ngt PORT [BATCH]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  batch = count > 2 ? atoi(arguments[2]) : 0;
  if (batch < 0) batch = 0;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(arguments[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (void *)&address, length) || listen(listener, 1024)) {
    perror("ngt");
    return 1;
  }
  getsockname(listener, (void *)&address, &length);
  poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);

  nghttp2_session_callbacks *callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);

  static uint8_t bytes[65536];
  struct epoll_event events[256];
  for (;;) {
    int ready = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      connection *c = events[i].data.ptr;
      if (!c) {
        accept_all(listener, callbacks);
        continue;
      }
      int over = 0;
      if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        over = n == 0 || (n < 0 && errno != EAGAIN) ||
               (n > 0 && nghttp2_session_mem_recv(c->session, bytes, (size_t)n) < 0);
      }
      if (over || flush(c)) drop(c);
    }
  }
}
