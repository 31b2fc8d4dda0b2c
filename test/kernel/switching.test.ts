/** Every pair of modes that the host's kernel has, and kube-proxy before and after each of them. */
import type { BackendKey } from '../support/conformance-kernel-backends.ts'
import { describeKernel } from '../support/skip-reasons.ts'
import { type KubeProxyMode, SwitchingNode, expectUndisturbed } from '../support/switching-tests.ts'

const MODES: readonly KubeProxyMode[] = ['iptables-legacy', 'iptables-nft', 'nftables']
const NEEDS = ['namespaces', 'iptables-legacy', 'iptables-nft', 'nft', 'ipset', 'conntrack', 'ipv6'] as const

describeKernel('Predecessors', NEEDS, () => {
  let node: SwitchingNode
  const fresh = new Map<BackendKey, readonly string[]>()

  beforeAll(async () => {
    node = await SwitchingNode.create()
  })
  afterAll(async () => {
    await node.close()
  })
  beforeEach(async () => {
    await node.reset()
    await node.addForeignRules()
  })

  /** What the node looks like when this mode is the first that it ever had. */
  async function firstOf(mode: BackendKey): Promise<readonly string[]> {
    const known = fresh.get(mode)
    if (known !== undefined) return known
    await node.reset()
    await node.addForeignRules()
    await node.start(mode)
    const contents = await node.contents()
    fresh.set(mode, contents)
    return contents
  }

  const pairs = MODES.flatMap((from) => MODES.filter((to) => to !== from).map((to) => ({ from, to })))

  test.each(pairs)(
    '$to takes over from $from under load and leaves nothing of it',
    async ({ from, to }) => {
      await node.start(from)
      const reports = await node.underLoad(() => node.start(to))
      const after = await node.contents()
      expectUndisturbed(reports)
      expect(after).toEqual(await firstOf(to))
    },
    60_000,
  )

  const takeovers: { from: KubeProxyMode; to: BackendKey }[] = MODES.flatMap((from) =>
    MODES.map((to) => ({ from, to })),
  )

  test.each(takeovers)(
    "$to takes over from kube-proxy's $from under load",
    async ({ from, to }) => {
      await node.startKubeProxy(from)
      const reports = await node.underLoad(() => node.start(to))
      const after = await node.contents()
      expectUndisturbed(reports)
      expect(after).toEqual(await firstOf(to))
    },
    60_000,
  )

  test.each(MODES)(
    "kube-proxy's %s mode comes back under load",
    async (mode) => {
      await node.start(mode)
      const reports = await node.underLoad(() => node.startKubeProxy(mode, 'had Fairlead'))
      expectUndisturbed(reports)
    },
    60_000,
  )

  test.each(MODES)(
    "%s removes rules and sets of kube-proxy's IPVS mode",
    async (mode) => {
      await node.addIpvsGlue(mode === 'iptables-legacy' ? 'legacy' : 'nft')
      await node.start(mode)
      expect(await node.contents()).toEqual(await firstOf(mode))
    },
    60_000,
  )
})
