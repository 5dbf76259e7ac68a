// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// What the benchmarks call: a server with its default limits, health, and nothing taken out.
//   bench-server [--host 127.0.0.1] [--port 0] [--loops 1]
//     --methods N       further methods that nobody calls
//     --streams N       of one connection (ServerOptions.maxConcurrentStreams)
//     --connections N   ServerOptions.maxConnections
//     --dispatch loop   handlers never move to the global pool, however slow the machine
//     --loops 0         the process's shared loops (TRUNKCALL_LOOPS says how many)
//     --busy_poll US         ServerOptions.busyPoll
//     --downstream PORT the greeter asks the greeter there, through a channel on the shared loops
// Prints `listening PORT`, and for each line on stdin a line of JSON: what each loop has done so
// far. Ends at the end of stdin.
import BenchServices
import BenchSupport
import Glibc
import TrunkServices
import Trunkcall

let flags = Flags(allowed: [
  "port", "host", "loops", "methods", "streams", "connections", "dispatch", "busy_poll",
  "downstream",
])
let port = UInt16(clamping: flags.number("port", 0))
let host = flags.text("host", "127.0.0.1")
let methods = flags.number("methods", 0)
var options = ServerOptions()
let loops = flags.number("loops", 1)
options.loops = loops > 0 ? loops : nil
options.busyPoll = .microseconds(flags.number("busy_poll", 0))
options.maxConcurrentStreams = flags.number("streams", options.maxConcurrentStreams)
options.maxConnections = flags.number("connections", options.maxConnections)
if flags.text("dispatch", "automatic") == "loop" { options.dispatch = .loop }
let downstream = flags.number("downstream", 0)
let channel =
  downstream > 0 ? try GRPCChannel(to: "passthrough:///127.0.0.1:\(downstream)") : nil
let greeter: any RPCService = channel.map { Forwarder(to: $0) } ?? Greeter()
let server = GRPCServer(
  on: .tcp(host, port),
  services: [greeter, Bench(), MoreMethods(count: methods), HealthService()],
  options: options)

Task.detached {
  do {
    try await channel?.ready(within: .seconds(20))
    try await server.run()
  } catch { stop("\(error)") }
}
Task.detached {
  guard case .host(_, let port) = try? await server.listeningAddresses().first else {
    stop("no address")
  }
  say("listening \(port)")
}
// A main thread that waits in `await` stops valgrind 3.19; one that reads does not. The end of
// stdin ends the process.
var byte: UInt8 = 0
while read(0, &byte, 1) > 0 {
  if byte == UInt8(ascii: "\n") { say(figures(server.statistics.loops)) }
}
exit(0)

func figures(_ loops: [LoopStatistics]) -> String {
  let each = loops.map {
    "{\"connections\": \($0.connections), \"calls\": \($0.callsStarted), "
      + "\"wakeups\": \($0.wakeups), \"remote_jobs\": \($0.remoteJobs), "
      + "\"contended_locks\": \($0.contendedLocks)}"
  }
  return "[\(each.joined(separator: ", "))]"
}
