import type { FamilyProxyView, ProxyView } from '../explain/proxy-view.ts'
import type { Exec } from '../kernel/exec.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AnswerFamily, AnswerSource } from './answer-source.ts'
import type { FamilyProxy } from './family-proxy.ts'
import type { Proxy } from './proxy.ts'

/** Answers from what the running proxy knows. */
export function proxySource(proxy: Proxy, exec: Exec, clock: Clock): AnswerSource {
  return {
    exec,
    view: () => proxyView(proxy, clock.now()),
    snapshot: () => proxy.feed.snapshot(),
    get families() {
      return proxy.families.map((family) => answerFamily(family, clock))
    },
  }
}

function answerFamily(own: FamilyProxy, clock: Clock): AnswerFamily {
  return {
    family: own.family,
    decide: (snapshot) => {
      const decided = own.decider.decide(snapshot, clock.monotonic())
      const refused = [...own.pipeline.refused.values()].map(({ port }) => [port.key, undefined] as const)
      return { ...decided, ports: decided.ports.with(refused) }
    },
    inspector: async () => own.inspector(),
  }
}

/** The running proxy as one value. Costs nothing but a snapshot: the large parts are shared. */
function proxyView(proxy: Proxy, nowMs: number): ProxyView {
  const snapshot = proxy.feed.snapshot() ?? proxy.store.snapshot()
  const { stale, families } = proxy.health.report(nowMs)
  const behind = [...families].flatMap(([family, { healthy }]) =>
    healthy ? [] : [`${family}: changes have been waiting for long; the log says why`],
  )
  const notInSync = proxy.feed.inSync ? [] : ['the API server has not yet told everything']
  return {
    node: snapshot.node,
    mode: proxy.mode,
    families: proxy.families.map((family): FamilyProxyView => ({
      ...factsOf(family),
      cluster: snapshot.families[family.family],
    })),
    rejections: proxy.store.rejections(),
    remarks: [...notInSync, ...stale, ...behind],
  }
}

function factsOf({ family, pipeline, detector, decider }: FamilyProxy): Omit<FamilyProxyView, 'cluster'> {
  const { forwarding, believed, refused } = pipeline
  const reasons = [...refused.values()].map(({ port, error }) => [port.key, error.message] as const)
  return { family, detector, forwarding, believed, conflicts: decider.conflicts(), refused: new Map(reasons) }
}
