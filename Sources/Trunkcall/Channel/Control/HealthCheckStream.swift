// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// Client-side health checking of one subchannel (gRFC A17): keeps a `grpc.health.v1.Health/Watch` on
/// its connection, and shows the policy what the server says of the service instead of READY.
/// Control loop only.
///
/// ```
///   connected: CONNECTING ── SERVING ──► READY ◄─┐
///        │                                 │     │ SERVING
///        └── another status, or the stream ended ──► TRANSIENT_FAILURE
///   UNIMPLEMENTED: READY, and an error is logged
/// ```
final class HealthCheckStream: ConnectionStreamOwner {
  private static let method: MethodName = "/grpc.health.v1.Health/Watch"
  /// Bytes of a `HealthCheckResponse`, which has one enum.
  static let messageLimit = 1_024

  /// `HealthCheckResponse.ServingStatus`.
  enum Status: Sendable, Hashable {
    case unknown, serving, notServing, serviceUnknown

    init?(response: [UInt8]) {
      var reader = ProtobufReader(response[...])
      var status = Status.unknown
      while let (number, value) = reader.next() {
        guard number == 1, case .varint(let raw) = value else { continue }
        switch raw {
        case 1: status = .serving
        case 2: status = .notServing
        case 3: status = .serviceUnknown
        default: status = .unknown
        }
      }
      if reader.isMalformed { return nil }
      self = status
    }

    var text: String {
      switch self {
      case .unknown: "UNKNOWN"
      case .serving: "SERVING"
      case .notServing: "NOT_SERVING"
      case .serviceUnknown: "SERVICE_UNKNOWN"
      }
    }
  }

  private unowned let controller: ChannelController
  private let id: SubchannelID
  let service: String
  private lazy var stream = ConnectionStream(controller, of: self)
  /// For `explain()`.
  private(set) var text = "health is not known yet"

  init(_ controller: ChannelController, _ id: SubchannelID, service: String) {
    self.controller = controller
    self.id = id
    self.service = service
  }

  func connected(_ reference: ConnectionReference) {
    text = "health is not known yet"
    stream.connected(reference)
  }

  func disconnected() { stream.disconnected() }

  func wasUnimplemented() {
    // gRFC A17: such a server is taken as healthy.
    text = "has no health service"
    controller.parts.logger.error(
      "a server has no health service; it is taken as healthy",
      metadata: ["server": "\(server)"])
    show(.ready, nil)
  }

  private var server: String { controller.subchannels[id].map { "\($0.core.endpoint)" } ?? "" }

  private func show(_ state: ConnectivityState, _ error: String?) {
    guard stream.reference != nil else { return }
    controller.post(.core(.subchannel(id, state, error: error)))
  }

  func open(
    _ number: UInt32, _ context: ChannelContext, on reference: ConnectionReference
  ) -> PinnedCall {
    let id = id
    var request = ProtobufWriter()
    request.write(1, string: service)
    return PinnedCall(
      context, on: reference, HealthCheckStream.method, request: request.bytes,
      messageLimit: HealthCheckStream.messageLimit
    ) { message in
      let status = Status(response: message)
      context.onControlLoopLater { $0.subchannels[id]?.health?.received(status, number) }
    } onEnd: { error in
      context.onControlLoopLater { controller in
        controller.pinnedCalls.ended()
        controller.subchannels[id]?.health?.ended(error, number)
      }
    }
  }

  private func received(_ status: Status?, _ number: UInt32) {
    guard stream.isCurrent(number) else { return }
    stream.handle(.message(number))
    text = "health \(status?.text ?? "answer is malformed")"
    if status == .serving { return show(.ready, nil) }
    show(.transientFailure, "\(server): \(text) for \"\(service)\"")
  }

  private func ended(_ error: RPCError?, _ number: UInt32) {
    guard stream.isCurrent(number) else { return }
    if error?.code != .unimplemented {
      text = "the health check ended: \(error.map { "\($0.code) \($0.message)" } ?? "OK")"
      show(.transientFailure, "\(server): \(text)")
    }
    stream.handle(.ended(number, error?.code))
  }
}

extension ChannelController {
  /// What servers are asked for; nil: they are not asked.
  var healthCheckService: String? {
    parts.options.disablesHealthChecks ? nil : config?.healthCheckService
  }
}
