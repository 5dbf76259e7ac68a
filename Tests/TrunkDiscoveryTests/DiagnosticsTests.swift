// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

private let target = "consul:///helloworld"
private let now = 1000 * second
private func ago(_ tenths: UInt64) -> UInt64 { now - tenths * second / 10 }

@Suite struct DiagnosticsTests {
  @Test("the diagnostics reads as documented") func documented() throws {
    var resolver = ResolverStatus()
    resolver.answered(
      Resolution([], note: "consul 127.0.0.1:8500: 3 instances, 0 passing (3 critical)"), ago(4))
    let failure = AddressFailure(
      address: Address("10.0.0.7", 50051), error: "connection refused", at: ago(120), attempt: 4)
    let diagnostics = Diagnostics(
      try Target.parse(target), resolver: resolver,
      failedAddresses: [Diagnostics.FailedAddress(failure, nextAttempt: now + 31 * second / 10)])
    #expect(
      "\(diagnostics.error(now: now))" == """
        unavailable: no server for consul:///helloworld
          resolver   consul 127.0.0.1:8500 answered 0.4 s ago: 3 instances, 0 passing (3 critical)
          last try   10.0.0.7:50051 connection refused, 12 s ago (attempt 4, next in 3.1 s)
        """)
  }

  @Test("a resolver that failed says so, with its attempts and next try") func failed() throws {
    var resolver = ResolverStatus()
    resolver.failed("consul 127.0.0.1:8500: connection refused", ago(50))
    resolver.failed("consul 127.0.0.1:8500: connection refused", ago(10))
    resolver.nextAttempt = now + 600 * millisecond
    let diagnostics = Diagnostics(
      try Target.parse(target), resolver: resolver,
      balancer: "consul 127.0.0.1:8500: connection refused")
    #expect(
      diagnostics.text(now: now) == "resolver   consul 127.0.0.1:8500 failed 1.0 s ago: "
        + "connection refused (attempt 2, next in 0.6 s)")
  }

  @Test("what was no answer is not called one") func unanswered() throws {
    var resolver = ResolverStatus()
    var resolution = Resolution([], note: "consul 127.0.0.1:8500: connection refused")
    resolution.isAnswer = false
    resolver.answered(resolution, ago(4))
    #expect(
      Diagnostics(try Target.parse(target), resolver: resolver).text(now: now)
        == "resolver   consul 127.0.0.1:8500 failed 0.4 s ago: connection refused")
  }

  @Test("a resolver without a name in its note is named by its scheme") func unnamed() throws {
    var resolver = ResolverStatus()
    let dns = try Target.parse("dns:///name:1")
    #expect(
      Diagnostics(dns, resolver: resolver).text(now: now) == "resolver   dns has not answered yet")
    resolver.answered(Resolution([a]), ago(2000))
    #expect(
      Diagnostics(dns, resolver: resolver).text(now: now)
        == "resolver   dns answered 3 min ago: 1 endpoint"
    )
    resolver.answered(Resolution([], note: "error: x: y"), now)
    #expect(
      Diagnostics(dns, resolver: resolver).text(now: now)
        == "resolver   dns answered 0.0 s ago: error: x: y"
    )
  }

  @Test("at most four addresses, the latest first; the others are counted") func many() throws {
    let failedAddresses = (1...6).map { i in
      Diagnostics.FailedAddress(
        AddressFailure(
          address: Address("10.0.0.\(i)", 1), error: "reset", at: ago(UInt64(100 - i * 10)),
          attempt: i == 6 ? 0 : 1), nextAttempt: nil)
    }
    let diagnostics = Diagnostics(
      try Target.parse(target), resolver: ResolverStatus(), failedAddresses: failedAddresses)
    let lines = diagnostics.text(now: now).split(separator: "\n")
    #expect(lines.count == 6)
    #expect(lines[1] == "last try   10.0.0.6:1 reset, 4.0 s ago")
    #expect(lines[2] == "last try   10.0.0.5:1 reset, 5.0 s ago (attempt 1)")
    #expect(lines[5] == "           and 2 more addresses")
  }

  @Test("secrets and line breaks do not get in; config and policy have their say") func lines()
    throws
  {
    let diagnostics = Diagnostics(
      try Target.parse("consul:///x?token=abc"), resolver: ResolverStatus(),
      configError: ServiceConfigError(path: "p", "bad"), balancer: "all rings\nare full")
    #expect(diagnostics.message == "no server for consul:///x?token=***")
    #expect(
      diagnostics.text(now: now) == """
        resolver   consul has not answered yet
        config     service config: p: bad
        balancer   all rings are full
        """)
  }

  @Test("attempts under way say how far they have come, the oldest first, four at most")
  func attempts() throws {
    func attempt(_ port: UInt16, _ phase: Diagnostics.Attempt.Phase, _ tenths: UInt64)
      -> Diagnostics.Attempt
    {
      Diagnostics.Attempt(Address("10.0.0.7", port), phase, since: ago(tenths))
    }
    var resolver = ResolverStatus()
    resolver.answered(Resolution([a]), ago(4))
    var diagnostics = Diagnostics(
      try Target.parse("dns:///name:1"), resolver: resolver,
      attempts: [
        attempt(1, .connecting, 3), attempt(2, .handshaking, 19),
        attempt(3, .waitingForSettings(isSecure: false), 4),
        attempt(4, .waitingForSettings(isSecure: true), 5),
      ])
    #expect(
      diagnostics.text(now: now) == """
        resolver   dns answered 0.4 s ago: 1 endpoint
        connecting 10.0.0.7:2: TCP connected 1.9 s ago, TLS handshake under way
        connecting 10.0.0.7:4: TLS done 0.5 s ago, waiting for the server's SETTINGS
        connecting 10.0.0.7:3: TCP connected 0.4 s ago, waiting for the server's SETTINGS
        connecting 10.0.0.7:1: TCP for 0.3 s
        """)
    diagnostics.attempts.append(attempt(5, .connecting, 1))
    #expect(diagnostics.text(now: now).hasSuffix("\n           and to 1 more addresses"))
  }
}
