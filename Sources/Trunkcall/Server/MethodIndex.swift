// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging

/// The methods of one server, found by the bytes of `:path`: a hash table with linear probing, so
/// that a look-up makes no String. Only registered names are in the table, so clients cannot cause
/// collisions in it.
final class MethodIndex: Sendable {
  let methods: [ServedMethod]
  private let served: ServedServices
  /// Positions in ``methods``; -1 is free. A power of two, at least four for each method.
  private let slots: [Int32]
  private let mask: UInt64

  init(_ methods: [ServedMethod], describedBy descriptors: [String: ProtoDescriptors] = [:]) {
    self.methods = methods
    served = ServedServices(methods: methods.lazy.map(\.name), descriptors)
    var size = 16
    while size < methods.count * 4 { size *= 2 }
    mask = UInt64(size - 1)
    var slots = [Int32](repeating: -1, count: size)
    for (index, method) in methods.enumerated() {
      var slot = method.name.bytes.withUnsafeBytes { $0.quickHash } & mask
      while slots[Int(slot)] >= 0 { slot = (slot + 1) & mask }
      slots[Int(slot)] = Int32(index)
    }
    self.slots = slots
  }

  /// The methods of `services`, in the order of their names.
  convenience init(
    _ services: [any RPCService], _ interceptors: [any ServerInterceptor],
    dispatch: (MethodName) -> HandlerDispatch
  ) {
    var table = MethodTable()
    for service in services { service.register(in: &table) }
    let sorted = table.handlers.sorted { $0.key.text < $1.key.text }
    self.init(
      sorted.enumerated().map { index, entry in
        ServedMethod(
          entry.key, entry.value, index: index, dispatch: dispatch(entry.key),
          interceptors: interceptors.applying(to: entry.key))
      }, describedBy: table.descriptors)
  }

  /// - Returns: its position in ``methods``; -1 for none.
  func find(_ path: UnsafeRawBufferPointer) -> Int {
    var slot = path.quickHash & mask
    while true {
      let index = Int(slots[Int(slot)])
      if index < 0 { return -1 }
      if methods[index].name.bytes.withUnsafeBytes({ $0.equals(path) }) { return index }
      slot = (slot + 1) & mask
    }
  }

  /// The names of the services, `package.Service` each, sorted.
  var services: [String] { Set(methods.map(\.name.service)).sorted() }

  /// The status of calls of a method that is not served.
  func unknownMethod(_ path: String) -> RPCError {
    RPCError(
      .unimplemented,
      hasService(of: path) ? "unknown method \(path)" : "unknown service of \(path)")
  }

  /// Informs those of `services` that answer about the others.
  func describe(to services: [any RPCService], _ logger: Logger) {
    for case let reflection as any ServiceReflecting in services {
      for problem in reflection.serves(served) {
        logger.error(
          "descriptors of services do not fit together", metadata: ["descriptors": "\(problem)"])
      }
    }
  }

  /// Logs each interceptor that applies to none of the methods at error level: without that, a
  /// misspelt scope would let every call pass unnoticed.
  func warnOfIdle(_ interceptors: [any ServerInterceptor], _ logger: Logger) {
    guard !methods.isEmpty else { return }
    for interceptor in interceptors
    where !methods.contains(where: { interceptor.applies(to: $0.name) }) {
      logger.error(
        "an interceptor applies to none of the methods: are they named as they are served?",
        metadata: [
          "interceptor": "\(type(of: interceptor))",
          "services": "\(services.joined(separator: ", "))",
        ])
    }
  }

  /// Whether the service of an unknown method is served.
  private func hasService(of path: String) -> Bool {
    guard let slash = path.dropFirst().firstIndex(of: "/") else { return false }
    let prefix = path[...slash]
    return methods.contains { $0.name.text.hasPrefix(prefix) }
  }
}
