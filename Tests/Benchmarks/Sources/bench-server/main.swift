// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// What the benchmarks call: a server with its default limits, health, and nothing taken out.
//   bench-server [--host 127.0.0.1] [--port 0] [--loops 1]
//     --methods N       further methods that nobody calls
//     --streams N       of one connection (ServerOptions.maxConcurrentStreams)
//     --connections N   ServerOptions.maxConnections
//     --dispatch loop   handlers never move to the global pool, however slow the machine
// Prints `listening PORT`; ends at the end of stdin.
import BenchServices
import BenchSupport
import Glibc
import TrunkServices
import Trunkcall

let flags = Flags(allowed: [
  "port", "host", "loops", "methods", "streams", "connections", "dispatch",
])
let port = UInt16(clamping: flags.number("port", 0))
let host = flags.text("host", "127.0.0.1")
let methods = flags.number("methods", 0)
var options = ServerOptions()
options.loops = max(1, flags.number("loops", 1))
options.maxConcurrentStreams = flags.number("streams", options.maxConcurrentStreams)
options.maxConnections = flags.number("connections", options.maxConnections)
if flags.text("dispatch", "automatic") == "loop" { options.dispatch = .loop }
let server = GRPCServer(
  on: .tcp(host, port),
  services: [Greeter(), Bench(), MoreMethods(count: methods), HealthService()],
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
// A main thread that waits in `await` stops valgrind 3.19; one that reads does not. The end of stdin
// ends the process.
var byte: UInt8 = 0
while read(0, &byte, 1) > 0 {}
exit(0)
