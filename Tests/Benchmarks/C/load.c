// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// A neutral gRPC client on nghttp2 and epoll, one thread. It checks every byte of every reply, and
// ends with 1 at the first wrong one.
//
//   load lockstep PORT CALLS TICKS               sends CALLS unary calls in one write, waits for all
//                                                replies, and again: what arrives together is fixed
//   load messages PORT COUNT SIZE CALLS          server streaming: CALLS calls in a row
//   load pingpong PORT COUNT SIZE                one stream
//   load echo PORT COUNT SIZE                    unary, one after the other
//   load pace PORT RATE SECONDS CONNS IDLE LARGE calls on a timetable, spread over CONNS connections;
//                                                each connection has IDLE open streams besides; LARGE
//                                                per mille of the calls echo 1 MiB
//   load rotate PORT CALLS CONNS IDLE            one call after the other, each on the next connection
//   load hold PORT CONNS STREAMS                 opens them, prints `ready`, closes at the end of stdin
//
// Prints one line of JSON. A call of `pace` is timed from when it was due, not from when it was sent:
// a server that stalls is charged for the calls that had to wait (no coordinated omission). So is one
// whose calls were sent late by `load` itself: how late they were is reported as `late_us`, and it does
// no more than a bite of a large message between two looks at the clock.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <time.h>
#include <unistd.h>

#define TURNS UINT64_MAX

// A message with its prefix.
typedef struct {
  uint8_t *bytes;
  size_t length;
} message;

typedef struct {
  const char *path;
  message request, reply;
} method;

typedef struct connection connection;
typedef struct {
  connection *on;
  const method *method;
  size_t sent;        // of the request that is under way
  long requests;      // to be sent, this one included; -1: none yet, stream stays open
  size_t matched;     // of the reply that is under way
  long replies;       // received
  long expected;
  uint64_t due;       // 0: not timed; TURNS: a ping-pong stream
  int status;         // grpc-status, -1 until it came
  int large;
} call;

struct connection {
  int fd, watched, settled;
  nghttp2_session *session;
  uint8_t *out;
  size_t from, to, room;
};

static int poller, port;
static connection *connections;
static int connectionCount;
static long open_calls, done_calls;
static uint64_t *latencies, *large_latencies, *lateness;
static long latencyCount, largeCount, lateCount;
// At most so many bytes of one connection are taken from nghttp2, or received, at once; and so many
// connections are looked after in a turn.
static size_t bite = 1 << 18;
static int turn_events = 256;

static void stop(const char *why) {
  fprintf(stderr, "load: %s\n", why);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t varint(uint8_t *to, uint64_t value) {
  size_t n = 0;
  for (; value >= 128; value >>= 7) to[n++] = (uint8_t)(value | 128);
  to[n++] = (uint8_t)value;
  return n;
}

static message frame(const uint8_t *payload, size_t length) {
  message m = {malloc(length + 5), length + 5};
  uint8_t prefix[5] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                       (uint8_t)length};
  memcpy(m.bytes, prefix, 5);
  memcpy(m.bytes + 5, payload, length);
  return m;
}

// Field 1, length-delimited.
static message field1(const void *bytes, size_t length) {
  uint8_t *payload = malloc(length + 12);
  payload[0] = 10;
  size_t n = 1 + varint(payload + 1, length);
  memcpy(payload + n, bytes, length);
  message m = frame(payload, n + length);
  free(payload);
  return m;
}

static message filled(uint8_t byte, size_t length) {
  uint8_t *bytes = malloc(length);
  memset(bytes, byte, length);
  message m = field1(bytes, length);
  free(bytes);
  return m;
}

static message downRequest(int count, int size) {
  uint8_t payload[24];
  size_t n = 0;
  payload[n++] = 8;
  n += varint(payload + n, (uint64_t)count);
  payload[n++] = 16;
  n += varint(payload + n, (uint64_t)size);
  return frame(payload, n);
}

static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *user) {
  call *c = source->ptr;
  if (c->requests < 0) return NGHTTP2_ERR_DEFERRED;
  if (c->requests == 0) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return 0;
  }
  const message *m = &c->method->request;
  size_t n = m->length - c->sent;
  if (n > room) n = room;
  memcpy(buffer, m->bytes + c->sent, n);
  c->sent += n;
  if (c->sent == m->length) {
    c->sent = 0;
    if (--c->requests == 0) {
      // A ping-pong stream waits for its next turn; everything else has said all.
      if (c->due == TURNS) c->requests = -1;
      else *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
  }
  return (ssize_t)n;
}

