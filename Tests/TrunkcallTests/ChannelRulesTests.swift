// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

/// A channel over a connection, and one within the process: what holds for one holds for the other.
enum ChannelKind: CaseIterable, Sendable { case network, inProcess }

/// Runs `body` with a channel of `kind` to `service`.
func withInvoker(
  _ kind: ChannelKind, _ service: AdHocService, options: ChannelOptions = ChannelOptions(),
  _ body: (any CallInvoker) async throws -> Void
) async throws {
  switch kind {
  case .inProcess: try await body(InProcessChannel([service]))
  case .network:
    try await withServer([service]) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: options) { try await body($0) }
    }
  }
}

private func adHoc(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
  AdHocService.method(name)
}

@Suite(
  "One table of rules for channels over a network and within the process", .timeLimit(.minutes(2)))
struct ChannelRulesTests {
  enum Fate: Sendable { case arrives, leftOut, refused }

  /// The table of docs/metadata.md: what becomes of a name that an application sets.
  static let names: [(name: String, request: Fate, initial: Fate, trailers: Fate)] =
    [
      "x-custom", "grpc-previous-rpc-attempts", "grpc-retry-pushback-ms", "grpc-trace-bin",
      "grpc-tags-bin", "grpc-server-stats-bin", "authorization", "cookie", "x!y", "grpc", "date",
    ].map { ($0, .arrives, .arrives, .arrives) }
    + [("grpc-status-details-bin", .leftOut, .leftOut, .arrives)]
    + [
      ":path", ":authority", ":x", "te", "content-type", "user-agent", "host", "content-length",
      "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "grpc-status",
      "grpc-message", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type",
      "grpc-unknown", "x y", "x\ny", "x:", "",
    ].map { ($0, .refused, .refused, .refused) }

  /// Hands back the metadata it got as text, and sets whatever the request says where it says.
  private static let service = AdHocService(unary: [
    "Request": { _, call in Array("\(call.metadata)".utf8) },
    "Initial": { name, call in
      try call.addInitialMetadata([String(decoding: name, as: UTF8.self): "AAAA"])
      return []
    },
    "Trailing": { name, call in
      try call.addTrailingMetadata([String(decoding: name, as: UTF8.self): "AAAA"])
      return []
    },
    "Error": { name, call in
      try call.addTrailingMetadata(["beside": "1"])
      throw RPCError(
        .notFound, "gone", metadata: [String(decoding: name, as: UTF8.self): "AAAA", "next": "2"])
    },
    "Echo": { _, call in
      try call.addInitialMetadata(call.metadata)
      try call.addTrailingMetadata(call.metadata)
      return []
    },
    "EchoError": { _, call in
      try call.addInitialMetadata(call.metadata)
      throw RPCError(.aborted, "no", metadata: call.metadata)
    },
    "Fail": { message, call in
      try call.addInitialMetadata(["early": "1"])
      throw RPCError(.notFound, String(decoding: message, as: UTF8.self), metadata: ["late": "2"])
    },
    "Sleep": { _, _ in
      try await Task.sleep(for: .seconds(60))
      return []
    },
  ])

  @Test(
    "each name is settable, left out or refused in each place, as the table says",
    arguments: ChannelKind.allCases)
  func names(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      for row in ChannelRulesTests.names {
        let name = Array(row.name.utf8)
        let request = await failure {
          let seen = try await invoker.unary(
            adHoc("Request"), [], CallOptions(metadata: [row.name: "AAAA", "y": "1"]))
          let text = row.request == .arrives ? "\(row.name): AAAA, y: 1" : "y: 1"
          #expect(String(decoding: seen, as: UTF8.self) == text)
        }
        #expect((request?.code == .internal) == (row.request == .refused), "\(row)")

        let initial = await failure {
          let response = try await invoker.unaryResponse(adHoc("Initial"), name)
          #expect(
            response.initialMetadata == (row.initial == .arrives ? [row.name: "AAAA"] : [:]),
            "\(row)")
        }
        #expect((initial?.code == .internal) == (row.initial == .refused), "\(row)")

        let trailing = await failure {
          let response = try await invoker.unaryResponse(adHoc("Trailing"), name)
          #expect(
            response.trailingMetadata == (row.trailers == .arrives ? [row.name: "AAAA"] : [:]),
            "\(row)")
        }
        #expect((trailing?.code == .internal) == (row.trailers == .refused), "\(row)")

