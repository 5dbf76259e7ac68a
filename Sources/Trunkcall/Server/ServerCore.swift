// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets

/// The constant parts of a server, shared by its loops.
final class ServerCore: Sendable {
  let options: ServerOptions
  let http2: HTTP2Settings
  let keepalive: Keepalive.Settings?
  let life: ConnectionLife.Settings
  /// Without counts: each connection starts with a copy.
  let abuse: AbuseBudget
  let connections: SlotCount
  let handshakes: SlotCount
  let stop = StopSignal()
  let methods: MethodIndex
  let interceptors: [any ServerInterceptor]
  let logger: Logger
  let log: CallLog

  init(
    _ services: [any RPCService], _ interceptors: [any ServerInterceptor], _ options: ServerOptions,
    _ logger: Logger
  ) {
    methods = MethodIndex(services, interceptors) {
      options.dispatchByMethod[$0.text] ?? options.dispatch
    }
    self.options = options
    http2 = options.http2
    keepalive = options.keepalive
    life = options.life
    abuse = options.abuseBudget
    connections = SlotCount(limit: max(1, options.maxConnections))
    handshakes = SlotCount(limit: max(1, options.maxHandshakes))
    self.interceptors = interceptors
    self.logger = logger
    log = CallLog(logger)
    methods.warnOfIdle(interceptors, logger)
    methods.describe(to: services, logger)
  }
}
