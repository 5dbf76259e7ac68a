// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Detects that a channel had no call for its idle timeout without a counter that every call would
/// have to write: four times in the timeout it reads the connections' call counts. Home loop only.
final class IdleWatch {
  private unowned let control: ChannelControl
  private let interval: Duration
  private var timer: LoopTimer?
  private var quietRounds = 0
  private var lastBegun: UInt64 = 0
  private var isStopped = false

  private static let rounds = 4

  init(_ control: ChannelControl, timeout: Duration) {
    self.control = control
    interval = max(.milliseconds(1), timeout / IdleWatch.rounds)
  }

  func start() {
    let timer = LoopTimer(on: control.home) { [weak self] in self?.ask() }
    self.timer = timer
    timer.schedule(after: interval)
  }

  func stop() {
    isStopped = true
    timer?.cancel()
  }

  private func ask() {
    let watch = LoopBound(self, on: control.home)
    let connections = control.openConnections
    Task {
      var begun: UInt64 = 0
      var underWay = 0
      for connection in connections {
        let (calls, open) = await connection.loop.perform {
          (connection.value.callsBegun, connection.value.callsUnderWay)
        }
        begun &+= calls
        underWay += open
      }
      watch.loop.run { [begun, underWay] in watch.value.heard(begun, underWay) }
    }
  }

  private func heard(_ begun: UInt64, _ underWay: Int) {
    guard !isStopped else { return }
    let isQuiet = underWay == 0 && begun == lastBegun && !control.hasWaitingCalls
    quietRounds = isQuiet ? quietRounds + 1 : 0
    lastBegun = begun
    if quietRounds >= IdleWatch.rounds {
      control.enterIdle()
    } else {
      timer?.schedule(after: interval)
    }
  }
}
