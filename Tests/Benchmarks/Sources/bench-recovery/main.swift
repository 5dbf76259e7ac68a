// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// Both ends of the recovery figures (driver/recovery): back ends that turn slow, fail or stop, and a
// client that calls on a timetable.
//   bench-recovery serve [--host 127.0.0.1] [--port 0] [--consul AGENT] [--name recovery]
//     Prints `listening PORT`. Lines on stdin: `slow MS`, `fail PERCENT`, `well`, and `count`, which
//     prints `count N`, the calls received. SIGTERM stops it gracefully; so does the end of stdin.
//   bench-recovery load TARGET [--rate 500] [--seconds 60] [--timeout S] [--config JSON]
//     [--acknowledgement MS] [--liveness MS] [--keepalive S] [--keepalive_timeout MS]; 0: off.
//     Prints `ready`, waits for a line on stdin, and prints a line for each call: when it was due (µs),
//     its latency from then on (µs), the status code, and for the first failures their text.
import BenchSupport
import Glibc

let flags = Flags(allowed: [
  "host", "port", "consul", "name", "rate", "seconds", "timeout", "config", "acknowledgement",
  "liveness", "keepalive", "keepalive_timeout",
])
switch (flags.words.first, flags.words.count) {
case ("serve", 1): serve(flags)
case ("load", 2): load(flags.words[1], flags)
default: stop("usage: bench-recovery serve | load TARGET [flags]")
}
