// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What agents do when something is wrong, as measured with 1.8.7 or documented.
extension ScriptedConsulAgent.Reaction {
  /// 500: the servers elect a leader, or the agent has lost them.
  public static let noLeader = answer(500, body: "No cluster leader")
  /// 403: the token has no right, or does not exist.
  public static let forbidden = answer(403, body: "Permission denied")
  /// 429: the limit of connections or requests of a newer agent (Consul, Limits). 1.8.7 resets the connection,
  /// see ``ScriptedConsulAgent/resetConnections(_:)``.
  public static let tooMany = answer(
    429, body: "Your IP is issuing too many concurrent connections, please rate limit your calls")

  /// `200 []`, as ACLs make of any answer; with the headers of newer agents or, as 1.8.7, without.
  public static func hiddenByACLs(index: UInt64, saysSo: Bool = false) -> Self {
    let headers = saysSo ? ["X-Consul-Results-Filtered-By-ACLs: true"] : []
    return answer(200, headers: ["X-Consul-Index: \(index)"] + headers, body: "[]")
  }

  /// An answer of servers without a leader: its data may be old (Consul, Consistency Modes).
  public static func leaderless(_ body: String, index: UInt64) -> Self {
    answer(
      200,
      headers: [
        "X-Consul-Index: \(index)", "X-Consul-KnownLeader: false", "X-Consul-LastContact: 20000",
      ], body: body)
  }

  /// The first half of the body, then the connection ends.
  public static func truncated(_ body: String, index: UInt64) -> Self {
    let half = String(decoding: body.utf8.prefix(body.utf8.count / 2), as: UTF8.self)
    let head = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\nX-Consul-Index: \(index)"
    return raw([head + "\r\n\r\n" + half], close: true)
  }

  /// The body in `chunks` HTTP chunks, with a pause after each.
  public static func slow(
    _ body: String, index: UInt64, chunks: Int = 8, pause: Duration = .milliseconds(50)
  ) -> Self {
    let bytes = Array(body.utf8)
    let size = max(1, (bytes.count + chunks - 1) / max(1, chunks))
    let pieces = stride(from: 0, to: bytes.count, by: size).map {
      String(decoding: bytes[$0..<min($0 + size, bytes.count)], as: UTF8.self)
    }
    return chunked(pieces, index: index, pause: pause)
  }

  /// A JSON array of so many bytes, without an instance in it.
  public static func huge(bytes: Int, index: UInt64) -> Self {
    json("[" + String(repeating: " ", count: max(0, bytes - 2)) + "]", index: index)
  }
}
