// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FuzzTargets
import Glibc

// libFuzzer brings `main`; the environment variable FUZZ_TARGET names what it runs.

private let target: FuzzTarget = {
  let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget.named(name) else {
    let names = FuzzTarget.all.map(\.name).joined(separator: ", ")
    print("FUZZ_TARGET is \"\(name)\"; allowed: \(names)")
    _exit(2)
  }
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  target.run(Array(UnsafeBufferPointer(start: data, count: size)))
  return 0
}
