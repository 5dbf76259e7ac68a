// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import GreeterSupport
internal import InteropSupport
internal import Logging
internal import Trunkcall

@main
struct InteropClientProgram: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "interop-client",
    abstract: "The client of gRPC's interop tests.",
    discussion: """
      Flags are gRPC's (doc/interop-test-descriptions.md). Prints PASS and the case's name, or FAIL, \
      name and reason, and exits with 1 if any failed. Cases: \
      \(InteropCase.allCases.map(\.rawValue).joined(separator: ", ")).
      """)

  @Option(name: .customLong("server_host"), help: "Where the server is.")
  var serverHost = "localhost"
  @Option(
    name: .customLong("server_host_override"), help: "What to call it (:authority).")
  var serverHostOverride: String?
  @Option(name: .customLong("server_port"), help: "The server's port.")
  var serverPort: UInt16 = 8080
  @Option(
    name: .customLong("test_case"),
    help: ArgumentHelp(
      "A case, or some with commas between; `all` for every one.", valueName: "name"))
  var testCase = "large_unary"
  @OptionGroup var security: ClientSecurityOptions
  @Option(
    name: .customLong("service_config_json"),
    help: """
      The service config in force; the resolver brings none. The orca cases have their own policy, \
      whatever it names.
      """)
  var serviceConfigJSON: String?
  @Option(
    name: .customLong("additional_metadata"),
    help: ArgumentHelp(
      "For every call; a backslash goes before `:`, `;` and itself.", valueName: "k:v;k:v"))
  var additionalMetadata = AdditionalMetadata()

  @Option(name: .customLong("soak_iterations"))
  var soakIterations = SoakOptions().iterations
  @Option(name: .customLong("soak_max_failures"))
  var soakMaxFailures = SoakOptions().maxFailures
  @Option(name: .customLong("soak_per_iteration_max_acceptable_latency_ms"))
  var soakMaxLatency = 1_000
  @Option(
    name: .customLong("soak_overall_timeout_seconds"),
    help: "Default: iterations times the latency of one.")
  var soakOverallTimeout: Int?
  @Option(name: .customLong("soak_min_time_ms_between_rpcs"))
  var soakMinTime = 0
  @Option(name: .customLong("soak_request_size"))
  var soakRequestSize = SoakOptions().requestSize
  @Option(name: .customLong("soak_response_size"))
  var soakResponseSize = SoakOptions().responseSize
  @Option(name: .customLong("soak_num_threads"))
  var soakThreads = SoakOptions().threads
  @Option(
    name: .customLong("repeat_for"),
    help: "Repeats the cases for this long; prints only the rounds and the failures.")
  var repeatFor: Duration = .zero
  @Option(help: "What to log to stderr.")
  var logLevel: Logger.Level = .warning

  private var cases: [InteropCase] {
    if testCase == "all" { return InteropCase.allCases }
    let names = testCase.split(separator: ",")
    let cases = names.compactMap { InteropCase(rawValue: String($0)) }
    return cases.count == names.count ? cases : []
  }

  func validate() throws {
    if cases.isEmpty {
      throw ValidationError("--test_case=\(testCase): no such case; --help lists them")
    }
    let positive = [("iterations", soakIterations), ("num_threads", soakThreads)]
    for (name, value) in positive where value < 1 {
      throw ValidationError("--soak_\(name)=\(value): 1 and more are allowed")
    }
    let sizes = [("request_size", soakRequestSize), ("response_size", soakResponseSize)]
    for (name, value) in sizes where !(0...InteropTestService.maxPayload).contains(value) {
      throw ValidationError(
        "--soak_\(name)=\(value): 0 to \(InteropTestService.maxPayload) bytes are allowed")
    }
  }

  static func main() async {
    await main(
      BooleanFlags.withValues(CommandLine.arguments.dropFirst(), ["use_tls", "use_test_ca"]))
  }

  func run() async throws {
    logToStandardError(logLevel)
    let client: InteropClient
    do {
      client = try makeClient()
    } catch {
      printError("interop-client: \(error)")
      throw ExitCode.failure
    }
    if repeatFor > .zero { return try await repeatCases(client) }
    var hasFailed = false
    for test in cases {
      do {
        try await client.run(test)
        say("PASS \(test.rawValue)")
      } catch {
        hasFailed = true
        say("FAIL \(test.rawValue): \(error)")
      }
    }
    if hasFailed { throw ExitCode.failure }
  }

  private func repeatCases(_ client: InteropClient) async throws {
    let end = ContinuousClock.now + repeatFor
    var rounds = 0
    var failures = 0
    while ContinuousClock.now < end {
      for test in cases {
        do { try await client.run(test) } catch {
          failures += 1
          say("FAIL \(test.rawValue): \(error)")
        }
      }
      rounds += 1
    }
    say("\(rounds) rounds of \(cases.count) cases, \(failures) failures")
    if failures > 0 { throw ExitCode.failure }
  }

  private func makeClient() throws -> InteropClient {
    var channel = ChannelOptions()
    channel.authority = serverHostOverride
    channel.defaultServiceConfig = try serviceConfigJSON.map { try ServiceConfig(json: $0) }
    var call = CallOptions()
    call.metadata = additionalMetadata.metadata
    var soak = SoakOptions()
    soak.iterations = soakIterations
    soak.maxFailures = soakMaxFailures
    soak.maxLatency = .milliseconds(soakMaxLatency)
    soak.overallTimeout = soakOverallTimeout.map { .seconds($0) }
    soak.minTimeBetweenCalls = .milliseconds(soakMinTime)
    soak.requestSize = soakRequestSize
    soak.responseSize = soakResponseSize
    soak.threads = soakThreads
    let host = serverHost.contains(":") ? "[\(serverHost)]" : serverHost
    let target = "dns:///\(host):\(serverPort)"
    let logger = Logger(label: "interop")
    return InteropClient(options: call, soak: soak, report: { printError($0) }) {
      [channel, security = security.value] wishes in
      var channel = channel
      if wishes.balancer != "pick_first" {
        channel.defaultServiceConfig?.balancers = [BalancerChoice(wishes.balancer)]
      }
      if let config = wishes.serviceConfig { channel.defaultServiceConfig = config }
      return try GRPCChannel(
        to: target, balancers: wishes.balancers, balancer: wishes.balancer, security: security,
        options: channel, logger: logger)
    }
  }
}

/// In the form of ``Metadata/init(additional:)``.
struct AdditionalMetadata: ExpressibleByArgument {
  var metadata = Metadata()

  init() {}

  init?(argument: String) {
    guard let metadata = Metadata(additional: argument) else { return nil }
    self.metadata = metadata
  }

  var defaultValueDescription: String { "none" }
}
