/**
 * Answers without a running proxy: lists the cluster once, decides as a proxy with this configuration would, and reads
 * the kernel of the node that we run on. Writes nothing.
 */
import type { Config } from '../config/config.ts'
import type { FamilyProxyView, ProxyView } from '../explain/proxy-view.ts'
import { ForwardingDecider } from '../forwarding/decide-forwarding.ts'
import type { Exec } from '../kernel/exec.ts'
import { KernelError } from '../kernel/kernel-error.ts'
import { readNodeAddresses } from '../kernel/node-addresses.ts'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import { ClusterStore } from '../model/cluster-store.ts'
import type { NodeView } from '../model/node-view.ts'
import type { ResourceKind } from '../model/resource-event.ts'
import { FAMILIES, familyOf, type Ip } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'
import { silentLogger } from '../runtime/logger.ts'
import { planInSlices } from '../sync/plan-in-slices.ts'
import { ApiClient } from '../watch/api-client.ts'
import { openCredentials } from '../watch/credentials.ts'
import type { AnswerFamily, AnswerSource } from './answer-source.ts'
import { ClusterFeed } from './cluster-feed.ts'
import { createInspector } from './create-backend.ts'
import { backendOptions, deciderOptions, type FamilyChoices } from './family-proxy.ts'
import { hostFamilies } from './host-families.ts'
import { nodeNameOf } from './proxy.ts'

const NEEDED: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node', 'ServiceCIDR']
const LOOK_MS = 10
/** A failure may be a passing one; one that follows it is told. */
const MOST_FAILURES = 1

export interface LoneOptions {
  readonly config: Config
  readonly exec: Exec
  readonly clock: Clock
  readonly env: Readonly<Record<string, string | undefined>>
  readonly version: string
}

/** Throws WatchError when the API server cannot be asked, ConfigError when the configuration cannot be used. */
export async function loneSource(options: LoneOptions, signal: AbortSignal): Promise<AnswerSource> {
  const nodeName = nodeNameOf(options.config)
  const store = new ClusterStore({ nodeName, primaryIps: byFamily(options.config.nodeIpOverride) })
  store.setLocalIps(readNodeAddresses())
  await listOnce(options, { store, nodeName }, signal)
  const listed = store.snapshot()
  const isHere = isThisMachine(listed.node)
  const node = isHere ? listed.node : { ...listed.node, localIps: Object.values(listed.node.primaryIps) }
  const snapshot = { ...listed, node }
  const families: LoneFamily[] = []
  for (const family of isHere ? hostFamilies() : FAMILIES)
    families.push(
      await lookAtFamily(
        { family, config: options.config, podCidrs: node.podCidrs },
        { ...options, snapshot, isHere, nodeName },
      ),
    )
  const view: ProxyView = {
    node,
    mode: options.config.mode,
    families: families.map(({ view: one }) => one),
    rejections: store.rejections(),
    remarks: [
      'worked out from the API server; no running proxy was asked',
      ...(isHere ? [] : [`this machine is not node ${nodeName}, so its kernel was not looked at`]),
      ...new Set(families.flatMap(({ remark }) => remark ?? [])),
    ],
  }
  const elsewhere: Exec = { run: async () => Promise.reject(notHere(nodeName)) }
  return {
    exec: isHere ? options.exec : elsewhere,
    view: () => view,
    snapshot: () => snapshot,
    families: families.map(({ answers }) => answers),
  }
}

/** Through the daemon's own feed, which ends as soon as it knows everything. */
async function listOnce(
  { config, clock, env, version }: LoneOptions,
  { store, nodeName }: { readonly store: ClusterStore; readonly nodeName: string },
  signal: AbortSignal,
): Promise<void> {
  const { kubeconfig, apiServers: servers } = config.clientConnection
  const credentials = openCredentials({ kubeconfig, servers, clock, logger: silentLogger, env })
  const client = new ApiClient({ credentials, clock, version })
  const ignore = (): void => undefined
  const feed = new ClusterFeed({
    client,
    store,
    nodeName,
    clock,
    log: silentLogger,
    onEvent: ignore,
    onChange: ignore,
  })
  const done = new AbortController()
  const running = feed.run(AbortSignal.any([signal, done.signal]))
  try {
    while (!NEEDED.every((resource) => feed.hasListed(resource))) {
      signal.throwIfAborted()
      const failed = [...feed.states().values()].find(({ attempt }) => attempt > MOST_FAILURES)
      if (failed?.lastError !== undefined) throw failed.lastError
      await clock.sleep(LOOK_MS, signal)
    }
  } finally {
    done.abort()
    await running
  }
}

interface LoneFamily {
  readonly view: FamilyProxyView
  readonly answers: AnswerFamily
  readonly remark: string | undefined
}

interface LookContext extends LoneOptions {
  readonly snapshot: ClusterSnapshot
  readonly isHere: boolean
  readonly nodeName: string
}

async function lookAtFamily(choices: FamilyChoices, context: LookContext): Promise<LoneFamily> {
  const { family, config } = choices
  const { snapshot, exec, isHere, nodeName } = context
  const decider = new ForwardingDecider(deciderOptions(choices))
  const forwarding = decider.decide(snapshot)
  const options = backendOptions(choices)
  const inspector: AnswerFamily['inspector'] = async () => {
    if (!isHere) throw notHere(nodeName)
    return createInspector({ config, options, exec, log: silentLogger, nodeName })
  }
  const planned = await inspector().then(
    async (backend) => ({ believed: await planInSlices(backend, forwarding, undefined) }),
    (error: unknown) => {
      if (error instanceof KernelError) return { remark: isHere ? error.message : undefined }
      throw error
    },
  )
  const { believed, remark } = { believed: undefined, remark: undefined, ...planned }
  return {
    view: {
      ...{ family, forwarding, believed, detector: options.detector },
      cluster: snapshot.families[family],
      conflicts: decider.conflicts(),
      refused: new Map(),
    },
    answers: { family, decide: () => forwarding, inspector },
    remark,
  }
}

function notHere(nodeName: string): KernelError {
  const remedy = `run this on node ${nodeName}, or name another node with --hostname-override`
  return new KernelError(`Cannot look at the kernel: this machine is not node ${nodeName}; ${remedy}`, {
    ...{ code: 'unsupported', command: [], exitCode: undefined, stderr: '', script: '', line: undefined },
    remedy,
  })
}

/** The Node's address is one of ours; a Node without an address may be anywhere. */
function isThisMachine({ primaryIps, localIps }: NodeView): boolean {
  return Object.values(primaryIps).some((ip) => localIps.includes(ip))
}

function byFamily(ips: readonly Ip[]): Partial<Record<'IPv4' | 'IPv6', Ip>> {
  return Object.fromEntries(ips.map((ip) => [familyOf(ip), ip]))
}
