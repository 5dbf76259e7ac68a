// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

extension ExplanationDraft {
  /// What the resolver watches for a target whose service's discovery chain says it; nil if the chain
  /// cannot be used.
  mutating func plan(of chain: ChainQuery, _ query: ConsulQuery) async -> WatchPlan? {
    guard let answer = await send(.chain, chain.request(index: nil, wait: nil), query) else {
      return nil
    }
    do throws(ConsulError) {
      let compiled = try client.chain(of: answer)
      do throws(ChainRoutes.Refusal) {
        let routes = try ChainRoutes(compiled)
        describeLast(routes.description)
        if !routes.notApplied.isEmpty {
          advise("the chain: not applied: \(routes.notApplied.joined(separator: ", "))")
        }
        return WatchPlan(routes, query)
      } catch {
        describeLast("the chain cannot be used: \(error)")
      }
    } catch {
      describeLast(error.reason)
    }
    return nil
  }
}
