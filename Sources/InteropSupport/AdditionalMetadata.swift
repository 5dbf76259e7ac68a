// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Trunkcall

extension Metadata {
  /// The value of `--additional_metadata`: `name:value;name:value`, a backslash before a `:` or `;`
  /// that is part of a name, before a `;` that is part of a value, and before a backslash.
  ///
  /// Nil for a pair without a colon or a name.
  public init?(additional text: String) {
    self.init()
    var name: String?
    var part = ""
    var isEscaped = false
    if text.isEmpty { return }
    for character in text + ";" {
      if isEscaped {
        part.append(character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == ":", name == nil {
        name = part
        part = ""
      } else if character == ";" {
        guard let pairName = name, !pairName.isEmpty else { return nil }
        add(part, for: pairName)
        name = nil
        part = ""
      } else {
        part.append(character)
      }
    }
    // A backslash at the end has escaped the last `;`.
    if isEscaped || name != nil { return nil }
  }
}
