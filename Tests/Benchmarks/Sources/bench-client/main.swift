// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// Calls a server, checks every reply, and prints one line of JSON.
//   bench-client unary    PORT --callers 100 --seconds 5 | --calls 100000   [--endpoints N]
//   bench-client echo     PORT --size 4194304 --calls 50
//   bench-client down     PORT --count 100000 --size 1024
//   bench-client pingpong PORT --size 32 --calls 20000
//     --busy_poll US   ChannelOptions.busyPoll
//   bench-client inprocess 0 --callers 1 --calls 100000     client and server half, without a wire
// --timeout SECONDS gives each call of unary and inprocess a deadline.
import BenchServices
import BenchStubs
import BenchSupport
import Glibc
import Trunkcall

let flags = Flags(allowed: [
  "callers", "seconds", "calls", "size", "count", "loops", "endpoints", "warmup", "executor",
  "busy_poll", "timeout",
])
guard flags.words.count == 2, let port = UInt16(flags.words[1]) else {
  stop("usage: bench-client unary|echo|down|pingpong|inprocess PORT [flags]")
}
let mode = flags.words[0]
let timeout = flags.seconds("timeout", 0)
let load = Load(
  port: port, callers: max(1, flags.number("callers", 1)), calls: flags.number("calls", 0),
  seconds: flags.seconds("seconds", 3), warmup: flags.number("warmup", 1_000),
  size: flags.number("size", 32), count: flags.number("count", 1_000),
  endpoints: max(1, flags.number("endpoints", 1)), loops: max(1, flags.number("loops", 1)),
  busyPoll: flags.number("busy_poll", 0), timeout: timeout > 0 ? .seconds(timeout) : nil,
  executor: flags.text("executor", "pool") == "one" ? OneThread() : nil)

Task.detached {
  do {
    if mode == "inprocess" {
      let channel = InProcessChannel([Greeter()])
      say(try await load.unary(channel).json(mode))
      exit(0)
    }
    let channel = try await load.channel()
    let result =
      switch mode {
      case "unary": try await load.unary(channel)
      case "echo": try await load.echo(channel)
      case "down": try await load.down(channel)
      case "pingpong": try await load.pingPong(channel)
      default: stop("\(mode): unary, echo, down or pingpong")
      }
    say(result.json(mode))
    await channel.close()
    exit(0)
  } catch { stop("\(error)") }
}
// Valgrind 3.19 wants a main thread that sleeps.
sleep(600)
stop("not done after ten minutes")
