// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Sends every call to one subchannel. Not a ``ConstantPicker``: copying an answer of the size of
/// an error for each call costs more than the pick.
struct SinglePicker: Picker {
  let id: SubchannelID
  mutating func pick(_ call: borrowing PickContext) -> Pick { .use(id) }
}

/// Gives every call the same answer: while no subchannel is READY.
package struct ConstantPicker: Picker {
  package let answer: Pick
  package init(_ answer: Pick) { self.answer = answer }
  package mutating func pick(_ call: borrowing PickContext) -> Pick { answer }
}
