// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import TrunkSockets

/// A real proxy in front of a server, in a folder of its own.
final class Proxy {
  let port: UInt16
  private let folder: String
  private let process: ChildProcess

  /// nginx with its defaults, in one process, so that its end leaves no worker: it ends a connection after 1,000 requests (`keepalive_requests`).
  static func nginx(to upstream: UInt16) async throws -> Proxy {
    try await Proxy("nginx") { folder, port in
      let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map { "\($0)_temp_path \(folder)/\($0);" }.joined(separator: " ")
      return """
        daemon off; master_process off; pid \(folder)/pid; error_log \(folder)/error.log;
        events { worker_connections 512; }
        http {
          access_log off; \(paths)
          server {
            listen 127.0.0.1:\(port) http2;
            location / { grpc_pass grpc://127.0.0.1:\(upstream); }
          }
        }
        """
    } arguments: { folder, file in
      ["-p", folder, "-c", file, "-e", folder + "/error.log"]
    }
  }

  /// Envoy with HTTP/2 on both sides. Its own limits are out of the way.
  /// - Parameters:
  ///   - upstream: `common_http_protocol_options` of the connections to the server.
  ///   - downstream: the same of those to the client.
  static func envoy(
    to server: UInt16, upstream: String = "{}", downstream: String = "{}"
  ) async throws -> Proxy {
    let types = "type.googleapis.com/envoy.extensions"
    let connections =
      "\(types).filters.network.http_connection_manager.v3.HttpConnectionManager"
    func address(_ port: UInt16) -> String {
      #"{"socket_address": {"address": "127.0.0.1", "port_value": \#(port)}}"#
    }
    return try await Proxy("envoy") { _, port in
      """
      {"static_resources": {
        "listeners": [{"address": \(address(port)), "filter_chains": [{"filters": [{
          "name": "envoy.filters.network.http_connection_manager",
          "typed_config": {
            "@type": "\(connections)", "stat_prefix": "in", "codec_type": "HTTP2",
            "common_http_protocol_options": \(downstream), "drain_timeout": "0.1s",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
              {"match": {"prefix": "/"}, "route": {"cluster": "server", "timeout": "0s"}}]}]},
            "http_filters": [{
              "name": "envoy.filters.http.router",
              "typed_config": {"@type": "\(types).filters.http.router.v3.Router"}}]}}]}]}],
        "clusters": [{
          "name": "server", "connect_timeout": "5s",
          "circuit_breakers": {"thresholds": [
            {"max_requests": 100000, "max_pending_requests": 100000, "max_connections": 10000}]},
          "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": "\(types).upstreams.http.v3.HttpProtocolOptions",
              "common_http_protocol_options": \(upstream),
              "explicit_http_config": {"http2_protocol_options": {}}}},
          "load_assignment": {"cluster_name": "server", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": \(address(server))}}]}]}}]}}
      """
    } arguments: { _, file in
      ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    }
  }

  private init(
    _ name: String, _ configuration: (_ folder: String, _ port: UInt16) -> String,
    arguments: (_ folder: String, _ file: String) -> [String]
  ) async throws {
    port = try await freePorts(1)[0]
    let folder = "/tmp/trunkcall-\(name)-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true)
    self.folder = folder
    let file = folder + "/\(name).\(name == "envoy" ? "json" : "conf")"
    try configuration(folder, port).write(toFile: file, atomically: true, encoding: .utf8)
    process = try ChildProcess(Proxy.binary(name), arguments(folder, file))
    let port = port
    guard try await holds({ Proxy.accepts(port) }) else {
      throw SocketError(name, errno: ECONNREFUSED, detail: process.text)
    }
  }

  /// Due, whatever comes of the test.
  func stop() {
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

  /// The program in `PATH`, else in `.cache` of the repository. A missing one is an error.
  private static func binary(_ name: String) throws -> String {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let candidates = folders.map { $0 + "/\(name)" } + [root + "/.cache/\(name)/\(name)"]
    if let found = candidates.first(where: { access($0, X_OK) == 0 }) { return found }
    throw SocketError(name, errno: ENOENT, detail: "no \(name): Scripts/setup test fetches it")
  }
}

private func holds(_ condition: () -> Bool) async throws -> Bool {
  for _ in 0..<2_000 {
    if condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return false
}
