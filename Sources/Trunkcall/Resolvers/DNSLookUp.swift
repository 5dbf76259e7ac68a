// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// The look-ups of one `dns` target.
struct DNSLookUp: Sendable {
  private let name: DNSTarget
  private let timeout: Duration

  init(_ name: DNSTarget, _ timeout: Duration) {
    self.name = name
    self.timeout = timeout
  }

  /// - Parameter partial: gets what is known while the rest is not answered.
  /// - Throws: if the look-up fails or finds no address.
  func endpoints(partial: @escaping @Sendable (DNSAnswer) -> Void) async throws -> DNSAnswer {
    if let service = name.service { return try await servers(of: service, partial) }
    let early = Locked<Set<Address>>([])
    let found = try await addresses(of: name.host, port: name.port) { found in
      let addresses = unique(found)
      early.withLock { $0 = Set(addresses) }
      partial(answer(addresses, nil, ", the other address family is not answered"))
    }
    let addresses = unique(found.values)
    guard !addresses.isEmpty else {
      throw failure("look-up of \(name.host)\(source): the name has no address (NODATA)")
    }
    let isKnown = early.withLock { $0 } == Set(addresses)
    return answer(
      addresses, found.timeToLive, isKnown ? ", the other address family is not answered" : "")
  }

  private func addresses(
    of host: String, port: UInt16, partial: @Sendable ([SocketAddress]) -> Void = { _ in }
  ) async throws -> DNSQuery.Answer<SocketAddress> {
    if let server = name.server {
      return try await DNSQuery.addresses(
        of: host, port: port, from: .chosen(server.destination), timeout: timeout
      ) {
        partial($0)
        return true
      }
    }
    let found = try await HostLookup.addresses(of: .host(host, port), timeout: timeout) {
      partial($0)
      return true
    }
    return DNSQuery.Answer(values: found, timeToLive: nil)
  }

  private func answer(
    _ addresses: [Address], _ timeToLive: UInt32?, _ remark: String
  ) -> DNSAnswer {
    DNSAnswer(
      endpoints: addresses.map { Endpoint($0) },
      note: "dns \(name.host)\(source): \(counted(addresses.count, "address", "es"))\(remark)",
      timeToLive: timeToLive)
  }

  private func unique(_ found: [SocketAddress]) -> [Address] {
    var seen: Set<Address> = []
    return found.map { Address($0.destination) }.filter { seen.insert($0).inserted }
  }

  private var source: String { name.server.map { " by \($0)" } ?? "" }

  private var server: DNSQuery.Server {
    name.server.map { .chosen($0.destination) } ?? .system
  }

  private func failure(_ detail: String) -> SocketError {
    SocketError("look-up", errno: 0, detail: detail)
  }
}

// MARK: - SRV records

extension DNSLookUp {
  /// Hosts of SRV records that are looked up at once.
  private static let atOnce = 8
  /// How long addresses of some hosts wait for those of the others.
  private static let partialDelay: Duration = .seconds(1)

  private func servers(
    of service: DNSTarget.Service, _ partial: @escaping @Sendable (DNSAnswer) -> Void
  ) async throws -> DNSAnswer {
    let found = try await DNSQuery.services(of: service.name, from: server, timeout: timeout)
    let records = SRVRecords(found.values, allPriorities: service.allPriorities)
    if let refusal = records.refusal {
      throw failure("look-up of \(service.name)\(source): \(refusal)")
    }
    enum Event: Sendable {
      case host(String, Result<DNSQuery.Answer<SocketAddress>, any Error>)
      case partialDelayPassed
    }
    return try await withThrowingTaskGroup(of: Event.self) { group in
      defer { group.cancelAll() }
      /// Addresses of one family, while the other is not answered.
      let early = EarlyAddresses()
      var hosts = records.hosts[...]
      var open = 0
      func next() {
        guard let host = hosts.popFirst() else { return }
        open += 1
        group.addTask {
          // The port is the record's.
          do {
            let found = try await addresses(of: host, port: 0) { found in
              let addresses = unique(found)
              early.byHost.withLock { $0[host] = addresses }
            }
            return .host(host, .success(found))
          } catch { return .host(host, .failure(error)) }
        }
      }
      for _ in 0..<DNSLookUp.atOnce { next() }
      group.addTask {
        try await Task.sleep(for: DNSLookUp.partialDelay)
        return .partialDelayPassed
      }
      var answers = SRVAnswers(records)
      var timeToLive = found.timeToLive
      var lastError: (any Error)?
      while open > 0, let event = try await group.next() {
        switch event {
        case .partialDelayPassed:
          let missing = answers.missing
          var known = answers
          known.add(early.byHost.withLock { $0 })
          guard !known.endpoints.isEmpty else { continue }
          let remark = ", \(counted(missing, "host")) not answered in full yet"
          partial(answer(service, known.endpoints, nil, answers.remark + remark))
        case .host(let host, let result):
          open -= 1
          next()
          switch result {
          case .success(let found):
            answers.add(host, unique(found.values))
            timeToLive = [timeToLive, found.timeToLive].compactMap { $0 }.min()
          case .failure(let error):
            answers.add(host, [])
            lastError = error
          }
        }
      }
      try Task.checkCancellation()
      let endpoints = answers.endpoints
      guard !endpoints.isEmpty else {
        throw failure(
          "look-up of \(service.name)\(source): no host of its SRV records has an address"
            + (lastError.map { " (\($0))" } ?? ""))
      }
      // Hosts that could not be looked up are asked for again as soon as that is allowed.
      return answer(service, endpoints, lastError == nil ? timeToLive : 0, answers.remark)
    }
  }

  private func answer(
    _ service: DNSTarget.Service, _ endpoints: [Endpoint], _ timeToLive: UInt32?, _ remark: String
  ) -> DNSAnswer {
    DNSAnswer(
      endpoints: endpoints,
      note: "dns \(service.name)\(source): \(counted(endpoints.count, "server"))\(remark)",
      timeToLive: timeToLive)
  }
}

private final class EarlyAddresses: Sendable {
  let byHost = Locked<[String: [Address]]>([:])
}

func counted(_ count: Int, _ noun: String, _ plural: String = "s") -> String {
  "\(count) \(noun)\(count == 1 ? "" : plural)"
}

// MARK: - Service config

extension DNSLookUp {
  /// No record, or none for this client: no config.
  /// - Throws: `CancellationError`.
  func serviceConfig() async throws -> DNSConfigAnswer {
    let texts: DNSQuery.Answer<[UInt8]>
    do {
      texts = try await DNSQuery.texts(
        of: "_grpc_config.\(name.ownName)", from: server, timeout: timeout)
    } catch let error as SocketError {
      if error.isNoSuchName { return .config(nil, timeToLive: nil) }
      return .failed("\(error)")
    }
    do throws(ServiceConfigError) {
      let config = try ServiceConfigChoice(
        hostname: HostLookup.localName ?? "", percentile: Int.random(in: 0..<100)
      ).choose(from: texts.values)
      return .config(config, timeToLive: texts.timeToLive)
    } catch { return .bad(error, timeToLive: texts.timeToLive) }
  }
}
