// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchStubs
import BenchSupport
import Glibc
import SwiftProtobuf
import Synchronization
import TrunkConsul
import Trunkcall

/// What became of each call. A call writes its own place and then counts itself, so that whoever reads
/// the full count sees all of them.
final class Records: @unchecked Sendable {
  struct Record {
    /// Microseconds since the first call was due.
    var due: Int = 0
    /// Microseconds from then on.
    var latency: Int = 0
    var code = 0
    var text = ""
  }
  private let places: UnsafeMutableBufferPointer<Record>
  private let ended = Atomic<Int>(0)
  private let failed = Atomic<Int>(0)
  /// Failures whose text is kept.
  private static let texts = 40

  init(_ count: Int) {
    places = .allocate(capacity: count)
    places.initialize(repeating: Record())
  }

  var isComplete: Bool { ended.load(ordering: .acquiring) == places.count }

  func end(_ index: Int, due: UInt64, start: UInt64, _ error: RPCError?) {
    var record = Record(due: Int((due - start) / 1_000), latency: Int((now() - due) / 1_000))
    if let error {
      record.code = error.code.rawValue
      if failed.wrappingAdd(1, ordering: .relaxed).newValue <= Records.texts {
        record.text = "\(error)".split(whereSeparator: \.isNewline).joined(separator: "; ")
      }
    }
    places[index] = record
    ended.wrappingAdd(1, ordering: .releasing)
  }

  func write() {
    var text = ""
    for record in places {
      text += "\(record.due) \(record.latency) \(record.code) \(record.text)\n"
    }
    say(text + "end")
  }
}

/// Calls are started by the clock, not by the end of others, and their latency is from when they were
/// due: a call that began late because the client was busy counts with its wait.
func load(_ target: String, _ flags: Flags) -> Never {
  let rate = max(1, flags.number("rate", 500))
  let count = Int(Double(rate) * flags.seconds("seconds", 60))
  let timeout = flags.number("timeout", 0)
  let records = Records(count)
  let channel: GRPCChannel
  do {
    channel = try GRPCChannel(to: target, resolvers: [.consul()], options: options(flags))
  } catch { stop("\(error)") }

  Task.detached {
    do { try await channel.ready(within: .seconds(20)) } catch { stop("\(error)") }
    // Ready is when one is: the others follow.
    try await Task.sleep(for: .seconds(1))
    say("ready")
  }
  guard readLine() != nil else { stop("not started") }
  var greeter = Helloworld_Greeter.Client(channel)
  if timeout > 0 { greeter.options.timeout = .seconds(timeout) }
  let client = greeter
  let request = Helloworld_HelloRequest.with { $0.name = "world" }
  let start = now() + 1_000_000
  for index in 0..<count {
    let due = start + UInt64(index) * 1_000_000_000 / UInt64(rate)
    sleep(until: due)
    Task.detached {
      do throws(RPCError) {
        let reply = try await client.sayHello(request)
        guard reply.message == "Hello, world" else { stop("wrong reply \(reply.message)") }
        records.end(index, due: due, start: start, nil)
      } catch { records.end(index, due: due, start: start, error) }
    }
  }
  let limit = now() + 60_000_000_000
  while !records.isComplete {
    if now() > limit { stop("calls without an end after a minute") }
    usleep(10_000)
  }
  records.write()
  exit(0)
}

private func options(_ flags: Flags) throws -> ChannelOptions {
  var options = ChannelOptions()
  let config = flags.text("config", "")
  if !config.isEmpty { options.defaultServiceConfig = try ServiceConfig(json: config) }
  func milliseconds(_ name: String, _ fallback: Duration?) -> Duration? {
    guard !flags.text(name, "").isEmpty else { return fallback }
    let number = flags.number(name, 0)
    return number == 0 ? nil : .milliseconds(number)
  }
  options.acknowledgementTimeout = milliseconds("acknowledgement", options.acknowledgementTimeout)
  options.livenessTimeout = milliseconds("liveness", options.livenessTimeout)
  options.keepaliveTimeout = milliseconds("keepalive_timeout", nil) ?? options.keepaliveTimeout
  let keepalive = flags.number("keepalive", 0)
  if keepalive > 0 { options.keepaliveTime = .seconds(keepalive) }
  return options
}

private func sleep(until time: UInt64) {
  var due = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
  while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nil) == EINTR {}
}
