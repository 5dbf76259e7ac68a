// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import SwiftProtobuf

@testable import TrunkServices

typealias FileProto = Google_Protobuf_FileDescriptorProto

/// `example.proto` has one of everything that has a name; it imports `left.proto` and `right.proto`,
/// which both import `base.proto`.
enum Example {
  static let base = FileProto.with {
    $0.name = "base.proto"
    $0.package = "base"
    $0.messageType = [
      .with {
        $0.name = "Extended"
        $0.extensionRange = [
          .with {
            $0.start = 100
            $0.end = 200
          }
        ]
      }
    ]
  }
  static let left = FileProto.with {
    $0.name = "left.proto"
    $0.package = "sides"
    $0.dependency = ["base.proto"]
    $0.messageType = [.with { $0.name = "Left" }]
  }
  static let right = FileProto.with {
    $0.name = "right.proto"
    $0.package = "sides"
    $0.dependency = ["base.proto"]
    $0.messageType = [.with { $0.name = "Right" }]
  }
  static let example = FileProto.with {
    $0.name = "example.proto"
    $0.package = "a.b"
    $0.dependency = ["left.proto", "right.proto"]
    $0.messageType = [
      .with {
        $0.name = "M"
        $0.field = [
          .with { $0.name = "text" },
          .with {
            $0.name = "number"
            $0.oneofIndex = 0
          },
        ]
        $0.oneofDecl = [.with { $0.name = "choice" }]
        $0.nestedType = [
          .with {
            $0.name = "Nested"
            $0.field = [.with { $0.name = "deep" }]
          }
        ]
        $0.enumType = [
          .with {
            $0.name = "Kind"
            $0.value = [.with { $0.name = "KIND_A" }]
          }
        ]
        $0.extension = [
          .with {
            $0.name = "inside"
            $0.number = 150
            $0.extendee = ".base.Extended"
          }
        ]
      }
    ]
    $0.enumType = [
      .with {
        $0.name = "E"
        $0.value = [.with { $0.name = "E_ONE" }]
      }
    ]
    $0.extension = [
      .with {
        $0.name = "outside"
        $0.number = 101
        $0.extendee = ".base.Extended"
      }
    ]
    $0.service = [
      .with {
        $0.name = "S"
        $0.method = [.with { $0.name = "Do" }]
      }
    ]
  }
  /// A file before those that import it.
  static let files = [base, left, right, example]

  static let symbols = [
    "a.b.M", "a.b.M.text", "a.b.M.number", "a.b.M.choice", "a.b.M.Nested", "a.b.M.Nested.deep",
    "a.b.M.Kind", "a.b.M.KIND_A", "a.b.M.inside", "a.b.E", "a.b.E_ONE", "a.b.outside", "a.b.S",
    "a.b.S.Do",
  ]
  static let unknown = [
    "", ".", "a", "a.b", "a.b.", ".a.b.M", "a.b.m", "M", "a.b.Nested", "a.b.M.Kind.KIND_A",
    "a.b.E.E_ONE", "a.b.S.do", "example.proto", "a.b.M\u{0}",
  ]
}

extension FileProto {
  var bytes: [UInt8] { get throws { try serializedBytes() } }
}
