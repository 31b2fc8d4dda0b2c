/**
 * Loads conformance cases into their normal form: the shared JSON scenarios, when they lie beside the repository, and
 * the project's own cases.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BackendName } from '../../src/backends/backend.ts'
import type { Family } from '../../src/net/ip.ts'
import type { Protocol } from '../../src/net/protocol.ts'
import type {
  ApiObject,
  ConformanceCase,
  ConformanceFlow,
  ConformanceNode,
  ConformanceStep,
  Grade,
  Outcome,
  Sender,
} from '../conformance/conformance-case.ts'

/** Where the shared data lies, or `undefined` when this checkout stands alone. */
export const sharedConformancePath: string | undefined = [
  join(import.meta.dirname, '../../../shared/conformance'),
].find((path) => existsSync(path))

/** One file of the shared data, parsed; `undefined` when it is not there. */
export function loadSharedJson(file: string): Record<string, unknown> | undefined {
  if (sharedConformancePath === undefined) return undefined
  const path = join(sharedConformancePath, file)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>) : undefined
}

/**
 * Every shared scenario (of one family), in order of name; empty when the data is not there, and then the caller says
 * so. A scenario is loaded once per set of objects and flows: repeats are kept, they are cheap.
 */
export function loadSharedCases(family?: Family): ConformanceCase[] {
  const root = sharedConformancePath
  if (root === undefined) return []
  const files = ['flows', 'flows-ipv6', 'derived'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map((name) => join(root, folder, name)),
  )
  const cases = files.map((file) => readScenario(JSON.parse(readFileSync(file, 'utf8')) as SharedScenario))
  return family === undefined ? cases : cases.filter((one) => one.node.family === family)
}

interface SharedFlow {
  readonly name: string
  readonly from: Sender
  readonly sourceIP: string
  readonly protocol: Protocol
  readonly destIP: string
  readonly destPort: number
  readonly expect?: SharedOutcome
  readonly expectBy?: Partial<Record<BackendName, SharedOutcome>>
  readonly sessionAffinityTimeoutSeconds?: number
}

interface SharedOutcome {
  readonly kind: Outcome['kind']
  readonly endpoints: readonly string[]
  readonly masq: boolean
}

interface SharedFlows {
  readonly flows: readonly SharedFlow[]
  readonly derivedFlows: readonly SharedFlow[]
  readonly backendSpecificFlows: readonly SharedFlow[]
}

export interface SharedChange {
  readonly op: 'add' | 'update' | 'delete'
  readonly kind: string
  readonly object?: ApiObject
  readonly namespace?: string
  readonly name?: string
}

interface SharedScenario extends SharedFlows {
  readonly name: string
  readonly origin: string
  readonly node: {
    readonly name: string
    readonly ips: readonly string[]
    readonly primaryIPs: readonly string[]
    readonly zone: string | null
    readonly ipFamily: Family
    readonly nodePortAddresses: readonly string[] | null
    readonly localDetect: { readonly mode: string; readonly value: string }
    readonly masqueradeAll: boolean
    readonly localhostNodePorts: boolean
    readonly serviceCIDRs: readonly string[]
  }
  readonly services: readonly ApiObject[]
  readonly endpointSlices: readonly ApiObject[]
  readonly steps?: readonly (SharedFlows & {
    readonly name: string
    readonly changes: readonly SharedChange[]
  })[]
}

function readScenario(scenario: SharedScenario): ConformanceCase {
  let services = new Map(scenario.services.map((one) => [objectName(one), one]))
  let slices = new Map(scenario.endpointSlices.map((one) => [objectName(one), one]))
  const steps: ConformanceStep[] = [
    {
      name: 'start',
      services: [...services.values()],
      endpointSlices: [...slices.values()],
      flows: readFlows(scenario),
    },
  ]
  for (const step of scenario.steps ?? []) {
    services = changed(
      services,
      step.changes.filter((change) => change.kind === 'Service'),
    )
    slices = changed(
      slices,
      step.changes.filter((change) => change.kind === 'EndpointSlice'),
    )
    steps.push({
      name: step.name,
      services: [...services.values()],
      endpointSlices: [...slices.values()],
      flows: readFlows(step),
    })
  }
  return { name: scenario.name, source: scenario.origin, features: [], node: readNode(scenario.node), steps }
}

function readNode(node: SharedScenario['node']): ConformanceNode {
  return {
    name: node.name,
    ips: node.ips,
    primaryIps: node.primaryIPs,
    zone: node.zone ?? undefined,
    family: node.ipFamily,
    // An empty list means what a missing one means: every address of the node.
    nodePortAddresses:
      node.nodePortAddresses === null || node.nodePortAddresses.length === 0 ? 'all' : node.nodePortAddresses,
    detectorCidr: node.localDetect.mode === 'ClusterCIDR' ? node.localDetect.value : undefined,
    masqueradeAll: node.masqueradeAll,
    localhostNodePorts: node.localhostNodePorts,
    serviceCidrs: node.serviceCIDRs,
  }
}

function readFlows(from: SharedFlows): ConformanceFlow[] {
  const read = (flows: readonly SharedFlow[], grade: Grade): ConformanceFlow[] =>
    flows.map((flow) => ({
      name: flow.name,
      from: flow.from,
      sourceIp: flow.sourceIP,
      protocol: flow.protocol,
      destIp: flow.destIP,
      destPort: flow.destPort,
      grade,
      expect: flow.expect === undefined ? undefined : readOutcome(flow.expect),
      expectBy: Object.fromEntries(
        Object.entries(flow.expectBy ?? {}).map(([backend, outcome]) => [backend, readOutcome(outcome)]),
      ),
      affinitySeconds: flow.sessionAffinityTimeoutSeconds,
    }))
  return [
    ...read(from.flows, 'asserted'),
    ...read(from.derivedFlows, 'derived'),
    ...read(from.backendSpecificFlows, 'backend-specific'),
  ]
}

function readOutcome(outcome: SharedOutcome): Outcome {
  return outcome.kind === 'dnat'
    ? { kind: 'dnat', endpoints: outcome.endpoints, masq: outcome.masq }
    : { kind: outcome.kind }
}

function changed(objects: Map<string, ApiObject>, changes: readonly SharedChange[]): Map<string, ApiObject> {
  const next = new Map(objects)
  for (const change of changes) {
    if (change.op === 'delete') next.delete(`${change.namespace ?? ''}/${change.name ?? ''}`)
    else if (change.object !== undefined) next.set(objectName(change.object), change.object)
  }
  return next
}

/** `namespace/name` of an API object. */
export function objectName(object: ApiObject): string {
  const metadata = object['metadata'] as { namespace?: string; name?: string } | undefined
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`
}
