// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@Suite struct TargetTests {
  @Test(
    "targets are taken apart as RFC 3986 says (naming.md)",
    arguments: [
      ("consul://127.0.0.1:8500/helloworld", "consul", "127.0.0.1:8500", "helloworld"),
      ("consul:///a/b", "consul", "", "a/b"),
      ("DNS:///name:443", "dns", "", "name:443"),
      ("ipv4:1.2.3.4:5,6.7.8.9:10", "ipv4", "", "1.2.3.4:5,6.7.8.9:10"),
      ("unix:rel/path", "unix", "", "rel/path"),
      ("unix:///abs", "unix", "", "abs"),
      ("name", nil, "", "name"),
      ("[::1]:80", nil, "", "[::1]:80"),
      ("localhost:50051", "localhost", "", "50051"),
      ("consul://host", "consul", "host", ""),
      ("passthrough:///a%20b%2Fc", "passthrough", "", "a b/c"),
    ] as [(String, String?, String, String)])
  func parts(_ text: String, _ scheme: String?, _ authority: String, _ endpoint: String) throws {
    let target = try Target.parse(text)
    #expect(target.scheme == scheme)
    #expect(target.authority == authority)
    #expect(target.endpoint == endpoint)
    #expect(target.text == text)
  }

  @Test("parameters keep their order, repeat, and are decoded") func parameters() throws {
    let target = try Target.parse("consul:///x?tag=a%26b&flag&tag=c=d&&e=")
    #expect(target.parameters.map(\.name) == ["tag", "flag", "tag", "e"])
    #expect(target[all: "tag"] == ["a&b", "c=d"])
    #expect(target[parameter: "flag"] == "")
    #expect(target[parameter: "none"] == nil)
    #expect(target.parameters[1].column == 23)
  }

  @Test("an unknown parameter is refused at its column, with the known ones")
  func unknownParameter() throws {
    let target = try Target.parse("consul:///x?tag=a&tags=b")
    #expect(throws: Never.self) { try target.rejectUnknownParameters(known: ["tag", "tags"]) }
    let error = #expect(throws: TargetError.self) {
      try target.rejectUnknownParameters(known: ["tag", "dc"])
    }
    #expect(error?.kind == .unknownParameter)
    #expect(
      error?.description == "target \"consul:///x?tag=a&tags=b\": column 19: "
        + "unknown parameter \"tags\", did you mean tag?; allowed: tag, dc")
  }

  @Test(
    "broken escapes and empty targets are refused",
    arguments: [("", 1), ("dns:///a%2", 9), ("dns:///a%zz", 9), ("dns:///%ff", 8), ("x:%00", 3)])
  func malformed(_ text: String, _ column: Int) {
    let error = #expect(throws: TargetError.self) { try Target.parse(text) }
    #expect(error?.column == column)
  }

  @Test(
    "passwords and tokens are never printed, columns stay",
    arguments: [
      ("consul://me:pw@h:1/x?token=abc&tag=a", "consul://me:**@h:1/x?token=***&tag=a"),
      ("consul://me:pw%40h:1/x?tok%65n=abc&tag=a", "consul://me:**%40h:1/x?tok%65n=***&tag=a"),
      ("consul:///x?acl-token=s", "consul:///x?acl-token=*"),
      ("consul:///x?token-file=/f", "consul:///x?token-file=/f"),
      ("dns:///a:b@c", "dns:///a:b@c"),
    ])
  func redaction(_ text: String, _ printed: String) throws {
    let target = try Target.parse(text)
    #expect("\(target)" == printed)
    #expect(target.error(.malformed, column: 1, "").target == printed)
  }
}

@Suite struct HostPortTests {
  @Test(
    "hosts and ports",
    arguments: [
      ("name", "name", nil), ("a-b_c.d:1", "a-b_c.d", 1), ("10.0.0.7:65535", "10.0.0.7", 65535),
      ("[::1]:80", "::1", 80), ("[::1]", "::1", nil), ("::1", "::1", nil),
      ("fe80::1%eth0", "fe80::1%eth0", nil), ("2001:db8::1:80", "2001:db8::1:80", nil),
    ] as [(String, String, UInt16?)])
  func good(_ text: String, _ host: String, _ port: UInt16?) throws {
    #expect(try HostPort(parsing: text) == HostPort(host: host, port: port))
  }

  @Test(
    "each fault has its own error, at its place",
    arguments: [
      ("", .missingAddress, 0), (":80", .missingAddress, 0), ("name:", .missingPort, 4),
      ("[::1]:", .missingPort, 5), ("name:0", .badPort, 5), ("name:65536", .badPort, 5),
      ("name:+1", .badPort, 5), ("name:http", .badPort, 5), ("a:1:2", .malformed, 1),
      ("[::1", .malformed, 0), ("[::1]x", .malformed, 5), ("[name]:1", .malformed, 1),
      ("a b:1", .malformed, 1), ("a/b", .malformed, 1),
    ] as [(String, TargetError.Kind, Int)])
  func bad(_ text: String, _ kind: TargetError.Kind, _ offset: Int) {
    let failure = #expect(throws: HostPort.Failure.self) { try HostPort(parsing: text) }
    #expect(failure?.kind == kind)
    #expect(failure?.offset == offset)
  }

  @Test(
    "IP literals are told from names (RFC 4291)",
    arguments: [
      ("1.2.3.4", true), ("1.2.3", false), ("1.2.3.256", false), ("01.2.3.4", false),
      ("::", true), ("::1", true), ("1::", true), ("1:2:3:4:5:6:7:8", true),
      ("1:2:3:4:5:6:7", false), ("1::2::3", false), (":1", false), ("1:::2", false),
      ("::ffff:1.2.3.4", true), ("1.2.3.4::", false), ("12345::", false), ("::g", false),
      ("1:2:3:4:5:6:7::", true), ("1:2:3:4:5:6:7:8::", false), ("::1%", false), ("1:", false),
      ("fe80::1%wlan-0.7", true), ("::1%a]b", false), ("::1%a/b", false), ("::1%ä", false),
    ])
  func literals(_ text: String, _ isLiteral: Bool) {
    #expect((IPLiteral.isV4(text) || IPLiteral.isV6(text)) == isLiteral)
  }
}
