// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// The SRV records of a service in the order of use (RFC 2782): lower priority numbers first, within
/// one as in the answer.
struct SRVRecords: Sendable {
  struct Record: Sendable, Hashable {
    var host: String
    var service: DNSMessage.Service
  }
  /// Records that are used of an answer.
  static let limit = 256

  let records: [Record]
  let allPriorities: Bool
  /// Records beyond the limit, or without a host name.
  private let passedOver: Int
  private let isNotOffered: Bool

  init(_ found: [DNSMessage.Service], allPriorities: Bool) {
    self.allPriorities = allPriorities
    // RFC 2782: the root alone as the target says that there is no such service.
    isNotOffered = found.count == 1 && found[0].target == [0]
    let usable = found.compactMap { service in
      service.port == 0
        ? nil : DNSMessage.hostName(service.target).map { Record(host: $0, service: service) }
    }
    var seen: Set<Record> = []
    let ordered = usable.filter { seen.insert($0).inserted }.enumerated().sorted {
      ($0.element.service.priority, $0.offset) < ($1.element.service.priority, $1.offset)
    }
    records = ordered.prefix(SRVRecords.limit).map(\.element)
    passedOver = found.count - records.count
  }

  /// Why no server can be used.
  var refusal: String? {
    if isNotOffered { return "the service is not offered (SRV target \".\")" }
    guard records.isEmpty else { return nil }
    return passedOver > 0
      ? "no SRV record has a host name and a port" : "the name has no SRV record (NODATA)"
  }

  /// Each once.
  var hosts: [String] {
    var seen: Set<String> = []
    return records.map(\.host).filter { seen.insert($0).inserted }
  }

  var remark: String { passedOver > 0 ? ", \(counted(passedOver, "SRV record")) not used" : "" }
}

/// The addresses of SRV records' hosts.
struct SRVAnswers: Sendable {
  private let records: SRVRecords
  private var addresses: [String: [Address]] = [:]

  init(_ records: SRVRecords) { self.records = records }

  /// - Parameter found: empty if the host has none.
  mutating func add(_ host: String, _ found: [Address]) { addresses[host] = found }

  /// Adds hosts that are not answered in full.
  mutating func add(_ early: [String: [Address]]) { addresses.merge(early) { full, _ in full } }

  /// Hosts that are not answered yet.
  var missing: Int { records.hosts.count - addresses.count }

  /// One for each record whose host has an address.
  var endpoints: [Endpoint] {
    let usable = records.records.filter { addresses[$0.host]?.isEmpty == false }
    guard records.allPriorities else {
      return usable.filter { $0.service.priority == usable[0].service.priority }.map {
        endpoint($0)
      }
    }
    // By their place among all priorities, so that an address that is missing moves no other one.
    let priorities = Set(records.records.map(\.service.priority)).sorted()
    return usable.map { record in
      var endpoint = endpoint(record)
      endpoint.childPath = ["\(priorities.firstIndex(of: record.service.priority) ?? 0)"]
      return endpoint
    }
  }

  /// What is not used, for the note.
  var remark: String {
    let bare = addresses.values.count { $0.isEmpty }
    return records.remark + (bare > 0 ? ", \(counted(bare, "host")) without an address" : "")
  }

  private func endpoint(_ record: SRVRecords.Record) -> Endpoint {
    let service = record.service
    let own = (addresses[record.host] ?? []).map { address in
      if case .host(let host, _) = address { Address(host, service.port) } else { address }
    }
    // RFC 2782: weight 0 is a very small chance; the least weight of an endpoint is 1.
    return Endpoint(
      own, weight: UInt32(max(1, service.weight)),
      attributes: [
        "dns.srv.priority": "\(service.priority)", "dns.srv.target": record.host,
      ])
  }
}
