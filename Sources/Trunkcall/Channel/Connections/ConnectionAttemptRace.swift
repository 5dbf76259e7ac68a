// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// One attempt to reach an address: the look-up, then its results in order, the next one 250 ms
/// after the last began or as soon as one fails (RFC 8305 §5). The first that connects is used.
///
/// Loop-bound; `done` runs on the loop exactly once, unless the attempt is cancelled before.
final class ConnectionAttemptRace {
  private let loop: EventLoop
  private let options: SocketOptions
  private let deadline: UInt64
  private var done: ((Result<SocketConnection, SocketError>) -> Void)?
  private var waiting: [SocketAddress] = []
  private var connectors: [UInt: Connector] = [:]
  private var lastKey: UInt = 0
  private var lookUp: Task<Void, Never>?
  private var timer: LoopTimer?
  private var failure = SocketError("connect", errno: 0, detail: "no address")

  private static let attemptDelay: Duration = .milliseconds(250)

  init(
    _ loop: EventLoop, options: SocketOptions, deadline: UInt64,
    _ done: @escaping (Result<SocketConnection, SocketError>) -> Void
  ) {
    self.loop = loop
    self.options = options
    self.deadline = deadline
    self.done = done
  }

  func start(_ destination: Destination, lookUpTimeout: Duration) {
    let overdue = LoopTimer(on: loop) { [weak self] in
      self?.settle(.failure(.timedOut("connect")))
    }
    overdue.schedule(at: deadline)
    timer = overdue
    do throws(SocketError) {
      if let address = try HostLookup.literal(destination) { return begin([address]) }
    } catch {
      return settle(.failure(error))
    }
    let bound = LoopBound(self, on: loop)
    lookUp = Task {
      let result: Result<[SocketAddress], SocketError>
      do {
        result = .success(
          try await HostLookup.firstAddresses(of: destination, timeout: lookUpTimeout))
      } catch {
        result = .failure(error as? SocketError ?? .closed("look-up"))
      }
      bound.loop.run { bound.value.found(result) }
    }
  }

  /// Ends the attempt; `done` is not called.
  func cancel() {
    done = nil
    release()
  }

  private func found(_ result: Result<[SocketAddress], SocketError>) {
    guard done != nil else { return }
    switch result {
    case .success(let addresses): begin(addresses)
    case .failure(let error): settle(.failure(error))
    }
  }

  private func begin(_ addresses: [SocketAddress]) {
    waiting = addresses.reversed()
    next()
  }

  private func next() {
    guard done != nil else { return }
    guard let address = waiting.popLast() else {
      if connectors.isEmpty { settle(.failure(failure)) }
      return
    }
    lastKey += 1
    let key = lastKey
    connectors[key] = Connector.connect(
      to: address, on: loop, deadline: deadline, options: options
    ) { [self] result in
      connectors[key] = nil
      switch result {
      case .success: settle(result)
      case .failure(let error):
        failure = error
        next()
      }
    }
    guard !waiting.isEmpty else { return }
    let stagger = LoopTimer(on: loop) { [weak self] in
      if self?.lastKey == key { self?.next() }
    }
    stagger.schedule(after: ConnectionAttemptRace.attemptDelay)
  }

  private func settle(_ result: Result<SocketConnection, SocketError>) {
    guard let done else { return }
    self.done = nil
    release()
    done(result)
  }

  private func release() {
    timer?.cancel()
    timer = nil
    lookUp?.cancel()
    lookUp = nil
    let rest = connectors.values
    connectors = [:]
    for connector in rest { connector.cancel() }
  }
}
