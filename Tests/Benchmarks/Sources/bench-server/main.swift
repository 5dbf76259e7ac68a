// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// What the benchmarks call: a server with its default limits, health, and nothing taken out.
//   bench-server [--port 0] [--loops 1] [--methods 0] [--streams 100] [--host 127.0.0.1]
// Prints `listening PORT`, then `statistics …` when a line comes on stdin.
import BenchStubs
import BenchSupport
import Glibc
import TrunkServices
import Trunkcall

let flags = Flags(allowed: ["port", "host", "loops", "methods", "streams", "connections", "run"])
let port = UInt16(clamping: flags.number("port", 0))
let host = flags.text("host", "127.0.0.1")
let methods = flags.number("methods", 0)
var options = ServerOptions()
options.loops = max(1, flags.number("loops", 1))
options.maxConcurrentStreams = flags.number("streams", options.maxConcurrentStreams)
options.maxConnections = flags.number("connections", options.maxConnections)
let server = GRPCServer(
  on: .tcp(host, port), services: [Greeter(), Bench(), MoreMethods(count: methods), HealthService()],
  options: options)

Task.detached {
  do { try await server.run() } catch { stop("\(error)") }
}
Task.detached {
  guard case .host(_, let port) = try? await server.listeningAddresses().first else {
    stop("no address")
  }
  say("listening \(port)")
}
// A thread that waits in `await` has valgrind 3.19 stop; one that sleeps does not. Under it the
// counters are written at exit, so the process ends by itself when told to.
if flags.number("run", 0) > 0 {
  sleep(UInt32(flags.number("run", 0)))
} else {
  var byte: UInt8 = 0
  while read(0, &byte, 1) > 0 {}
}
exit(0)
