/** Short words for writing cases down. */
import type { BackendName } from '../../../src/backends/backend.ts'
import type { Protocol } from '../../../src/net/protocol.ts'
import { type AddressPlan, nodeOf } from '../address-plan.ts'
import type {
  ConformanceCase,
  ConformanceFlow,
  ConformanceNode,
  ConformanceStep,
  Outcome,
  Sender,
} from '../conformance-case.ts'

export const REJECT: Outcome = { kind: 'reject' }
export const DROP: Outcome = { kind: 'drop' }
export const NONE: Outcome = { kind: 'none' }

/** Reaches each of these endpoints, which see the client's address. */
export function kept(...endpoints: readonly string[]): Outcome {
  return { kind: 'dnat', endpoints, masq: false }
}

/** Reaches each of these endpoints, which see an address of the node. */
export function masqueraded(...endpoints: readonly string[]): Outcome {
  return { kind: 'dnat', endpoints, masq: true }
}

export interface FlowChoices {
  readonly protocol?: Protocol
  readonly sourceIp?: string
  readonly affinitySeconds?: number
  readonly expectBy?: Partial<Record<BackendName, Outcome>>
}

/** A packet by its sender and destination `[ip, port]`; the source address follows from the sender. */
export function flow(
  plan: AddressPlan,
  name: string,
  packet: readonly [from: Sender, destIp: string, destPort: number],
  wanted: Outcome | (FlowChoices & { readonly want: Outcome }),
): ConformanceFlow {
  const choices = 'want' in wanted ? wanted : { want: wanted }
  const [from, destIp, destPort] = packet
  return {
    name,
    from,
    sourceIp: choices.sourceIp ?? sourceOf(plan, from),
    protocol: choices.protocol ?? 'TCP',
    destIp,
    destPort,
    grade: 'own',
    expect: choices.want,
    expectBy: choices.expectBy ?? {},
    affinitySeconds: choices.affinitySeconds,
  }
}

function sourceOf(plan: AddressPlan, from: Sender): string {
  switch (from) {
    case 'pod':
      return plan.pod
    case 'node':
      return plan.node
    case 'localhost':
      return plan.localhost
    case 'external':
      return plan.client
    case 'local-endpoint':
    case 'remote-endpoint':
    case 'node-owning-source-address':
      throw new Error(`Cannot guess the source address of "${from}"; say it in the flow`)
  }
}

interface CaseParts {
  readonly name: string
  readonly features: readonly number[]
  readonly node?: Partial<ConformanceNode>
}

/** A case of one or more steps; each step is the whole cluster. */
export function aCase(
  plan: AddressPlan,
  parts: CaseParts,
  ...steps: readonly (Omit<ConformanceStep, 'name'> & { readonly name?: string })[]
): ConformanceCase {
  return {
    name: `${parts.name} (${plan.family})`,
    source: 'own',
    features: parts.features,
    node: nodeOf(plan, parts.node),
    steps: steps.map((step, i) => ({ name: `step ${i + 1}`, ...step })),
  }
}