#define HEADER(n, v) \
  { (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, strlen(v), NGHTTP2_NV_FLAG_NONE }

static call *begin(connection *on, const method *m, long requests, long expected, uint64_t due) {
  call *c = calloc(1, sizeof *c);
  c->on = on;
  c->method = m;
  c->requests = requests;
  c->expected = expected;
  c->due = due;
  c->status = -1;
  nghttp2_nv headers[] = {
      HEADER(":method", "POST"),  HEADER(":scheme", "http"),
      HEADER(":path", m->path),   HEADER(":authority", "127.0.0.1"),
      HEADER("te", "trailers"),   HEADER("content-type", "application/grpc"),
      HEADER("user-agent", "load"),
  };
  nghttp2_data_provider provider = {.source = {.ptr = c}, .read_callback = read_request};
  if (nghttp2_submit_request(on->session, NULL, headers, 7, &provider, c) < 0) stop("no stream");
  open_calls++;
  return c;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
                     size_t nameLength, const uint8_t *value, size_t valueLength, uint8_t flags,
                     void *user) {
  call *c = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
  if (!c) return 0;
  if (nameLength == 11 && !memcmp(name, "grpc-status", 11))
    c->status = valueLength == 1 && *value == '0' ? 0 : 1;
  if (nameLength == 7 && !memcmp(name, ":status", 7) && (valueLength != 3 || memcmp(value, "200", 3)))
    stop(":status is not 200");
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t length, void *user) {
  call *c = nghttp2_session_get_stream_user_data(session, id);
  if (!c) return 0;
  const message *m = &c->method->reply;
  while (length) {
    size_t n = m->length - c->matched;
    if (n > length) n = length;
    if (memcmp(data, m->bytes + c->matched, n)) stop("a reply has wrong bytes");
    data += n;
    length -= n;
    c->matched += n;
    if (c->matched < m->length) break;
    c->matched = 0;
    c->replies++;
    if (c->due == TURNS) {  // ping-pong: the next turn
      uint64_t t = now();
      latencies[latencyCount] = t - latencies[latencyCount];
      latencies[++latencyCount] = t;  // the slot holds when the next turn began
      c->requests = c->replies < c->expected ? 1 : 0;
      nghttp2_session_resume_data(session, id);
    }
  }
  return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
  call *c = nghttp2_session_get_stream_user_data(session, id);
  if (!c) return 0;
  if (code || c->status || c->matched || c->replies != c->expected) {
    fprintf(stderr, "load: stream %d ended with code %u, grpc-status %d, %ld of %ld replies\n", id,
            code, c->status, c->replies, c->expected);
    exit(1);
  }
  if (latencies && c->due && c->due != TURNS) {
    if (c->large) large_latencies[largeCount++] = now() - c->due;
    else latencies[latencyCount++] = now() - c->due;
  }
  free(c);
  open_calls--;
  done_calls++;
  return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user) {
  if (f->hd.type == NGHTTP2_SETTINGS && (f->hd.flags & NGHTTP2_FLAG_ACK))
    ((connection *)user)->settled = 1;
  if (f->hd.type == NGHTTP2_GOAWAY) stop("the server sent GOAWAY");
  return 0;
}

static void flush(connection *c) {
  for (;;) {
    while (c->to - c->from < bite) {
      const uint8_t *data;
      ssize_t n = nghttp2_session_mem_send(c->session, &data);
      if (n < 0) stop("nghttp2_session_mem_send");
      if (n == 0) break;
      if (c->to + (size_t)n > c->room) {
        memmove(c->out, c->out + c->from, c->to - c->from);
        c->to -= c->from;
        c->from = 0;
        if (c->to + (size_t)n > c->room) c->out = realloc(c->out, c->room = (c->to + (size_t)n) * 2);
      }
      memcpy(c->out + c->to, data, (size_t)n);
      c->to += (size_t)n;
    }
    if (c->from == c->to) break;
    ssize_t n = send(c->fd, c->out + c->from, c->to - c->from, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) stop("the server closed the connection");
    if (n > 0) c->from += (size_t)n;
    if (c->from == c->to) c->from = c->to = 0;
    else if (n < 0) break;
    if (turn_events == 1) break;
  }
  int more = c->from < c->to || (turn_events == 1 && nghttp2_session_want_write(c->session));
  int want = EPOLLIN | (more ? EPOLLOUT : 0);
  if (want != c->watched) {
    struct epoll_event e = {.events = (uint32_t)want, .data.ptr = c};
    epoll_ctl(poller, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
    c->watched = want;
  }
}

// One round of the loop; waits at most `timeout` ms, -1 without limit.
static void turn(int timeout) {
  static uint8_t buffer[1 << 18];
  struct epoll_event events[256];
  int n = epoll_wait(poller, events, turn_events, timeout);
  for (int i = 0; i < n; i++) {
    connection *c = events[i].data.ptr;
    if (events[i].events & ~(uint32_t)EPOLLOUT) {
      ssize_t got = recv(c->fd, buffer, bite, 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) stop("the server closed the connection");
      if (got > 0 && nghttp2_session_mem_recv(c->session, buffer, (size_t)got) < 0)
        stop("nghttp2_session_mem_recv");
    }
    flush(c);
  }
}

static void connect_all(int count) {
  nghttp2_session_callbacks *calls;
  nghttp2_session_callbacks_new(&calls);
  nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
  nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
  poller = epoll_create1(0);
  connections = calloc((size_t)count, sizeof *connections);
  connectionCount = count;
  for (int i = 0; i < count; i++) {
    connection *c = &connections[i];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (void *)&address, sizeof address)) stop(strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    nghttp2_session_client_new(&c->session, calls, c);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 8 << 20},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(c->session, 0, settings, 2);
    nghttp2_session_set_local_window_size(c->session, 0, 0, 16 << 20);
    flush(c);
    if (i % 64 == 63) turn(0);
  }
  for (int i = 0; i < count; i++)
    while (!connections[i].settled) turn(1000);
}

