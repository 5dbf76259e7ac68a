// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials

extension AgentClient {
  /// The value in an answer of `GET /v1/kv/:key`: `[{"Key": …, "Value": base64 or null}]`; nil if it is
  /// 404, as for a key that does not exist.
  /// - Throws: ``ConsulError/malformed(agent:reason:)``.
  func value(of answer: HTTPResponse) throws(ConsulError) -> [UInt8]? {
    guard answer.status != 404 else { return nil }
    struct Entry: Decodable {
      var value: String?
      private enum CodingKeys: String, CodingKey { case value = "Value" }
    }
    guard let entry = try? JSONDecoder().decode([Entry].self, from: Data(answer.body)).first else {
      throw .malformed(agent: name, reason: "the answer is not a value of the KV store")
    }
    // Consul writes an empty value as null.
    guard let value = Data(base64Encoded: entry.value ?? "") else {
      throw .malformed(agent: name, reason: "the value in the answer is not base64")
    }
    return Array(value)
  }
}
