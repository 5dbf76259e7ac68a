// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import GreeterSupport
internal import InteropSupport
internal import Logging
internal import TrunkServices
internal import Trunkcall

@main
struct InteropServer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "interop-server",
    abstract: "The server of gRPC's interop tests: grpc.testing.TestService, health, load reports, "
      + "reflection.",
    discussion: """
      Flags are gRPC's (doc/interop-test-descriptions.md). SIGINT and SIGTERM stop it gracefully: \
      it lets calls finish, and exits with 0.
      """)

  @Option(help: "The address to listen on.")
  var host = "127.0.0.1"
  @Option(help: "The port to listen on; 0 takes a free one.")
  var port: UInt16 = 8080
  @OptionGroup var security: ServerSecurityOptions
  @Option(help: "What to log to stderr.")
  var logLevel: Logger.Level = .info

  static func main() async {
    await main(BooleanFlags.withValues(CommandLine.arguments.dropFirst(), ["use_tls"]))
  }

  func run() async throws {
    logToStandardError(logLevel)
    let logger = Logger(label: "interop")
    let load = LoadRecorder()
    let server = GRPCServer(
      on: .tcp(host, port),
      services: [
        InteropTestService(load: load), HealthService(),
        // interop-test-descriptions.md, Backend Metrics Report.
        LoadReportService(load, minimumInterval: .seconds(1)),
        ReflectionService(),
      ],
      security: security.value,
      logger: logger)
    do {
      async let announced: Void = announce(server)
      try await runUntilSignalled(server, logger: logger)
      try await announced
    } catch {
      printError("interop-server: \(error)")
      throw ExitCode.failure
    }
  }

  private func announce(_ server: GRPCServer) async throws {
    for address in try await server.listeningAddresses() { say("listening on \(address)") }
  }
}
