// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import ArgumentParser
internal import GreeterSupport
internal import TrunkConsul
internal import Trunkcall

/// What the server is registered with.
struct RegistrationFlags: ParsableArguments {
  @Option(help: "The instance's id in Consul (default: NAME-ADDRESS-PORT).")
  var id: String?
  @Option(help: ArgumentHelp("Metadata; may be repeated.", valueName: "key=value"))
  var meta: [String] = []
  @Option(help: "The weight while passing, 1 to 65535.")
  var weight: UInt16?
  @Option(help: "The weight while a check is warning, 1 to 65535.")
  var warningWeight: UInt16?
  @Option(
    help: ArgumentHelp(
      """
      A check; may be repeated: grpc, tcp, udp, h2ping, ttl=30s, http=URL, alias=ID (as healthy as \
      another instance of the agent) or none (default: grpc).
      """, valueName: "kind"))
  var check: [String] = []
  @Option(help: "The agent removes an instance that is critical for so long; 1m at least.")
  var deregisterAfter: Duration = .seconds(60)
  @Option(help: ArgumentHelp("A further address; may be repeated.", valueName: "name=host[:port]"))
  var taggedAddress: [String] = []
  @Flag(help: "Let others change the tags in the catalogue (EnableTagOverride).")
  var allowTagOverride = false
  @Option(help: "Register in maintenance, with this reason, until the next start without it.")
  var maintenance: String?
  @Option(
    help: "How long after a stop begins, and 200ms more, others may take to see it in Consul.")
  var drainLag: Duration = .milliseconds(400)
  @Flag(help: "Serve on if the agent refuses the registration for good (default: exit with 1).")
  var keepServing = false

  func validate() throws {
    if weight == 0 || warningWeight == 0 {
      throw ValidationError("--weight, --warning-weight: 1 to 65535 are allowed")
    }
    if deregisterAfter < .seconds(60) {
      throw ValidationError("--deregister-after: Consul allows 1m and more")
    }
    _ = try metadata
    _ = try taggedAddresses
    _ = try checks(every: .seconds(10))
  }

  var options: ConsulRegistrationOptions {
    var options = ConsulRegistrationOptions()
    options.drainLag = drainLag
    options.onRefusal = keepServing ? .keepServing : .stop
    return options
  }

  var weights: ConsulWeights? {
    guard weight != nil || warningWeight != nil else { return nil }
    return ConsulWeights(passing: weight ?? 1, warning: warningWeight ?? 1)
  }

  var metadata: [String: String] {
    get throws {
      var pairs: [String: String] = [:]
      for text in meta {
        guard let (key, value) = split(text) else {
          throw ValidationError("--meta \(text): KEY=VALUE is allowed")
        }
        pairs[key] = value
      }
      return pairs
    }
  }

  var taggedAddresses: [String: Address] {
    get throws {
      var addresses: [String: Address] = [:]
      for text in taggedAddress {
        guard let (name, value) = split(text), let parsed = Advertised(argument: value) else {
          throw ValidationError("--tagged-address \(text): NAME=HOST[:PORT] is allowed")
        }
        addresses[name] = parsed.address
      }
      return addresses
    }
  }

  func checks(every interval: Duration) throws -> [ConsulCheck] {
    if check.isEmpty { return [.grpc(every: interval)] }
    return try check.map { text in
      let pair = split(text)
      switch (pair?.0 ?? text, pair?.1) {
      case ("grpc", nil): return .grpc(every: interval)
      case ("tcp", nil): return .tcp(every: interval)
      case ("udp", nil): return .udp(every: interval)
      case ("h2ping", nil): return .h2ping(every: interval)
      case ("none", nil): return .none
      case ("ttl", let life):
        guard let life = Duration(argument: life ?? "30s"), life > .zero else { break }
        return .ttl(life)
      case ("http", let url?): return .http(url, every: interval)
      case ("alias", let id?) where !id.isEmpty: return .alias(ofService: id)
      default: break
      }
      throw ValidationError(
        """
        --check \(text): grpc, tcp, udp, h2ping, ttl[=30s], http=URL, alias=ID and none are allowed
        """)
    }
  }

  private func split(_ text: String) -> (String, String)? {
    guard let at = text.firstIndex(of: "="), at != text.startIndex else { return nil }
    return (String(text[..<at]), String(text[text.index(after: at)...]))
  }
}
