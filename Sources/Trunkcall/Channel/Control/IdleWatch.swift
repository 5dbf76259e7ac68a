// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Detects that a channel had no call for its idle timeout without a counter that every call would
/// have to write: four times in the timeout it reads the connections' call counts. Control loop
/// only.
final class IdleWatch {
  private unowned let controller: ChannelController
  private let interval: Duration
  private var timer: LoopTimer?
  private var quietRounds = 0
  private var lastBegun: UInt64 = 0
  private var isStopped = false

  private static let rounds = 4

  init(_ controller: ChannelController, timeout: Duration) {
    self.controller = controller
    interval = max(.milliseconds(1), timeout / IdleWatch.rounds)
  }

  func start() {
    let timer = LoopTimer(on: controller.controlLoop) { [weak self] in self?.ask() }
    self.timer = timer
    timer.schedule(after: interval)
  }

  func stop() {
    isStopped = true
    timer?.cancel()
  }

  private func ask() {
    let watch = LoopBound(self, on: controller.controlLoop)
    let connections = controller.openConnections
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
      watch.loop.run { [begun, underWay] in watch.value.update(begun, underWay) }
    }
  }

  private func update(_ begun: UInt64, _ underWay: Int) {
    guard !isStopped else { return }
    // Of the application. A pinned call that ends meanwhile may be counted once too often, in one of
    // several rounds.
    let begun = begun &- controller.pinnedCalls.begun
    let isQuiet =
      underWay <= controller.pinnedCalls.underWay && begun == lastBegun
      && !controller.hasWaitingCalls
    quietRounds = isQuiet ? quietRounds + 1 : 0
    lastBegun = begun
    if quietRounds >= IdleWatch.rounds {
      controller.enterIdle()
    } else {
      timer?.schedule(after: interval)
    }
  }
}
