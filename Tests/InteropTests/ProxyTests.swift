// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import Testing
import TrunkSockets
import TrunkWire
import Trunkcall

/// A real nginx with its defaults in front of a server: it ends a connection after 1,000 requests
/// (`keepalive_requests`).
private final class Nginx {
  let port: UInt16
  private let folder: String
  private let process: ChildProcess

  init(to upstream: UInt16) async throws {
    port = try await freePorts(1)[0]
    let folder = "/tmp/trunkcall-nginx-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true)
    self.folder = folder
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map { "\($0)_temp_path \(folder)/\($0);" }.joined(separator: " ")
    let configuration = """
      daemon off; worker_processes 1; pid \(folder)/pid; error_log \(folder)/error.log;
      events { worker_connections 512; }
      http {
        access_log off; \(paths)
        server {
          listen 127.0.0.1:\(port) http2;
          location / { grpc_pass grpc://127.0.0.1:\(upstream); }
        }
      }
      """
    try configuration.write(toFile: folder + "/nginx.conf", atomically: true, encoding: .utf8)
    process = try ChildProcess(
      Nginx.binary(), ["-p", folder, "-c", folder + "/nginx.conf", "-e", folder + "/error.log"])
    let port = port
    guard try await holds({ Nginx.accepts(port) }) else {
      throw SocketError("nginx", errno: ECONNREFUSED, detail: process.text)
    }
  }

  deinit {
    process.signal(SIGTERM)
    try? FileManager.default.removeItem(atPath: folder)
  }

  private static func accepts(_ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }

  /// `nginx` in `PATH`, else `.cache/nginx/nginx` in the repository. A missing one is an error.
  private static func binary() throws -> String {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let candidates = folders.map { $0 + "/nginx" } + [root + "/.cache/nginx/nginx"]
    if let found = candidates.first(where: { access($0, X_OK) == 0 }) { return found }
    throw SocketError("nginx", errno: ENOENT, detail: "no nginx: Scripts/setup test fetches it")
  }
}

private func holds(_ condition: () -> Bool) async throws -> Bool {
  for _ in 0..<2_000 {
    if condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return false
}

private struct Echo: RPCService {
  static let method = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.Echo", method: "Echo", request: .bytes, response: .bytes)
  func register(in table: inout MethodTable) { table.unary(Echo.method) { payload, _ in payload } }
}

@Suite("Through a proxy, and at servers that end connections early", .timeLimit(.minutes(3)))
struct ProxyTests {
  /// - Returns: the errors of `callers` times `calls` calls.
  private func call(_ channel: GRPCChannel, callers: Int, calls: Int, pause: Duration? = nil) async
    -> [RPCError]
  {
    await withTaskGroup(of: [RPCError].self) { group in
      for _ in 0..<callers {
        group.addTask {
          var errors: [RPCError] = []
          for _ in 0..<calls {
            do throws(RPCError) {
              _ = try await channel.unary(Echo.method, [1], CallOptions(timeout: .seconds(20)))
            } catch { errors.append(error) }
            if let pause { try? await Task.sleep(for: pause) }
          }
          return errors
        }
      }
      return await group.reduce(into: []) { $0 += $1 }
    }
  }

  private func withEcho(
    options: ServerOptions = ServerOptions(), _ body: (UInt16) async throws -> Void
  ) async throws -> ServerStatistics {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [Echo()], options: options)
    let running = Task { try await server.run() }
    defer { running.cancel() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else {
      throw SocketError("listen", errno: EINVAL)
    }
    try await body(port)
    return server.statistics
  }

  @Test("nginx with its defaults: of 32 callers' 12,800 calls none fails")
  func nginx() async throws {
    _ = try await withEcho { port in
      let nginx = try await Nginx(to: port)
      try await withChannel(to: "ipv4:127.0.0.1:\(nginx.port)") { channel in
        let errors = await call(channel, callers: 32, calls: 400)
        #expect(
          errors.isEmpty, "\(errors.count) failed, the first: \(errors.first?.description ?? "")")
      }
    }
  }

  @Test(
    "an idle limit of 400 ms and an age of 1 s: no call fails, and no connection loop is tight",
    arguments: ["pick_first", "round_robin"])
  func shortLives(_ balancer: String) async throws {
    var options = ServerOptions()
    options.maxConnectionIdle = .milliseconds(400)
    options.maxConnectionAge = .seconds(1)
    let statistics = try await withEcho(options: options) { port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", balancer: balancer) { channel in
        // Some callers call without a pause, one less often than the server's idle limit.
        async let rare = call(channel, callers: 1, calls: 6, pause: .milliseconds(700))
        let busy = await call(channel, callers: 4, calls: 100, pause: .milliseconds(20))
        #expect(busy.isEmpty, "\(busy.first?.description ?? "")")
        let errors = await rare
        #expect(errors.isEmpty, "\(errors.first?.description ?? "")")
      }
    }
    // About four seconds, in which each connection lives for 400 ms to a second.
    let ended = statistics.events[.maxIdle, default: 0] + statistics.events[.maxAge, default: 0]
    #expect((3...30).contains(ended), "\(ended) connections")
  }
}
