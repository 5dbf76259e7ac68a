// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkConsul

@Suite("HTTP/1.1 requests") struct HTTPRequestTests {
  @Test("a request is one block with its length and type") func block() throws {
    var request = HTTPRequest(.put, "v1", "agent", "service", "register")
    request.addQuery("replace-existing-checks", "true")
    request.body = Array("{}".utf8)
    let text = String(decoding: try request.encoded(host: "127.0.0.1:8500"), as: UTF8.self)
    #expect(
      text == """
        PUT /v1/agent/service/register?replace-existing-checks=true HTTP/1.1\r
        Host: 127.0.0.1:8500\r
        Content-Type: application/json\r
        Content-Length: 2\r
        \r
        {}
        """)
  }

  @Test("a slash, a space or a line break in a name stays data") func encoded() {
    var request = HTTPRequest(.get, "v1", "a/b c\r\n", "..")
    request.addQuery("filter", "Service.Meta.v == \"1\" and x&y=ü")
    request.addQuery("passing")
    #expect(
      request.requestTarget == "/v1/a%2Fb%20c%0D%0A/%2E%2E?filter=Service.Meta.v%20%3D%3D%20%221%22"
        + "%20and%20x%26y%3D%C3%BC&passing")
  }

  @Test(
    "a header value with a line break is refused", arguments: ["a\r\nb", "a\nb", "a\0b", "\u{7F}"])
  func injection(value: String) {
    var request = HTTPRequest(.get, "v1")
    request.addHeader("X-Consul-Token", value)
    #expect(throws: HTTPError.unsafeHeader("X-Consul-Token")) { try request.encoded(host: "h") }
  }

  @Test("basic authentication is padded base64 (RFC 7617)") func basicAuth() {
    #expect(BasicAuth.encode("Aladdin:open sesame") == "QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    #expect(BasicAuth.encode("user") == "dXNlcjo=")
    #expect(BasicAuth.encode("a:b") == "YTpi")
  }
}
