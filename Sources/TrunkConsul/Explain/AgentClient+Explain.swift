// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import FoundationEssentials

extension CodingUserInfoKey {
  /// Whether checks are decoded with name, output and notes, which a watch does not need.
  static let decodesCheckTexts = CodingUserInfoKey(rawValue: "trunkcall.check-texts")
}

extension AgentClient {
  /// Instances with the texts of their checks, all that can be read.
  /// - Throws: ``ConsulError/malformed(agent:reason:)``.
  func explainedEntries(
    of answer: HTTPResponse, isPrepared: Bool
  ) throws(ConsulError) -> HealthAnswer {
    let decoder = JSONDecoder()
    if let key = CodingUserInfoKey.decodesCheckTexts { decoder.userInfo[key] = true }
    do {
      let data = Data(answer.body)
      return isPrepared
        ? try decoder.decode(PreparedQueryAnswer.self, from: data).nodes
        : try decoder.decode(HealthAnswer.self, from: data)
    } catch {
      throw .malformed(agent: name, reason: "the answer is not a list of instances")
    }
  }

  static func about(_ answer: HTTPResponse) -> AgentAbout {
    (try? JSONDecoder().decode(AgentAbout.self, from: Data(answer.body))) ?? AgentAbout()
  }

  /// A JSON list of strings; empty if it is none.
  static func names(_ answer: HTTPResponse) -> [String] {
    (try? JSONDecoder().decode([String].self, from: Data(answer.body))) ?? []
  }
}
