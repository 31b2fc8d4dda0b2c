/** Another mode, or kube-proxy, takes over a node whose clients never pause: they notice nothing, and nothing is left. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Backend, BackendOptions } from '../../src/backends/backend.ts'
import { predecessorsOf } from '../../src/daemon/predecessors.ts'
import { KernelError } from '../../src/kernel/kernel-error.ts'
import type { KernelObject } from '../../src/netfilter/kernel-state.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import type { Family, Ip } from '../../src/net/ip.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { DEFAULT_IPVS_SETTINGS } from '../../src/backends/ipvs/ipvs-settings.ts'
import { BACKENDS, type BackendKey, SyncedBackend } from './conformance-kernel-backends.ts'
import { aForwarding, aPort, anIp } from './forwarding-builder.ts'
import * as layouts from './kube-proxy-layouts.ts'
import { HANG_MS, type LoadReport, type LoadRequest } from './node-bed-load.ts'
import { underLoad } from './under-load.ts'
import { NodeBed } from './node-bed.ts'
import { describeKernel } from './skip-reasons.ts'

const POD_CIDR: Readonly<Record<Family, string>> = { IPv4: '10.0.0.0/8', IPv6: 'fd00:10::/32' }
const CLUSTER_IP: Readonly<Record<Family, string>> = { IPv4: '172.30.0.1', IPv6: 'fd00:30::1' }
const ENDPOINTS: Readonly<Record<Family, readonly string[]>> = {
  IPv4: ['10.180.0.1', '10.180.0.2', '10.180.0.3'],
  IPv6: ['fd00:180::1', 'fd00:180::2'],
}
const NODE_IP = '192.168.0.2'
const LOCAL_IPS: Readonly<Record<Family, readonly Ip[]>> = {
  IPv4: [anIp('127.0.0.1'), anIp(NODE_IP)],
  IPv6: [anIp('::1')],
}
const POD = '10.0.0.2'
const FAMILIES: readonly Family[] = ['IPv4', 'IPv6']

export type KubeProxyMode = 'iptables-legacy' | 'iptables-nft' | 'nftables'

function optionsOf(family: Family): BackendOptions {
  const detector = { by: 'source' as const, cidr: POD_CIDR[family] as Cidr }
  return { family, detector, masqueradeMark: 0x4000, dropInvalid: true }
}

function forwardingOf(family: Family) {
  const endpoints = ENDPOINTS[family].map(
    (ip, i) => `${family === 'IPv4' ? ip : `[${ip}]`}:8080${i === 0 ? '*' : ''}`,
  )
  const web = aPort('ns/web')
    .clusterIp(CLUSTER_IP[family])
    .nodePort(30080)
    .endpoints(...endpoints)
  return aForwarding([web.build()], { localIps: LOCAL_IPS[family] }, family)
}

function serviceOf(family: Family): layouts.ProxiedService {
  return {
    ...{ name: 'ns/web', family, clusterIp: CLUSTER_IP[family], port: 80, nodePort: 30080 },
    endpoints: ENDPOINTS[family].map((ip) => ({ ip, port: 8080 })),
    podCidr: POD_CIDR[family],
  }
}

/** One node whose proxy changes. */
export class SwitchingNode {
  readonly bed: NodeBed

  private constructor(bed: NodeBed) {
    this.bed = bed
  }

  static async create(): Promise<SwitchingNode> {
    const bed = await NodeBed.create()
    const [first = '', ...others] = ENDPOINTS.IPv4
    const layout = { nodeIps: [NODE_IP], localPodIps: [POD, first], remoteIps: others }
    await bed.configure({ ...layout, externalIps: ['203.0.113.2'] })
    await bed.listen({ tcp: [{ family: 4, port: 8080 }], udp: [] })
    return new SwitchingNode(bed)
  }

  /** What a start in this mode does: rules first, then whatever was there before goes. */
  async start(key: BackendKey, families = FAMILIES): Promise<readonly Backend<KernelObject>[]> {
    const backends: Backend<KernelObject>[] = []
    for (const family of families) {
      const options = optionsOf(family)
      const backend = await BACKENDS[key].create(this.bed, options)
      await new SyncedBackend(backend).sync(forwardingOf(family))
      await this.#clearOthers(key, options)
      backends.push(backend)
    }
    return backends
  }

