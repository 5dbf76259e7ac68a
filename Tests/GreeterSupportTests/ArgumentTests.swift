// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ArgumentParser
import Logging
import Testing

@testable import GreeterSupport

@Suite("Arguments of the greeter programs")
struct ArgumentTests {
  @Test(
    "durations are 250ms, 2s, 1m; a bare number is seconds",
    arguments: [
      ("250ms", .milliseconds(250)), ("2s", .seconds(2)), ("1m", .seconds(60)), ("3", .seconds(3)),
      ("0", .zero), ("1.5s", .milliseconds(1_500)), ("2h", .seconds(7_200)),
      (".5", .milliseconds(500)),
    ] as [(String, Duration)])
  func durations(_ text: String, _ duration: Duration) {
    #expect(Duration(argument: text) == duration)
  }

  @Test(
    "anything else is refused, whatever its length",
    arguments: [
      "", "s", "ms", "-1", "-1s", "1x", "1 s", "1e3", "inf", "nan", "0x10", "1.2.3", "+1",
      String(repeating: "9", count: 400), "99999999999999999999m",
    ])
  func noDurations(_ text: String) {
    #expect(Duration(argument: text) == nil)
  }

  @Test("help shows a duration as one writes it")
  func help() {
    let durations: [Duration] = [.milliseconds(250), .seconds(2), .seconds(60), .zero]
    #expect(durations.map(\.defaultValueDescription) == ["250ms", "2s", "1m", "0s"])
  }

  @Test(
    "boolean flags work bare, with a value behind = or a space, and negated",
    arguments: [
      (["--use_tls"], ["--use_tls=true"]), (["--use_tls=true"], ["--use_tls=true"]),
      (["--use_tls", "true"], ["--use_tls=true"]), (["--use_tls", "false"], ["--use_tls=false"]),
      (["--use_tls=0"], ["--use_tls=false"]), (["--use_tls=Yes"], ["--use_tls=true"]),
      (["--nouse_tls"], ["--use_tls=false"]), (["--use_tls=maybe"], ["--use_tls=maybe"]),
      (["--use_tls", "--port=1"], ["--use_tls=true", "--port=1"]),
      (["--port", "1", "--use_tls"], ["--port", "1", "--use_tls=true"]),
      (["--use_test_ca", "--", "--use_tls"], ["--use_test_ca", "--", "--use_tls"]),
      (["--normal"], ["--normal"]), ([], []),
    ])
  func flags(_ arguments: [String], _ expected: [String]) {
    #expect(BooleanFlags.withValues(arguments, ["use_tls"]) == expected)
  }

  @Test("control characters of a peer's text are written out, not sent to the terminal")
  func printable() {
    #expect(StandardErrorLog.printable("Hello wörld") == "Hello wörld")
    #expect(StandardErrorLog.printable("a\nb\u{1b}[2J") == #"a\u{a}b\u{1b}[2J"#)
  }

  @Test("a disabled log line builds no string")
  func disabled() {
    var logger = Logger(label: "test") { StandardErrorLog(label: $0, logLevel: .error) }
    logger.logLevel = .error
    var built = 0
    func message() -> Logger.Message {
      built += 1
      return "x"
    }
    logger.info(message())
    logger.debug(message())
    #expect(built == 0)
  }
}
