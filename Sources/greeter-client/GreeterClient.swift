// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import GreeterStubs
internal import GreeterSupport
internal import Logging
internal import SwiftProtobuf
internal import TrunkConsul
internal import TrunkSockets
internal import Trunkcall

@main
struct GreeterClient: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "greeter-client",
    abstract: "Calls helloworld.Greeter/SayHello again and again and prints the greetings.",
    discussion: """
      Durations are written 250ms, 2s or 1m; a bare number is seconds. SIGINT and SIGTERM end it \
      with 0.
      """)

  @Argument(help: "Whom to greet.")
  var name = "world"
  @Option(help: "Where the servers are: consul://, dns:///, passthrough:///, ipv4:, ipv6:, unix:.")
  var target = "consul://127.0.0.1:8500/helloworld"
  @Option(help: "The load-balancing policy.")
  var balancer = "round_robin"
  @Option(help: "From the start of one call to the start of the next.")
  var interval: Duration = .seconds(2)
  @Option(help: "Each call's deadline.")
  var timeout: Duration = .seconds(1)
  @Option(help: "How long to wait for the first connection; without one it exits with 1.")
  var connectTimeout: Duration = .seconds(5)
  @Option(help: "Calls to make; then it exits with 0, or with 1 if any failed (default: no end).")
  var count: Int?
  @Flag(help: "Calls wait for a server up to their deadline instead of failing at once.")
  var waitForReady = false
  @Flag(
    help: """
      Print what Consul has for the target, with the reason for each instance that is not used, and \
      exit: 0 if at least one is used, 1 if none is, 2 if Consul could not be asked.
      """)
  var explain = false
  @Flag(help: "With --explain: as JSON.")
  var json = false
  @OptionGroup var security: ClientSecurityOptions
  @Option(help: "What to log to stderr.")
  var logLevel: Logger.Level = .info

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count \(count): 1 and more is allowed") }
    if json, !explain { throw ValidationError("--json goes with --explain") }
    if timeout <= .zero { throw ValidationError("--timeout: it must be above zero") }
  }

  func run() async throws {
    logToStandardError(logLevel)
    if explain { return try await printExplanation() }
    let logger = Logger(label: "greeter")
    let failures: Int
    do {
      let channel = try GRPCChannel(
        to: target, resolvers: [.consul()], balancer: balancer, security: security.value,
        logger: logger)
      failures = try await untilSignalled {
        try await channel.ready(within: connectTimeout)
        return try await greet(channel)
      }
      await channel.close()
    } catch {
      printError("greeter-client: \(error)")
      throw ExitCode.failure
    }
    if failures > 0, count != nil { throw ExitCode.failure }
  }

  private func printExplanation() async throws {
    let explanation: ConsulExplanation
    do {
      explanation = try await ConsulResolver().explain(target)
    } catch {
      printError("greeter-client: \(error)")
      throw ExitCode(2)
    }
    if let problem = explanation.problem {
      printError("greeter-client: \(problem)")
      throw ExitCode(2)
    }
    say(json ? explanation.json : explanation.description)
    if explanation.usable == 0 { throw ExitCode.failure }
  }

  /// The number of failed calls; 0 if a signal came first.
  private func untilSignalled(_ body: @escaping @Sendable () async throws -> Int) async throws
    -> Int
  {
    try await withThrowingTaskGroup(of: Int.self) { group in
      group.addTask { try await body() }
      group.addTask {
        _ = try await TerminationSignals.wait()
        return 0
      }
      defer { group.cancelAll() }
      return try await group.next() ?? 0
    }
  }

  private func greet(_ channel: GRPCChannel) async throws -> Int {
    var greeter = Helloworld_Greeter.Client(channel)
    greeter.options.timeout = timeout
    if waitForReady { greeter.options.waitForReady = true }
    let request = Helloworld_HelloRequest.with { $0.name = name }

    var failures = 0
    var calls = 0
    var next = ContinuousClock.now
    while true {
      do throws(RPCError) {
        say("Greeting: \(try await greeter.sayHello(request).message)")
      } catch {
        try Task.checkCancellation()
        failures += 1
        say("Failed: \(error)")
      }
      calls += 1
      if calls == count { return failures }
      // After a long call the next one starts at once; missed starts are not made up for.
      next = max(next.advanced(by: interval), .now)
      try await Task.sleep(until: next)
    }
  }
}
