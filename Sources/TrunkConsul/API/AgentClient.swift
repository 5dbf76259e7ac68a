// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import Logging
internal import TrunkDiscovery
internal import TrunkSockets

/// An agent's HTTP API: whole requests, whole answers, a deadline on each. With several agents one
/// after the other is asked, see ``ConsulAgent/alternatives``.
///
/// A connection is kept for the next request (measured with 1.8.7); a watch therefore stays on one.
/// A read on a kept connection that turns out to be closed is sent once more on a new one. Writes
/// always use a new connection: a write on a closed one may or may not have been carried out.
package final class AgentClient: Sendable {
  let agent: ConsulAgent
  /// In order of preference; not empty.
  let places: [Place]
  let choice: Locked<AgentChoice>
  let clock: WatchClock
  let logger: Logger
  private let token: TokenSource
  private let loop: EventLoop
  private let limits: HTTPLimits
  /// Connections that wait for their next request, at most ``maximumIdle``, each with its agent: a
  /// request that ends while another one moves on keeps one to the agent before.
  private let idle = Locked<[(place: Int, stream: ByteStream)]>([])
  private static let maximumIdle = 2
  /// An agent is close by; a host that does not answer by then is wrong or down.
  private static let connectTimeout = Duration.seconds(3)

  /// - Throws: ``ConsulError/badAddress(_:reason:)``.
  package init(
    _ agent: ConsulAgent, limits: HTTPLimits = HTTPLimits(), clock: WatchClock = .system,
    logger: Logger = Logger(label: "trunkcall.consul")
  ) throws(ConsulError) {
    try agent.validate()
    places = try agent.parsedAddresses().map { address in
      Place(
        address: address,
        security: agent.isSecure(address) ? AgentSecurity.filter(agent.tls, address) : nil)
    }
    choice = Locked(AgentChoice(of: places.count))
    self.agent = agent
    self.clock = clock
    self.logger = logger
    token = TokenSource(agent.token)
    loop = EventLoopGroup.shared.next()
    self.limits = limits
  }

  deinit { close() }

  /// The place of the agent that is asked.
  var current: Int { choice.withLock { $0.current } }

  /// The agent that is asked, `127.0.0.1:8500`, as in errors.
  package var name: String { places[current].name }

  /// Whether it is not the first one.
  package var isElsewhere: Bool { current > 0 }

  /// Closes the connections that are not in use.
  package func close() {
    let kept = idle.withLock { kept in
      defer { kept = [] }
      return kept
    }
    for one in kept { one.stream.close() }
  }

  /// Sends a request and returns the answer if its status is 2xx.
  /// - Parameters:
  ///   - timeout: for everything, connecting included.
  ///   - mayRepeat: whether a read may be sent once more if the kept connection is closed. Not for
  ///     a query with an index: the agent may have been restarted, and an index from before that
  ///     would block until `wait` ends (measured with 1.8.7).
  /// - Throws: ``ConsulError``, or `CancellationError`.
  package func send(
    _ request: HTTPRequest, timeout: Duration, mayRepeat: Bool = true
  ) async throws -> HTTPResponse {
    try await answer(request, timeout: timeout, mayRepeat: mayRepeat, missing: nil)
  }

  /// As ``send(_:timeout:mayRepeat:)``; an answer with the status `missing` is returned as well.
  func answer(
    _ request: HTTPRequest, timeout: Duration, mayRepeat: Bool = true, missing: Int?
  ) async throws -> HTTPResponse {
    let (response, place) = try await exchange(request, timeout: timeout, mayRepeat: mayRepeat)
    guard response.status < 200 || response.status > 299, response.status != missing else {
      return response
    }
    throw refusal(response, by: place)
  }

  /// The error of an answer whose status is not 2xx.
  func refusal(_ response: HTTPResponse, by place: Int) -> ConsulError {
    let text = AgentClient.firstLine(response.body, without: secrets)
    if response.status == 403 { token.refused() }  // its file may hold a new token
    let error = ConsulError.refused(
      agent: places[place].name, status: response.status, text: text)
    moveOn(from: place, after: error)
    return error
  }

  /// The answer with any status, and which agent gave it.
  func exchange(
    _ request: HTTPRequest, timeout: Duration, mayRepeat: Bool
  ) async throws -> (HTTPResponse, Int) {
    let end = ContinuousClock.now + timeout
    // What reached no agent is sent to the next one at once; an index is the one's that gave it.
    var left = mayRepeat ? places.count : 1
    var timeout = timeout
    while true {
      let place = current
      left -= 1
      do {
        return (
          try await exchange(request, at: place, timeout: timeout, mayRepeat: mayRepeat), place
        )
      } catch let error as NotConnected {
        moveOn(from: place, after: error.error)
        timeout = end - .now
        guard left > 0, timeout > .zero else { throw error.error }
      } catch let error as ConsulError {
        moveOn(from: place, after: error)
        throw error
      }
    }
  }

  /// - Throws: ``ConsulError``, ``NotConnected``, or `CancellationError`.
  func exchange(
    _ request: HTTPRequest, at place: Int, timeout: Duration, mayRepeat: Bool
  ) async throws -> HTTPResponse {
    let deadline = Deadline(timeout)
    let (address, security) = (places[place].address, places[place].security)
    do {
      let bytes = try encode(request, for: address)
      if request.method == .get, let kept = takeIdle(of: place) {
        do {
          return try await roundTrip(bytes, on: kept, of: place, until: deadline)
        } catch let stale as StaleConnection {
          guard mayRepeat else {
            throw ConsulError.unreachable(agent: address.description, reason: stale.reasonWhenKept)
          }
          // The agent closed it while it was idle: there is no answer, so the read is sent again.
        }
      }
      await security?.prepare(min(deadline.remaining, AgentClient.connectTimeout))
      let fresh: ByteStream
      do {
        fresh = try await ByteStream.connect(
          to: address.destination, on: loop,
          timeout: min(deadline.remaining, AgentClient.connectTimeout), filter: security?.make)
      } catch let error as SocketError {
        guard let error = translated(error, address, deadline, timeout) as? ConsulError else {
          throw error
        }
        throw NotConnected(error: error)
      }
      do {
        return try await roundTrip(bytes, on: fresh, of: place, until: deadline)
      } catch let stale as StaleConnection {
        throw ConsulError.unreachable(agent: address.description, reason: stale.reasonWhenFresh)
      }
    } catch {
      throw translated(error, address, deadline, timeout)
    }
  }

  /// No agent got anything of the request.
  private struct NotConnected: Error, CustomStringConvertible {
    var error: ConsulError
    var description: String { "\(error)" }
  }

  /// Every error but a cancellation becomes a ``ConsulError`` that names the agent.
  private func translated(
    _ error: any Error, _ address: AgentAddress, _ deadline: Deadline, _ timeout: Duration
  ) -> any Error {
    let name = address.description
    switch error {
    case is CancellationError, is ConsulError, is NotConnected: return error
    case let error as SocketError where error.isTimeout:
      let spent = deadline.remaining <= .zero ? timeout : AgentClient.connectTimeout
      return ConsulError.timedOut(agent: name, after: spent)
    case let error as HTTPError where error != .truncated:
      return ConsulError.malformed(agent: name, reason: "\(error)")
    default: return ConsulError.unreachable(agent: name, reason: "\(error)")
    }
  }

  /// Sent with the next request; nil if there is none.
  func currentToken() throws(ConsulError) -> String? { try token.current() }

  private func encode(
    _ request: HTTPRequest, for address: AgentAddress
  ) throws -> [UInt8] {
    var request = request
    request.path = address.prefix + request.path
    request.addHeader("User-Agent", "trunkcall")
    request.addHeader("Accept", "application/json")
    if let token = try token.current() { request.addHeader("X-Consul-Token", token) }
    if let auth = agent.basicAuth {
      request.addHeader("Authorization", "Basic \(BasicAuth.encode(auth))")
    }
    return try request.encoded(host: address.hostHeader)
  }

  /// A connection that ended before the first byte of an answer.
  private struct StaleConnection: Error {
    var cause: SocketError?
    var reasonWhenKept: String {
      cause.map { "\($0)" } ?? "the connection was closed without an answer"
    }
    /// `http_max_conns_per_client` (Consul, Limits): at its limit an agent resets a new connection
    /// without an HTTP answer; it is closed in order if the request comes a moment later.
    var reasonWhenFresh: String {
      // A failed handshake has a reason of its own.
      if let cause, cause.errno == 0 { return "\(cause)" }
      return "\(reasonWhenKept) (perhaps the agent's limit of 200 connections from one address)"
    }
  }

  private func roundTrip(
    _ request: [UInt8], on stream: ByteStream, of place: Int, until deadline: Deadline
  ) async throws -> HTTPResponse {
    var parser = HTTPResponseParser(limits: limits)
    var keep = false
    defer { if keep, place == current { self.keep(stream, of: place) } else { stream.close() } }
    do {
      try await stream.write(request, timeout: deadline.remaining)
      while true {
        let bytes = try await stream.read(timeout: deadline.remaining)
        if bytes.isEmpty {
          guard parser.hasBegun else { throw StaleConnection(cause: nil) }
          try parser.finish()
        } else {
          try parser.receive(bytes)
        }
        if let response = parser.response {
          keep = parser.keepsAlive
          return response
        }
      }
    } catch let error as SocketError where !parser.hasBegun && !error.isTimeout {
      throw StaleConnection(cause: error)
    }
  }

  private func takeIdle(of place: Int) -> ByteStream? {
    idle.withLock { kept in
      kept.lastIndex { $0.place == place }.map { kept.remove(at: $0).stream }
    }
  }

  private func keep(_ stream: ByteStream, of place: Int) {
    let excess = idle.withLock { kept -> ByteStream? in
      kept.append((place, stream))
      return kept.count > AgentClient.maximumIdle ? kept.removeFirst().stream : nil
    }
    excess?.close()
  }

  /// What requests carry and no error may show. Shorter ones would cut words out of the text.
  private var secrets: [String] {
    let auth = agent.basicAuth.map { [$0, BasicAuth.encode($0)] } ?? []
    let password = agent.basicAuth?.split(separator: ":", maxSplits: 1).dropFirst().map(String.init)
    return ([token.last].compactMap { $0 } + auth + (password ?? []))
      .filter { $0.utf8.count >= 4 }.sorted { $0.utf8.count > $1.utf8.count }
  }

  /// The first line of an error text, cut to what fits a log line. An agent, or a proxy before it, may
  /// repeat a header of the request.
  private static func firstLine(_ body: [UInt8], without secrets: [String]) -> String {
    let text = String(decoding: body.prefix(8_192), as: UTF8.self)
    var line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
    for secret in secrets { line = line.replacing(secret, with: "***") }
    let shown = line.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(200)
    return String(String.UnicodeScalarView(shown)).trimmed
  }
}

/// The time by which a whole exchange must have ended.
private struct Deadline {
  let end: ContinuousClock.Instant
  init(_ timeout: Duration) { end = ContinuousClock.now + timeout }
  var remaining: Duration { max(.zero, end - ContinuousClock.now) }
}

extension AgentAddress {
  fileprivate var destination: Destination {
    switch address {
    case .host(let host, let port): .host(host, port)
    case .unix(let path): .unix(path)
    case .unixAbstract(let name): .unixAbstract(name)
    }
  }
}