  async startKubeProxy(mode: KubeProxyMode, node: 'new' | 'had Fairlead' = 'new'): Promise<void> {
    for (const family of FAMILIES) {
      const service = serviceOf(family)
      if (mode === 'nftables') {
        await this.bed.run('nft', ['-f', '-'], layouts.nftablesSync(service))
        continue
      }
      const restore = `${family === 'IPv4' ? 'iptables' : 'ip6tables'}${mode.slice('iptables'.length)}-restore`
      // It finds our jumps and keeps them, as they are its own to the letter.
      if (node === 'new') await this.bed.run(restore, ['--noflush'], layouts.iptablesEntries())
      await this.bed.run(restore, ['--noflush', '--counters'], layouts.iptablesSync(service))
    }
  }

  /** Rules and sets of kube-proxy's IPVS mode. */
  async addIpvsGlue(variant: 'legacy' | 'nft'): Promise<void> {
    for (const family of FAMILIES) {
      const { sets, rules } = layouts.ipvsGlue(serviceOf(family))
      await this.bed.run('ipset', ['restore'], sets)
      const program = family === 'IPv4' ? 'iptables' : 'ip6tables'
      await this.bed.run(`${program}-${variant}-restore`, ['--noflush'], rules)
    }
  }

  /** Nobody's business but their owner's. */
  async addForeignRules(): Promise<void> {
    await this.bed.run(
      'nft',
      ['-f', '-'],
      'table inet cni { chain c { type filter hook forward priority 5; counter; }; }\n',
    )
    for (const variant of ['nft', 'legacy'])
      for (const program of ['iptables', 'ip6tables']) {
        const rules =
          '*filter\n:CNI-FORWARD - [0:0]\n-A CNI-FORWARD -j RETURN\n-A FORWARD -j CNI-FORWARD\nCOMMIT\n'
        const nat =
          '*nat\n:KUBE-KUBELET-CANARY - [0:0]\n:CNI-MASQ - [0:0]\n-A POSTROUTING -j CNI-MASQ\nCOMMIT\n'
        await this.bed.run(`${program}-${variant}-restore`, ['--noflush'], rules + nat)
      }
    await this.bed.run('ipset', ['create', 'CNI-SET', 'hash:ip'])
  }

  /** An empty kernel. */
  async reset(): Promise<void> {
    const tables = ['raw', 'mangle', 'nat', 'filter'].map((table) => `*${table}\nCOMMIT\n`).join('')
    await this.bed.run('nft', ['flush', 'ruleset'])
    for (const program of ['iptables', 'ip6tables'])
      await this.bed.run(`${program}-legacy-restore`, [], tables)
    // Sets are released a moment after the rules that refer to them.
    await this.#patiently(async () => this.bed.run('ipset', ['destroy']))
  }

  /** Everything in the kernel that decides about packets, sorted, without what is the same for everybody. */
  async contents(): Promise<readonly string[]> {
    const texts = [
      await BACKENDS['iptables-legacy'].rules(this.bed),
      await BACKENDS['iptables-nft'].rules(this.bed),
      ...(await this.#tables()),
    ]
    return texts
      .join('\n')
      .split('\n')
      .filter((line) => line !== '' && !isBuiltIn(line))
      .sort()
  }

  /** Pods and outside clients ask for new connections and hold old ones while `work` goes on. */
  async underLoad(
    work: () => Promise<unknown>,
    ports: Pick<LoadRequest, 'ports'> = {},
  ): Promise<readonly LoadReport[]> {
    const common = { protocol: 'TCP' as const, timeoutMs: HANG_MS, ...ports }
    const clients: LoadRequest[] = [
      { ...common, sourceIp: POD, destIp: CLUSTER_IP.IPv4, destPort: 80, fresh: 2, held: 12 },
      { ...common, sourceIp: '203.0.113.2', destIp: NODE_IP, destPort: 30080, fresh: 1, held: 6 },
    ]
    return underLoad(this.bed, clients, async () => {
      await work()
      // One connection from beginning to end after it.
      await this.bed.ask('world', 'try', { ...clients[0]!, tries: 1 })
    })
  }

  async close(): Promise<void> {
    await this.bed.close()
  }

  async #clearOthers(key: BackendKey, options: BackendOptions): Promise<void> {
    const { mode } = BACKENDS[key]
    const iptablesVariant = key === 'iptables-nft' ? ('nft' as const) : ('legacy' as const)
    const config = { mode, iptablesVariant, ipvs: DEFAULT_IPVS_SETTINGS }
    const wiring = { config, options, exec: this.bed.exec, log: silentLogger, nodeName: 'node' }
    for (const predecessor of await predecessorsOf(wiring)) {
      try {
        await predecessor.clear(AbortSignal.timeout(60_000))
      } catch (error) {
        const isAbsent = error instanceof KernelError && /^(?:missing-tool|unsupported)$/.test(error.code)
        if (!isAbsent) throw error
      }
    }
  }

