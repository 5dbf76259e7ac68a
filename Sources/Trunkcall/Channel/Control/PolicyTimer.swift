// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// The times at which the channel's policies want an event. Control loop only.
final class PolicyTimer {
  private unowned let controller: ChannelController
  /// In order, each once.
  private var times: [UInt64] = []
  private lazy var timer = LoopTimer(on: controller.controlLoop) { [weak self] in self?.fire() }

  init(_ controller: ChannelController) { self.controller = controller }

  func add(_ time: UInt64) {
    var index = times.count
    while index > 0, times[index - 1] >= time { index -= 1 }
    if index < times.count, times[index] == time { return }
    times.insert(time, at: index)
    if index == 0 { timer.schedule(at: time) }
  }

  func stop() {
    times = []
    timer.cancel()
  }

  private func fire() {
    let now = controller.controlLoop.now
    times.removeSubrange(..<(times.firstIndex { $0 > now } ?? times.count))
    if let next = times.first { timer.schedule(at: next) }
    controller.post(.core(.timer))
  }
}
