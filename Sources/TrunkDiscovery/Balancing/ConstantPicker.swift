// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Answers every call alike: while nothing is ready.
package struct ConstantPicker: Picker {
  package let answer: Pick
  package init(_ answer: Pick) { self.answer = answer }
  package mutating func pick(_ call: borrowing PickContext) -> Pick { answer }
}