static void finish_calls(void) {
  while (open_calls) turn(-1);
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void percentiles(const char *name, uint64_t *values, long count) {
  if (!count) return;
  qsort(values, (size_t)count, sizeof *values, ascending);
  const char *names[] = {"p50", "p90", "p99", "p99.9", "max"};
  double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
  printf(", \"%s\": {", name);
  for (int i = 0; i < 5; i++) {
    long rank = (long)(shares[i] * (double)count + 0.999999) - 1;
    if (rank < 0) rank = 0;
    if (rank >= count) rank = count - 1;
    printf("%s\"%s\": %.1f", i ? ", " : "", names[i], (double)values[rank] / 1000);
  }
  printf("}");
}

static void report(const char *mode, long units, uint64_t wall, uint64_t used, double bytes) {
  double seconds = (double)wall / 1e9;
  printf("{\"mode\": \"%s\", \"calls\": %ld, \"wall_s\": %.3f, \"per_s\": %.1f, "
         "\"cpu_us_per_call\": %.3f",
         mode, units, seconds, (double)units / seconds, (double)used / 1e3 / (double)units);
  if (bytes > 0) printf(", \"mb_per_s\": %.1f", bytes / 1e6 / seconds);
  percentiles("latency_us", latencies, latencyCount);
  percentiles("large_latency_us", large_latencies, largeCount);
  percentiles("late_us", lateness, lateCount);
  printf("}\n");
  fflush(stdout);
}

static long number(char **arguments, int index, int count) {
  if (index >= count) stop("a number is missing; see the head of load.c");
  return atol(arguments[index]);
}

int main(int count, char **arguments) {
  signal(SIGPIPE, SIG_IGN);
  if (count < 3) stop("usage: load MODE PORT …; see the head of load.c");
  const char *mode = arguments[1];
  port = (int)number(arguments, 2, count);
  long a = count > 3 ? number(arguments, 3, count) : 0, b = count > 4 ? number(arguments, 4, count) : 0;
  method hello = {"/helloworld.Greeter/SayHello", field1("world", 5), field1("Hello, world", 12)};

  if (!strcmp(mode, "lockstep")) {
    connect_all(1);
    uint64_t wall = now(), used = cpu();
    for (long tick = 0; tick < b; tick++) {
      for (long i = 0; i < a; i++) begin(connections, &hello, 1, 1, 0);
      flush(connections);
      finish_calls();
    }
    report(mode, a * b, now() - wall, cpu() - used, 0);
  } else if (!strcmp(mode, "messages")) {
    long calls = number(arguments, 5, count);
    method down = {"/bench.Bench/Down", downRequest((int)a, (int)b), filled('x', (size_t)b)};
    connect_all(1);
    uint64_t wall = now(), used = cpu();
    for (long i = 0; i < calls; i++) {
      begin(connections, &down, 1, a, 0);
      flush(connections);
      finish_calls();
    }
    report(mode, a * calls, now() - wall, cpu() - used, (double)a * (double)calls * (double)b);
  } else if (!strcmp(mode, "echo")) {
    method echo = {"/bench.Bench/Echo", filled('y', (size_t)b), filled('y', (size_t)b)};
    connect_all(1);
    for (int i = 0; i < 3; i++) begin(connections, &echo, 1, 1, 0), flush(connections), finish_calls();
    latencies = calloc((size_t)a + 1, sizeof *latencies);
    uint64_t wall = now(), used = cpu();
    for (long i = 0; i < a; i++) {
      begin(connections, &echo, 1, 1, now());
      flush(connections);
      finish_calls();
    }
    report(mode, a, now() - wall, cpu() - used, (double)a * (double)b);
  } else if (!strcmp(mode, "pingpong")) {
    method turns = {"/bench.Bench/PingPong", filled('z', (size_t)b), filled('z', (size_t)b)};
    connect_all(1);
    latencies = calloc((size_t)a + 2, sizeof *latencies);
    uint64_t wall = now(), used = cpu();
    latencies[0] = wall;
    begin(connections, &turns, 1, a, TURNS);
    flush(connections);
    finish_calls();
    report(mode, a, now() - wall, cpu() - used, 0);
  } else if (!strcmp(mode, "pace") || !strcmp(mode, "rotate")) {
    int paced = *mode == 'p';
    long conns = paced ? number(arguments, 5, count) : b,
         idle = number(arguments, paced ? 6 : 5, count),
         large = paced ? number(arguments, 7, count) : 0, total = paced ? a * b : a;
    method stay = {"/bench.Bench/PingPong", filled('z', 1), filled('z', 1)};
    method echo = {"/bench.Bench/Echo", filled('y', 1 << 20), filled('y', 1 << 20)};
    connect_all((int)conns);
    for (long i = 0; i < conns; i++) {
      for (long k = 0; k < idle; k++) begin(&connections[i], &stay, -1, 0, 0);
      flush(&connections[i]);
    }
    // Every connection has been used once before the clock starts.
    for (long i = 0; i < conns; i++) begin(&connections[i], &hello, 1, 1, 0), flush(&connections[i]);
    while (open_calls > conns * idle) turn(-1);
    if (!strcmp(arguments[count - 1], "wait")) {
      // Says that the measured part begins, and waits for a line.
      printf("ready\n");
      fflush(stdout);
      if (getchar() == EOF) stop("nobody says go");
    }
    latencies = calloc((size_t)total + 2, sizeof *latencies);
    large_latencies = calloc((size_t)total + 2, sizeof *large_latencies);
    lateness = calloc((size_t)total + 2, sizeof *lateness);
    if (paced) {
      bite = 1 << 15;
      turn_events = 1;
    }
    uint64_t wall = now(), used = cpu();
    for (long i = 0; !paced && i < total; i++) {
      begin(&connections[i % conns], &hello, 1, 1, now());
      flush(&connections[i % conns]);
      while (open_calls > conns * idle) turn(0);
    }
    for (long i = 0; paced && i < total;) {
      uint64_t t = now();
      while (i < total) {
        uint64_t due = wall + (uint64_t)((double)i * 1e9 / (double)a);
        if (due > t) break;
        connection *on = &connections[i % conns];
        // Scattered, the same in every run: a burst of them on neighbouring connections, or all of
        // them on one, would be another question.
        int isLarge = (uint32_t)i * 2654435761u / 4294968u < (uint32_t)large;
        lateness[lateCount++] = now() - due;
        begin(on, isLarge ? &echo : &hello, 1, 1, due)->large = isLarge;
        flush(on);
        i++;
      }
      turn(0);  // spins: a sleeping generator would add its own wake-up to every latency
    }
    while (open_calls > conns * idle) turn(-1);
    report(mode, total, now() - wall, cpu() - used, 0);
  } else if (!strcmp(mode, "hold")) {
    method stay = {"/bench.Bench/PingPong", filled('z', 1), filled('z', 1)};
    connect_all((int)a);
    for (long i = 0; i < a; i++) {
      for (long k = 0; k < b; k++) begin(&connections[i], &stay, -1, 0, 0);
      flush(&connections[i]);
      turn(0);
    }
    for (uint64_t end = now() + 500000000; now() < end;) turn(50);
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
  } else {
    stop("lockstep, messages, echo, pingpong, pace, rotate or hold");
  }
  return 0;
}