  async #patiently(work: () => Promise<unknown>): Promise<void> {
    const deadlineMs = performance.now() + 5000
    for (;;) {
      try {
        await work()
        return
      } catch (error) {
        if (performance.now() > deadlineMs) throw error
        await sleep(50)
      }
    }
  }

  /** Tables that iptables does not know. */
  async #tables(): Promise<readonly string[]> {
    const list = await this.bed.run('nft', ['list', 'tables'])
    const names = list.split('\n').filter((line) => /kube-proxy|cni/.test(line))
    // What packets put there is as it happens.
    for (const table of names) {
      const args = ['flush', 'set', ...table.split(' ').slice(1), 'translated-endpoints']
      await this.bed.exec.run({ file: 'nft', args })
    }
    return Promise.all(
      names.map(async (line) => this.bed.run('nft', ['--stateless', 'list', ...line.split(' ')])),
    )
  }
}

/** Tables and chains that are there once somebody has looked, and kubelet's chain, which nobody removes. */
function isBuiltIn(line: string): boolean {
  return /^(?:\*\w+|COMMIT|:[A-Z]+ [A-Z]+)$/.test(line) || line.includes('KUBE-FIREWALL')
}

export function expectUndisturbed(reports: readonly LoadReport[]): void {
  for (const report of reports) {
    expect(report).toMatchObject({ failed: 0, failures: [], broken: [], lostSyns: 0 })
    expect(Object.keys(report.answered)).not.toHaveLength(0)
    expect(report.echoes).toBeGreaterThan(0)
  }
}

/**
 * When an entry of IPVS expires, the kernel forgets whatever connection has the same client, port and Service by then
 * (ip_vs_conn_drop_conntrack; docs/differences.md), so no port is used twice. Below those that the kernel gives away.
 */
const PORTS_USED_ONCE = [
  { first: 2_000, last: 15_999 },
  { first: 16_000, last: 29_999 },
] as const

/** Rules of the iptables mode and virtual servers of the IPVS mode take each other's place. IPv4 alone: it is slow. */
export function testIpvsSwitching(): void {
  describeKernel('Predecessors with IPVS', BACKENDS.ipvs.needs, () => {
    let node: SwitchingNode

    beforeAll(async () => {
      node = await SwitchingNode.create()
    }, 60_000)
    afterAll(async () => {
      await node.close()
    })

    test('ipvs takes over from iptables under load, and iptables from ipvs', async () => {
      await node.start('iptables-legacy', ['IPv4'])
      const [inOneMode, inTheOther] = PORTS_USED_ONCE
      expectUndisturbed(await node.underLoad(() => node.start('ipvs', ['IPv4']), { ports: inOneMode }))
      const inIpvs = await node.bed.run('iptables-legacy-save', [])
      expect(inIpvs).not.toMatch(/DNAT|FL-TRANSLATED|KUBE-NODEPORTS/)
      expect(await node.bed.run('ipset', ['list', '-name'])).not.toContain('FL-TRANSLATED')
      const backAgain = async () => node.start('iptables-legacy', ['IPv4'])
      expectUndisturbed(await node.underLoad(backAgain, { ports: inTheOther }))
      const inIptables = await node.bed.run('iptables-legacy-save', [])
      expect(inIptables).not.toMatch(/FL-GUARD|FL-MASQ|KUBE-IPVS|KUBE-NODE-PORT /)
      expect(inIptables).toContain('FL-TRANSLATED')
    }, 200_000)
  })
}
