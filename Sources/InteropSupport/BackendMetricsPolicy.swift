// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets
internal import Trunkcall

/// `test_backend_metrics_load_balancer` of interop-test-descriptions.md: one subchannel over all
/// addresses, whose load reports it keeps, with calls and, every second, out of band.
struct BackendMetricsPolicy: Balancer {
  static let name = "test_backend_metrics_load_balancer"
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}

  /// The last reports of a server.
  struct Reports: Sendable {
    var perCall: LoadReport?
    var outOfBand: LoadReport?
  }
  /// By address, as ``UnaryResponse/peer`` has it: a policy is made by its name, so a case cannot hand
  /// it a place of its own.
  private static let reports = Locked<[String: Reports]>([:])

  /// What the policy got last from the server of a call.
  static func reports(of peer: String) -> Reports { reports.withLock { $0[peer] ?? Reports() } }

  private final class Observer: CallObserver {
    private let addresses: [String]
    init(_ addresses: [Address]) { self.addresses = addresses.map(\.description) }

    func callBegan(at time: UInt64) {}
    func callEnded(_ outcome: CallOutcome) {
      if let report = outcome.loadReport { note { $0.perCall = report } }
    }
    func loadReported(_ report: LoadReport, at time: UInt64) { note { $0.outOfBand = report } }

    private func note(_ change: (inout Reports) -> Void) {
      BackendMetricsPolicy.reports.withLock { reports in
        for address in addresses { change(&reports[address, default: Reports()]) }
      }
    }
  }

  private var subchannel: SubchannelID?
  private var state = ConnectivityState.connecting
  private var lastError = "no address"

  init(_ config: Void) {}

  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    switch event {
    case .resolved(let resolution):
      let addresses = resolution.endpoints.flatMap(\.addresses)
      guard subchannel == nil, !addresses.isEmpty else { return }
      let id = actions.open(
        Endpoint(addresses),
        SubchannelOptions(observer: Observer(addresses), loadReportInterval: .seconds(1)))
      subchannel = id
      actions.connect(id)
    case .subchannel(let id, let state, let error):
      self.state = state
      lastError = error ?? lastError
      if state == .idle { actions.connect(id) }
      actions.changed(state)
    case .resolutionFailed(let note):
      guard subchannel == nil else { return }
      state = .transientFailure
      lastError = note
      actions.changed(state)
    case .completed, .exitIdle, .timer: break
    }
  }

  mutating func makePicker() -> any Picker {
    switch (state, subchannel) {
    case (.ready, let id?): Same(pick: .use(id))
    case (.transientFailure, _): Same(pick: .fail(RPCError(.unavailable, lastError)))
    default: Same(pick: .wait)
    }
  }

  private struct Same: Picker {
    let pick: Pick
    mutating func pick(_ call: borrowing PickContext) -> Pick { pick }
  }
}
