// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import TrunkSockets
  import TrunkTLS

  /// Whatever comes in, before, during and after a handshake: what a driver gets is a prefix of
  /// what the other driver said, and what an engine says of itself is limited by what it was sent.
  @Sendable func fuzzTLS(_ input: [UInt8]) {
    var choices = Choices(input)
    let manner = choices.byte()
    guard let pair = FuzzPair(manner) else { return holds(false, "the contexts can be made") }
    if manner & 1 == 0 {
      let sizes = choices.bytes(Int(choices.byte()) & 3)
      let bytes = choices.all()
      split(bytes, sizes) { pair.server.take($0) }
      pair.server.socketEnded()
      holds(!pair.server.engine.isOpen, "a client that shakes no hands is not let in")
      return pair.check(sent: bytes.count)
    }
    pair.run(&choices)
    pair.check(sent: 0)
  }

  /// One side: an engine, what its driver got and said, and the records on their way to it.
  private final class FuzzSide {
    let engine: TLSEngine
    var arriving: [[UInt8]] = []
    var said: [UInt8] = []
    var received: [UInt8] = []
    var error: SocketError?
    var isEnded = false
    /// Bytes that it put on the wire.
    var sent = 0
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 16)

    init(_ engine: TLSEngine) { self.engine = engine }
    deinit { scratch.deallocate() }

    func take(_ bytes: [UInt8]) {
      guard error == nil, !isEnded else { return }
      bytes.withUnsafeBytes { raw in
        do throws(SocketError) {
          isEnded = try engine.receive(raw, scratch) { plain in
            holds(engine.isOpen, "nothing comes before the handshake is over")
            received += plain
            return true
          }
        } catch {
          self.error = error
          holds(!engine.isOpen, "what failed is not open")
          holds("\(error)".contains(" "), "an error is a sentence")
        }
      }
      _ = engine.peer
    }

    func socketEnded() { if error == nil, !isEnded { error = engine.ended() } }

    /// What it has for the wire, with `plain` of its driver.
    func give(_ plain: [UInt8] = []) -> [UInt8] {
      var output = OutputBuffer()
      engine.drain(&output)
      if error == nil, engine.isOpen, !plain.isEmpty {
        said += plain
        plain.withUnsafeBytes { raw in
          do throws(SocketError) { try engine.send(raw, &output) } catch { self.error = error }
        }
      }
      sent += output.count
      return Array(output.bytes)
    }

    func close() -> [UInt8] {
      var output = OutputBuffer()
      engine.close(&output)
      sent += output.count
      return Array(output.bytes)
    }
  }

  private final class FuzzPair {
    let client: FuzzSide
    let server: FuzzSide
    /// Whether everything arrived as it was sent, so far.
    private var isFaithful = true
    private var steps = 0

    init?(_ manner: UInt8) {
      guard let contexts = FuzzContexts.all?[Int(manner >> 1) & 3] else { return nil }
      if manner & 8 != 0 {
        // A session to resume, from a connection that nobody touches.
        guard let first = FuzzPair(contexts) else { return nil }
        first.settle()
      }
      guard let engines = FuzzPair.engines(contexts) else { return nil }
      (client, server) = engines
    }

    private init?(_ contexts: FuzzContexts) {
      guard let engines = FuzzPair.engines(contexts) else { return nil }
      (client, server) = engines
    }

    private static func engines(_ contexts: FuzzContexts) -> (FuzzSide, FuzzSide)? {
      guard
        let client = try? TLSEngine(
          client: contexts.client, serverName: "localhost", server: "fuzz"),
        let server = try? TLSEngine(server: contexts.server), (try? client.begin()) != nil
      else { return nil }
      return (FuzzSide(client), FuzzSide(server))
    }

    func run(_ choices: inout Choices) {
      while !choices.isEmpty, steps < 256 {
        steps += 1
        step(&choices)
      }
      settle()
      if isFaithful {
        holds(client.error == nil && server.error == nil, "without a fault nobody complains")
        holds(client.received == server.said, "everything arrives at the client")
        holds(server.received == client.said, "everything arrives at the server")
      }
    }

    func settle() {
      while move() {
        for side in [client, server] {
          let records = side.arriving
          side.arriving = []
          for record in records { side.take(record) }
        }
      }
    }

    /// Carries what is said onto the wire; whether anything is on it.
    private func move() -> Bool {
      put(client.give(), to: server)
      put(server.give(), to: client)
      return !client.arriving.isEmpty || !server.arriving.isEmpty
    }

    /// Bytes as records, so that faults can fall between them.
    private func put(_ bytes: [UInt8], to side: FuzzSide) {
      var rest = bytes[...]
      while rest.count > 5 {
        let start = rest.startIndex
        let length = Int(rest[start + 3]) << 8 | Int(rest[start + 4])
        side.arriving.append(Array(rest.prefix(5 + length)))
        rest = rest.dropFirst(5 + length)
      }
      holds(rest.isEmpty, "an engine sends whole records")
    }

    private func step(_ choices: inout Choices) {
      _ = move()
      let operation = choices.byte()
      let side = operation & 1 == 0 ? server : client
      let other = side === server ? client : server
      let argument = choices.byte()
      switch operation >> 1 & 15 {
      case 0, 1, 2, 3: deliver(side, 1)
      case 4: deliver(side, .max)
      case 5: put(other.give([UInt8](repeating: argument, count: Int(argument) * 97)), to: side)
      case 6:  // in pieces, which is no fault
        guard !side.arriving.isEmpty else { return }
        split(side.arriving.removeFirst(), [argument & 63]) { side.take($0) }
      case 7:  // two together, which is none either
        guard side.arriving.count > 1 else { return }
        side.take(side.arriving.removeFirst() + side.arriving.removeFirst())
      case 8:
        put(other.close(), to: side)
        // What is said behind the goodbye does not count.
        isFaithful = false
      default: fault(operation >> 1 & 15, argument, side, &choices)
      }
    }

    private func deliver(_ side: FuzzSide, _ count: Int) {
      for _ in 0..<min(count, side.arriving.count) { side.take(side.arriving.removeFirst()) }
    }

    private func fault(
      _ kind: UInt8, _ argument: UInt8, _ side: FuzzSide, _ choices: inout Choices
    ) {
      guard !side.arriving.isEmpty else { return }
      isFaithful = false
      switch kind {
      case 9:  // cut
        let count = side.arriving[0].count * Int(argument) / 256
        side.arriving[0] = Array(side.arriving[0].prefix(count))
      case 10:  // flip
        let index = (Int(argument) << 3 | Int(choices.byte() & 7)) % side.arriving[0].count
        side.arriving[0][index] ^= 1 << (choices.byte() & 7)
      case 11: side.arriving.removeFirst()
      case 12: side.arriving.insert(side.arriving[0], at: 0)
      case 13: side.arriving.swapAt(0, Int(argument) % side.arriving.count)
      case 14:  // something of the fuzzer's own
        side.arriving.insert(
          [argument & 31, 3, choices.byte() & 3, 0]
            + { [UInt8($0.count)] + $0 }(choices.bytes(Int(choices.byte()) & 63)), at: 0)
      default: side.socketEnded()
      }
      // An empty record would be taken for nothing by `take`, and stays out of the way here.
      side.arriving.removeAll(where: \.isEmpty)
    }

    func check(sent: Int) {
      _ = (client.give(), server.give())
      holds(server.said.starts(with: client.received), "the client gets what the server said")
      holds(client.said.starts(with: server.received), "the server gets what the client said")
      let limit = 32 << 10
      holds(server.sent <= server.said.count * 2 + limit + sent, "a server says little by itself")
      holds(client.sent <= client.said.count * 2 + limit, "a client says little by itself")
    }
  }

  private struct FuzzContexts: Sendable {
    let client: TLSContext
    let server: TLSContext

    /// By whether clients show a certificate, and whether TLS 1.3 is all that is spoken.
    static let all: [FuzzContexts]? = try? (0..<4).map { kind in
      let identity = TLSIdentity(certificates: .text(certificate), privateKey: .text(key))
      let trust = TLSTrust.certificates(.text(certificate))
      var server = ServerTLS(identity, clientCertificates: kind & 1 == 0 ? .none : .required(trust))
      var client = ClientTLS(trust: trust, identity: kind & 1 == 0 ? nil : identity)
      if kind & 2 != 0 { (server.minimumVersion, client.minimumVersion) = (.tls13, .tls13) }
      return FuzzContexts(client: try .client(client), server: try .server(server))
    }

    // Thrown away the moment they were made: a key that protects nothing, and the certificate that
    // it signed for itself. Fixed, so that an input does the same on every machine.
    private static let key = """
      -----BEGIN PRIVATE KEY-----
      MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGVjIEcC9Q2iYMRSp
      fMgLP1uV4CY3qAMZZ4ythmeFcAuhRANCAATbiUO6PRN84XlXkH5dnNSryVy8bruj
      +XjL+Z7sCCxCvPNnY7jU7+F2TfMMd/5NedOUHZGuQEJijJjpJXj39w0U
      -----END PRIVATE KEY-----
      """
    private static let certificate = """
      -----BEGIN CERTIFICATE-----
      MIIBizCCATGgAwIBAgIUGDhxpRgvJ6NDVPQowJFfjGvJ8PswCgYIKoZIzj0EAwIw
      DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjQyMTU4MjRaGA8yMTI2MTAzMTIxNTgy
      NFowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNuJ
      Q7o9E3zheVeQfl2c1KvJXLxuu6P5eMv5nuwILEK882djuNTv4XZN8wx3/k1505Qd
      ka5AQmKMmOklePf3DRSjaTBnMB0GA1UdDgQWBBRuRb9uspJdm9ezHItpPdjdExSg
      1TAfBgNVHSMEGDAWgBRuRb9uspJdm9ezHItpPdjdExSg1TAPBgNVHRMBAf8EBTAD
      AQH/MBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAKBggqhkjOPQQDAgNIADBFAiAu3nzj
      yeRa4MP+C8Du25fitV+T11wbiEmwiIPajs+5YQIhAJ6sVi3qii+n9ytcyTP1k3WC
      NL2CE19NZJcefWVqMK2O
      -----END CERTIFICATE-----
      """
  }
#endif
