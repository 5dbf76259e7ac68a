// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import CTrunkLinux
import Glibc
import Logging
import Synchronization
import TrunkConsul
import TrunkSockets
import TrunkTesting
import Trunkcall

/// Makes and drops servers, channels, registrations, resolvers and loop groups, and says what of
/// the process was there before and after: in a process of its own, where nothing else is.
///
///     leak-check [COUNT]
///     leak-check calls COUNT
@main struct LeakCheck {
  static func main() async throws {
    if CommandLine.arguments.dropFirst().first == "calls" {
      return try await calls(CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 10_000)
    }
    let count = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000
    let cases = try await LeakCases()
    // A task that is left has more than half a kilobyte, a server many.
    try await check(cases, count / 2, LeakCases.Kind.sleepless, bytesPerItem: 256)
    try await check(cases, count - count / 2, LeakCases.Kind.allCases, bytesPerItem: 1_024)
    print("nothing is left")
  }

  /// What a call leaves behind has a hundred bytes and more.
  private static func calls(_ count: Int) async throws {
    let cases = try await CallCases()
    // As many at once as ever, so that pools and tables have their size.
    await cases.run(count / 4)
    for _ in 0..<4 {
      let before = await Figures.atRest()
      await cases.run(count)
      let after = await Figures.settled { $0.isBack(to: before, bytes: count * 4) }
      print("before: \(before)\nafter \(count) calls: \(after)\n\(cases.summary)")
      if after.isBack(to: before, bytes: count * 4) { return print("nothing is left") }
    }
    print("something is left")
    exit(1)
  }

  private static func check(
    _ cases: LeakCases, _ count: Int, _ kinds: [LeakCases.Kind], bytesPerItem: Int
  ) async throws {
    // Pools and caches fill, lazy values are made.
    try await cases.run(max(100, count / 2), kinds)
    // Caches grow at some time or other; what leaks grows every time.
    for _ in 0..<4 {
      let before = await Figures.atRest()
      try await cases.run(count, kinds)
      let after = await Figures.settled { $0.isBack(to: before, bytes: count * bytesPerItem) }
      print("before: \(before)\nafter \(count): \(after)")
      if after.isBack(to: before, bytes: count * bytesPerItem) { return }
    }
    print("something is left")
    exit(1)
  }
}

/// What a process has.
struct Figures: CustomStringConvertible {
  var threads = entries("/proc/self/task")
  var descriptors = entries("/proc/self/fd")
  /// Bytes that malloc has handed out.
  var heap = Int(trunk_heap_in_use())
  /// Servers, channels, registrations and resolvers that are still there.
  var objects = Counted.alive

  var description: String {
    "\(threads) threads, \(descriptors) descriptors, \(heap) bytes, \(objects) objects"
  }

  func isBack(to before: Figures, bytes: Int) -> Bool {
    threads <= before.threads && descriptors <= before.descriptors && objects <= before.objects
      && heap <= before.heap + bytes
  }

  /// What is about to end has some time for it: until `isEnough`, or 4 s are over.
  static func settled(_ isEnough: (Figures) -> Bool) async -> Figures {
    for _ in 0..<40 {
      try? await Task.sleep(for: .milliseconds(100))
      let now = Figures()
      if isEnough(now) { return now }
    }
    return Figures()
  }

  /// As soon as nothing has become less for 1.5 s (the longest sleep that goes on alone takes 1 s),
  /// or after 4 s.
  static func atRest() async -> Figures {
    var lowest = Figures()
    var quiet = 0
    for _ in 0..<40 where quiet < 15 {
      try? await Task.sleep(for: .milliseconds(100))
      let now = Figures()
      quiet = lowest.isBack(to: now, bytes: 0) ? quiet + 1 : 0
      lowest = Figures(
        threads: min(lowest.threads, now.threads),
        descriptors: min(lowest.descriptors, now.descriptors), heap: min(lowest.heap, now.heap),
        objects: min(lowest.objects, now.objects))
    }
    return Figures()
  }

  private static func entries(_ path: String) -> Int {
    guard let folder = opendir(path) else { return -1 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    // `.`, `..`, and for descriptors the folder itself.
    return count - (path.hasSuffix("fd") ? 3 : 2)
  }
}

/// Lives as long as a handler, a logger or a script of an object under test does.
final class Counted: Sendable {
  private static let count = Atomic<Int>(0)
  static var alive: Int { count.load(ordering: .sequentiallyConsistent) }
  init() { Counted.count.wrappingAdd(1, ordering: .sequentiallyConsistent) }
  deinit { Counted.count.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
  func use() {}
}
