// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The load reports of one subchannel's server, out of band (gRFC A51): keeps a call of
/// `xds.service.orca.v3.OpenRcaService` on its connection, and gives the reports to the subchannel's
/// observer. Control loop only.
final class LoadReportStream: ConnectionStreamOwner {
  private static let method: MethodName = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"

  private unowned let controller: ChannelController
  private let id: SubchannelID
  private let observer: any CallObserver
  private var interval: Duration
  private lazy var stream = ConnectionStream(controller, of: self)

  /// nil if nobody observes the subchannel.
  init?(
    _ controller: ChannelController, _ id: SubchannelID, _ observer: (any CallObserver)?,
    every interval: Duration
  ) {
    guard let observer else { return nil }
    self.controller = controller
    self.id = id
    self.observer = observer
    self.interval = interval
  }

  func connected(_ reference: ConnectionReference) { stream.connected(reference) }

  func disconnected() { stream.disconnected() }

  func ask(every interval: Duration) {
    guard interval != self.interval else { return }
    self.interval = interval
    stream.handle(.changed)
  }

  func wasUnimplemented() {
    // gRFC A51 wants it at error level.
    controller.parts.logger.error(
      "a server has no load reports out of band",
      metadata: ["server": "\(controller.subchannels[id].map { "\($0.core.endpoint)" } ?? "")"])
  }

  func open(
    _ number: UInt32, _ context: ChannelContext, on reference: ConnectionReference
  ) -> PinnedCall {
    let id = id
    let observer = observer
    let logger = controller.parts.logger
    return PinnedCall(
      context, on: reference, LoadReportStream.method, request: LoadReportStream.request(interval),
      messageLimit: LoadReport.maxSize
    ) { message in
      guard let report = LoadReport(protobuf: message) else {
        logger.warning("a load report is malformed or too large, and ignored")
        return
      }
      observer.loadReported(report, at: Clock.now())
      context.onControlLoopLater { $0.subchannels[id]?.reports?.stream.handle(.message(number)) }
    } onEnd: { error in
      context.onControlLoopLater { controller in
        controller.pinnedCalls.ended()
        controller.subchannels[id]?.reports?.stream.handle(.ended(number, error?.code))
      }
    }
  }

  /// `xds.service.orca.v3.OrcaLoadReportRequest`: the interval as `google.protobuf.Duration`.
  static func request(_ interval: Duration) -> [UInt8] {
    let (seconds, attoseconds) = max(.zero, interval).components
    var duration = ProtobufWriter()
    duration.write(1, integer: seconds)
    duration.write(2, integer: attoseconds / 1_000_000_000)
    var request = ProtobufWriter()
    request.write(1, message: duration.bytes)
    return request.bytes
  }
}

/// The calls that a channel has on its connections for itself. They do not keep it from being idle.
struct PinnedCalls: Sendable {
  private(set) var begun: UInt64 = 0
  private(set) var underWay = 0

  mutating func began() {
    begun &+= 1
    underWay += 1
  }
  mutating func ended() { underWay -= 1 }
}
