// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkWire

/// What a policy wants of a subchannel beside its connection.
public struct SubchannelOptions: Sendable, Hashable {
  /// Told of each call on the subchannel; nil: none is.
  public var observer: (any CallObserver)?
  /// Whether outlier ejection (gRFC A50) and client-side health checks (gRFC A17) show as the
  /// subchannel's state. Default true; pick_first on its own ignores both (gRFC A61).
  public var showsHealth: Bool
  /// How often the server is asked for a load report on a stream of its own
  /// (``CallObserver/loadReported(_:at:)``; gRFC A51). nil, the default: there is no such stream. A
  /// server may send less often: 30 s is the usual minimum.
  public var loadReportInterval: Duration?

  /// - Parameters: see the properties of the same names.
  public init(
    observer: (any CallObserver)? = nil, showsHealth: Bool = true,
    loadReportInterval: Duration? = nil
  ) {
    self.observer = observer
    self.showsHealth = showsHealth
    self.loadReportInterval = loadReportInterval
  }

  /// With one more observer, for a policy around the one that opened the subchannel.
  /// - Parameter loadReportInterval: its own wish; of several the smallest holds, and all observers
  ///   get every report (gRFC A51).
  public func adding(
    _ other: any CallObserver, loadReportInterval interval: Duration? = nil
  ) -> SubchannelOptions {
    var options = self
    options.observer = observer.map { ObserverPair($0, other) } ?? other
    options.loadReportInterval = [loadReportInterval, interval].compactMap { $0 }.min()
    return options
  }

  /// Observers are equal if they are the same object.
  public static func == (a: SubchannelOptions, b: SubchannelOptions) -> Bool {
    a.showsHealth == b.showsHealth && a.loadReportInterval == b.loadReportInterval
      && a.observer.map { ObjectIdentifier($0) } == b.observer.map { ObjectIdentifier($0) }
  }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(observer.map { ObjectIdentifier($0) })
    hasher.combine(showsHealth)
    hasher.combine(loadReportInterval)
  }
}

/// Sees each call of a subchannel begin, on the thread that picks for it, and end, on the event loop of
/// its connection: several may call it at the same time. Must not block; a call without an observer costs nothing.
public protocol CallObserver: AnyObject, Sendable {
  /// The subchannel was picked for an attempt, which is on its way to a connection.
  /// - Parameter time: nanoseconds on the clock of ``PickContext/nanoseconds``.
  func callBegan(at time: UInt64)
  /// That attempt ended; called once for each ``callBegan(at:)``.
  func callEnded(_ outcome: CallOutcome)
  /// The server sent a report of its load out of band (gRFC A51): only on a subchannel with a
  /// ``SubchannelOptions/loadReportInterval``. The default does nothing.
  /// - Parameter time: as in ``callBegan(at:)``.
  func loadReported(_ report: LoadReport, at time: UInt64)
}

extension CallObserver {
  /// Ignores it.
  public func loadReported(_ report: LoadReport, at time: UInt64) {}
}

/// How a call, or one attempt of it, ended on a subchannel.
public struct CallOutcome: Sendable {
  /// nil for OK.
  public var code: RPCError.Code?
  /// When the attempt was given to the connection, or picked for if it never was, in nanoseconds on the clock of
  /// ``PickContext/nanoseconds``.
  public var began: UInt64
  /// On the same clock.
  public var ended: UInt64
  /// The server's; empty if there were none.
  public var trailingMetadata: Metadata
  /// No sign of how well the server does (``code`` is `.cancelled`): an attempt of a hedged call that was
  /// cancelled as another one was chosen, or one that no connection took, for which is picked again.
  public var isInconclusive = false
  /// The server's load report (gRFC A51); nil without one. Decoded at each access.
  public var loadReport: LoadReport? { LoadReport(trailers: trailingMetadata) }

  /// For tests of an observer; a channel makes them.
  public init(
    code: RPCError.Code?, began: UInt64, ended: UInt64, trailingMetadata: Metadata = Metadata()
  ) {
    self.code = code
    self.began = began
    self.ended = ended
    self.trailingMetadata = trailingMetadata
  }
}

/// Two observers as one.
private final class ObserverPair: CallObserver {
  private let first: any CallObserver
  private let second: any CallObserver

  init(_ first: any CallObserver, _ second: any CallObserver) {
    self.first = first
    self.second = second
  }

  func callBegan(at time: UInt64) {
    first.callBegan(at: time)
    second.callBegan(at: time)
  }
  func callEnded(_ outcome: CallOutcome) {
    first.callEnded(outcome)
    second.callEnded(outcome)
  }
  func loadReported(_ report: LoadReport, at time: UInt64) {
    first.loadReported(report, at: time)
    second.loadReported(report, at: time)
  }
}
