// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Sends every call to one subchannel. It is no ``ConstantPicker`` because copying an error-sized
/// answer for each call costs more than the pick.
struct SinglePicker: Picker {
  let id: SubchannelID
  mutating func pick(_ call: borrowing PickContext) -> Pick { .use(id) }
}

/// Answers every call alike: while nothing is ready.
package struct ConstantPicker: Picker {
  package let answer: Pick
  package init(_ answer: Pick) { self.answer = answer }
  package mutating func pick(_ call: borrowing PickContext) -> Pick { answer }
}
