// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import GreeterStubs
internal import GreeterSupport
internal import Logging
internal import SwiftProtobuf
internal import TrunkConsul
internal import TrunkServices
internal import Trunkcall

@main
struct GreeterServer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "greeter-server",
    abstract: "Serves helloworld.Greeter and health, and registers with the local Consul agent.",
    discussion: """
      Durations are written 250ms, 2s or 1m; a bare number is seconds. SIGINT and SIGTERM stop it \
      gracefully: it leaves Consul, lets calls finish, and exits with 0.
      """)

  @Option(help: "The address to listen on.")
  var host = "0.0.0.0"
  @Option(help: "The port to listen on; 0 takes a free one.")
  var port: UInt16 = 50051
  @Option(help: "The service's name in Consul; health answers for it.")
  var name = "helloworld"
  @Option(help: "A tag in Consul; may be repeated.")
  var tag = ["helloworld"]
  @Option(
    help: ArgumentHelp(
      """
      What others connect to; PORT defaults to the bound one (default: the bound address, and if \
      that is 0.0.0.0 the address of the agent's node).
      """, valueName: "host[:port]"))
  var advertise: Advertised?
  @Option(
    help: ArgumentHelp(
      "The Consul agent (default: CONSUL_HTTP_ADDR, else 127.0.0.1:8500).", valueName: "url"))
  var consul: String?
  @Option(
    help: ArgumentHelp(
      """
      A file with the agent's ACL token, read again when it changes (default: \
      CONSUL_HTTP_TOKEN_FILE, else CONSUL_HTTP_TOKEN).
      """, valueName: "path"))
  var tokenFile: String?
  @Flag(help: "Serve without Consul.")
  var noRegister = false
  @OptionGroup var registration: RegistrationFlags
  @Option(help: "How often the agent checks this server's health.")
  var checkInterval: Duration = .seconds(10)
  @Option(help: "Event loops (default: one for each core).")
  var loops: Int?
  @Option(help: "How long calls may go on after a graceful stop began.")
  var drain: Duration = .seconds(10)
  @Flag(help: "Serve reflection too: clients such as grpcurl and buf curl need no .proto then.")
  var reflection = false
  @OptionGroup var security: ServerSecurityOptions
  @Option(help: "What to log to stderr.")
  var logLevel: Logger.Level = .info

  func validate() throws {
    if let loops, !(1...1_024).contains(loops) {
      throw ValidationError("--loops \(loops): 1 to 1024 are allowed")
    }
    if checkInterval < .seconds(1) {
      throw ValidationError("--check-interval: Consul allows 1s and more")
    }
  }

  func run() async throws {
    logToStandardError(logLevel)
    let logger = Logger(label: "greeter")
    var options = ServerOptions()
    options.drain = drain
    options.loops = loops
    var services: [any RPCService] = [Greeter(logger: logger), HealthService()]
    if reflection { services.append(ReflectionService()) }
    let server = GRPCServer(
      on: .tcp(host, port), services: services,
      security: security.value, options: options, logger: logger)
    do {
      async let announced: Void = announce(server)
      if noRegister {
        try await runUntilSignalled(server, logger: logger)
      } else {
        let registration = try register(server, logger)
        try await runUntilSignalled(server, registration, logger: logger)
      }
      try await announced
    } catch {
      printError("greeter-server: \(error)")
      throw ExitCode.failure
    }
  }

  private func announce(_ server: GRPCServer) async throws {
    for address in try await server.listeningAddresses() { say("listening on \(address)") }
  }

  private func register(
    _ server: GRPCServer, _ logger: Logger
  ) throws -> ConsulRegistration {
    var agent = ConsulAgent.fromEnvironment
    if let consul { agent.address = consul }
    if let tokenFile { agent.token = .file(tokenFile) }
    try agent.validate()
    let made = ConsulRegistration(
      name, of: server, agent: agent, tags: tag, advertise: advertise?.address,
      id: registration.id, meta: try registration.metadata, weights: registration.weights,
      taggedAddresses: try registration.taggedAddresses,
      checks: try registration.checks(every: checkInterval),
      deregisterCriticalAfter: registration.deregisterAfter, options: registration.options,
      logger: logger)
    if registration.allowTagOverride { try made.update { $0.allowsTagOverride = true } }
    if let reason = registration.maintenance { made.setMaintenance(true, reason: reason) }
    return made
  }
}

struct Greeter: Helloworld_Greeter.Service {
  let logger: Logger

  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    logger.info("Received: \(request.name)")
    return .with { $0.message = "Hello \(request.name)" }
  }
}

/// `HOST[:PORT]`; port 0 stands for the bound one.
struct Advertised: ExpressibleByArgument {
  var address: Address

  init(address: Address) { self.address = address }

  init?(argument: String) {
    guard let parsed = try? HostPort(parsing: argument) else { return nil }
    address = .host(parsed.host, parsed.port ?? 0)
  }
}