        // A status arrives, with every neighbour of a pair that cannot.
        let error = await failure { _ = try await invoker.unary(adHoc("Error"), name) }
        #expect(error?.code == .notFound, "\(row)")
        let neighbours: Metadata = ["next": "2", "beside": "1"]
        var expected: Metadata = row.trailers == .arrives ? [row.name: "AAAA"] : [:]
        expected.append(contentsOf: neighbours)
        #expect(error?.metadata == expected, "\(row)")
      }
    }
  }

  @Test(
    "values: edge spaces are left out, what HTTP allows arrives, control characters are refused",
    arguments: ChannelKind.allCases)
  func values(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      for (sent, received) in [
        ("Bearer abc ", "Bearer abc"), ("\t a b  ", "a b"), ("  ", ""), ("a\tb", "a\tb"),
        ("größe ☺", "größe ☺"), ("", ""),
      ] {
        let seen = try await invoker.unary(
          adHoc("Request"), [], CallOptions(metadata: ["x": sent]))
        #expect(String(decoding: seen, as: UTF8.self) == "x: \(received)")
      }
      for (name, bad) in [("x", "a\nb"), ("x", "a\u{0}"), ("x", "\u{7f}"), ("x-bin", "a!")] {
        let error = await failure {
          _ = try await invoker.unary(adHoc("Request"), [], CallOptions(metadata: [name: bad]))
        }
        #expect(error?.code == .internal && error?.message.contains("'\(name)'") == true)
      }
    }
  }

  @Test(
    "a name over 64 KiB is refused with its size in each place, and a status arrives without it",
    arguments: ChannelKind.allCases)
  func longNames(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      for length in [65_535, 65_536, 70_000] {
        let name = String(repeating: "n", count: length)
        let request = await failure {
          _ = try await invoker.unary(adHoc("Request"), [], CallOptions(metadata: [name: "v"]))
        }
        #expect(request?.code == .resourceExhausted && request?.origin == .local, "\(length)")
        for place in ["Initial", "Trailing"] {
          let error = await failure {
            _ = try await invoker.unaryResponse(adHoc(place), Array(name.utf8))
          }
          #expect(error?.code == .resourceExhausted, "\(place) \(length)")
          #expect(error?.message.contains("larger than the limit of 60000 bytes") == true)
        }
        let error = await failure { _ = try await invoker.unary(adHoc("Error"), Array(name.utf8)) }
        #expect(error?.code == .notFound)
      }
    }
  }

  @Test(
    "what a handler received it can send back, in headers, trailers and a status",
    arguments: ChannelKind.allCases)
  func echo(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      let metadata: Metadata = [
        "x": "tab\there", "y": "größe", "grpc-previous-rpc-attempts": "1", "grpc-trace-bin": "AAAA",
        "z-bin": "AAAA,AAA",
      ]
      let options = CallOptions(metadata: metadata)
      let response = try await invoker.unaryResponse(adHoc("Echo"), [], options)
      #expect(response.initialMetadata == metadata && response.trailingMetadata == metadata)
      let error = await failure { _ = try await invoker.unary(adHoc("EchoError"), [], options) }
      #expect(error?.code == .aborted && error?.metadata == metadata)
      #expect(error?.initialMetadata == metadata)
    }
  }

  @Test(
    "a failed call says its server and what came before the failure",
    arguments: ChannelKind.allCases)
  func failed(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      let error = await failure { _ = try await invoker.unary(adHoc("Fail"), Array("why".utf8)) }
      #expect(error?.initialMetadata == ["early": "1"] && error?.metadata == ["late": "2"])
      #expect(error?.peer?.hasPrefix(kind == .network ? "127.0.0.1:" : "in-process") == true)
    }
  }

  @Test(
    "a status message keeps its edge spaces, and is cut before a character that does not fit",
    arguments: ChannelKind.allCases)
  func messages(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      for (sent, received) in [
        ("no such user: ", "no such user: "), (" ", " "), ("  x  ", "  x  "),
        (String(repeating: "ö", count: 1_000), String(repeating: "ö", count: 682)),
        (String(repeating: "x", count: 4_095) + "ö", String(repeating: "x", count: 4_095)),
        (String(repeating: "x", count: 5_000), String(repeating: "x", count: 4_096)),
      ] {
        let error = await failure { _ = try await invoker.unary(adHoc("Fail"), Array(sent.utf8)) }
        #expect(error?.code == .notFound && error?.message == received)
      }
    }
  }

  @Test(
    "header lists are held to 16 KiB both ways: metadata is refused, a status arrives without its details",
    arguments: ChannelKind.allCases)
  func headerLists(_ kind: ChannelKind) async throws {
    let large = String(repeating: "x", count: 17_000)
    let service = AdHocService(unary: [
      "Initial": { _, call in
        try call.addInitialMetadata(["large": large])
        return []
      },
      "Trailing": { _, call in
        try call.addTrailingMetadata(["large": large])
        return []
      },
      "Error": { _, _ in
        throw RPCError(.aborted, "no", metadata: ["grpc-status-details-bin": large + "xxx"])
      },
    ])
    try await withInvoker(kind, service) { invoker in
      let request = await failure {
        _ = try await invoker.unary(adHoc("Initial"), [], CallOptions(metadata: ["large": large]))
      }
      #expect(request?.code == .resourceExhausted && request?.origin == .local)
      let says = try Regex(
        #"^request headers of 17\d\d\d bytes are larger than the 16384 bytes that .* takes$"#)
      let message = request?.message ?? ""
      #expect(try says.wholeMatch(in: message) != nil, "\(message)")
      for name in ["Initial", "Trailing"] {
        let error = await failure { _ = try await invoker.unary(adHoc(name), []) }
        #expect(error?.code == .resourceExhausted && error?.origin == .peer)
        #expect(
          error?.message
            == "metadata of 17325 bytes is larger than the 16384 bytes that the client takes")
      }
      let status = await failure { _ = try await invoker.unary(adHoc("Error"), []) }
      #expect(status?.code == .aborted && status?.message == "no")
      #expect(status?.metadata.isEmpty == true)
    }
  }

  @Test(
    "a binary value under a name that does not end in -bin is refused, and missing in a status",
    arguments: ChannelKind.allCases)
  func misnamedBinary(_ kind: ChannelKind) async throws {
    for value in [[1, 2, 3], [], Array("text".utf8)] as [[UInt8]] {
      var metadata = Metadata()
      metadata.add(binary: value, for: "x")
      metadata.add(binary: value, for: "X-Bin")
      let sent = metadata
      let service = AdHocService(unary: [
        "Set": { _, call in
          try call.addTrailingMetadata(sent)
          return []
        },
        "Throw": { _, _ in throw RPCError(.aborted, "no", metadata: sent) },
      ])
      try await withInvoker(kind, service) { invoker in
        let refused = "metadata name 'x' does not end in -bin, as a binary value's must"
        for options in [CallOptions(metadata: sent), CallOptions()] {
          let error = await failure { _ = try await invoker.unary(adHoc("Set"), [], options) }
          #expect(error?.code == .internal && error?.message == refused)
        }
        let error = await failure { _ = try await invoker.unary(adHoc("Throw"), []) }
        #expect(error?.code == .aborted && error?.metadata.map(\.name) == ["x-bin"])
      }
    }
  }

  @Test("initial metadata can go before the first message", arguments: ChannelKind.allCases)
  func early(_ kind: ChannelKind) async throws {
    let gate = Gate()
    let service = AdHocService(streams: [
      "Watch": { _, replies, call in
        try call.addInitialMetadata(["watching": "yes"])
        call.sendInitialMetadata()
        call.sendInitialMetadata()
        await gate.wait()
        #expect(throws: RPCError.self) { try call.addInitialMetadata(["late": "1"]) }
        try await replies.write([1])
      }
    ])
    try await withInvoker(kind, service) { invoker in
      let call = try await invoker.bidirectional(adHoc("Watch"))
      #expect(try await call.responses.initialMetadata == ["watching": "yes"])
      gate.open()
      #expect(try await call.responses.next() == [1])
      #expect(try await call.responses.next() == nil)
    }
  }

  @Test(
    "a call that does not inherit the deadline has calls without it behind it",
    arguments: ChannelKind.allCases)
  func notInherited(_ kind: ChannelKind) async throws {
    let service = AdHocService(unary: [
      "Left": { _, _ in Array("\(InheritedDeadline.current.map { _ in "some" } ?? "none")".utf8) }
    ])
    try await withInvoker(kind, service) { invoker in
      for inherits in [true, false] {
        var options = CallOptions()
        options.inheritsDeadline = inherits
        let deadline = Clock.now() + 60_000_000_000
        let left = try await InheritedDeadline.$current.withValue(deadline) {
          try await invoker.unary(adHoc("Left"), [], options)
        }
        #expect(String(decoding: left, as: UTF8.self) == (inherits ? "some" : "none"))
      }
    }
  }

  @Test(
    "what is written after the handler's good end is dropped in silence",
    arguments: ChannelKind.allCases)
  func lateWrite(_ kind: ChannelKind) async throws {
    let service = AdHocService(streams: ["End": { _, _, _ in }])
    try await withInvoker(kind, service) { invoker in
      let call = try await invoker.bidirectional(adHoc("End"))
      #expect(try await call.responses.next() == nil)
      try await call.requests.write([1])
      try await call.requests.finish()
    }
  }

  // MARK: Ends

  /// Every place where a caller of a stream may wait.
  enum Wait: CaseIterable, Sendable { case initialMetadata, next, write }

  private static let silent = AdHocService(streams: [
    "Silent": { _, _, _ in try await Task.sleep(for: .seconds(60)) }
  ])

  private static func wait(_ wait: Wait, _ call: BidirectionalCall<[UInt8], [UInt8]>) async throws {
    switch wait {
    case .initialMetadata: _ = try await call.responses.initialMetadata
    case .next: _ = try await call.responses.next()
    case .write:
      while true { try await call.requests.write([UInt8](repeating: 0, count: 64 << 10)) }
    }
  }

  @Test("cancellation ends every wait of a stream", arguments: ChannelKind.allCases, Wait.allCases)
  func cancelled(_ kind: ChannelKind, _ wait: Wait) async throws {
    try await withInvoker(kind, ChannelRulesTests.silent) { invoker in
      for delay in [0, 20] {
        let call = try await invoker.bidirectional(adHoc("Silent"))
        let waiter = Task { await failure { try await ChannelRulesTests.wait(wait, call) } }
        try await Task.sleep(for: .milliseconds(delay))
        waiter.cancel()
        #expect(await waiter.value?.code == .cancelled)
        #expect(await failure { _ = try await call.responses.next() }?.code == .cancelled)
      }
    }
  }

  @Test("the deadline ends every wait of a stream", arguments: ChannelKind.allCases, Wait.allCases)
  func expired(_ kind: ChannelKind, _ wait: Wait) async throws {
    try await withInvoker(kind, ChannelRulesTests.silent) { invoker in
      let call = try await invoker.bidirectional(
        adHoc("Silent"), CallOptions(timeout: .milliseconds(50)))
      let error = await failure { try await ChannelRulesTests.wait(wait, call) }
      #expect(error?.code == .deadlineExceeded)
    }
  }

  @Test("cancellation and the deadline end a unary call", arguments: ChannelKind.allCases)
  func unaryEnds(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      for delay in [0, 20] {
        let caller = Task { await failure { _ = try await invoker.unary(adHoc("Sleep"), []) } }
        try await Task.sleep(for: .milliseconds(delay))
        caller.cancel()
        #expect(await caller.value?.code == .cancelled)
      }
      let error = await failure {
        _ = try await invoker.unary(adHoc("Sleep"), [], CallOptions(timeout: .milliseconds(30)))
      }
      #expect(error?.code == .deadlineExceeded)
    }
  }

  @Test(
    "what ends a call from this side names the server that it was at",
    arguments: ChannelKind.allCases)
  func localPeer(_ kind: ChannelKind) async throws {
    let prefix = kind == .network ? "127.0.0.1:" : "in-process"
    try await withInvoker(kind, ChannelRulesTests.service) { invoker in
      let options = CallOptions(timeout: .milliseconds(200))
      var unary: RPCError?
      // The server keeps the same deadline: where this side's loop is late, its answer is first.
      for _ in 0..<10 where unary?.origin != .local {
        unary = await failure { _ = try await invoker.unary(adHoc("Sleep"), [], options) }
      }
      #expect(unary?.origin == .local && unary?.peer?.hasPrefix(prefix) == true)
      let call = try await invoker.bidirectional(adHoc("Sleep"), options)
      let stream = await failure { _ = try await call.responses.next() }
      #expect(stream?.code == .deadlineExceeded && stream?.peer?.hasPrefix(prefix) == true)
    }
  }

  @Test(
    "a cancelled caller waits for no handler; a handler that cancels its task cancels no caller",
    arguments: ChannelKind.allCases)
  func tasksApart(_ kind: ChannelKind) async throws {
    let gate = Gate()
    let started = Locked(false)
    let service = AdHocService(unary: [
      "Wait": { _, _ in
        started.withLock { $0 = true }
        await gate.wait()
        return []
      },
      "Cancel": { _, _ in
        withUnsafeCurrentTask { $0?.cancel() }
        return [1]
      },
    ])
    try await withInvoker(kind, service) { invoker in
      let caller = Task {
        let reply = try await invoker.unary(adHoc("Cancel"), [])
        #expect(!Task.isCancelled)
        return reply
      }
      let reply = try await caller.value
      #expect(reply == [1])

      let waiter = Task { await failure { _ = try await invoker.unary(adHoc("Wait"), []) } }
      let isRunning = try await holds { started.withLock { $0 } }
      #expect(isRunning)
      let late = Task {
        try await Task.sleep(for: .seconds(3))
        gate.open()
      }
      waiter.cancel()
      #expect(await waiter.value?.code == .cancelled)
      late.cancel()
      let result = await late.result
      #expect(throws: CancellationError.self, "before the handler was let go") { try result.get() }
      gate.open()
    }
  }

  @Test("a second reader of a stream is refused", arguments: ChannelKind.allCases)
  func twoReaders(_ kind: ChannelKind) async throws {
    try await withInvoker(kind, ChannelRulesTests.silent) { invoker in
      let call = try await invoker.bidirectional(adHoc("Silent"))
      let readers = (0..<2).map { _ in
        Task { await failure { _ = try await call.responses.next() } }
      }
      // One of them is refused; the other goes on waiting until the call ends.
      let first = await withTaskGroup(of: RPCError?.self) { group in
        for reader in readers { group.addTask { await reader.value } }
        let first = await group.next()
        call.cancel()
        return first ?? nil
      }
      #expect(first?.code == .failedPrecondition)
    }
  }
}
