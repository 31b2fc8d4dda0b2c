/** Every pod network of the lab keeps the rules of Kubernetes, with no service proxy anywhere. */
import { jest } from '@jest/globals'
import { specOf } from '../../src/lab/api-server/api-object.ts'
import { PODS } from '../../src/lab/api-server/resources.ts'
import { networkProblem, requireNetwork } from '../../src/lab/networks/kernel-needs.ts'
import type { PodNetwork, PodNetworkName } from '../../src/lab/networks/pod-network.ts'
import { POD_NETWORKS } from '../../src/lab/networks/pod-networks.ts'
import type { PodSandbox } from '../../src/lab/pod-sandbox.ts'
import { serveSource, sourceSeenAt } from '../support/lab-answers.ts'
import { describeKernel } from '../support/skip-reasons.ts'
import { TestLab } from '../support/test-lab.ts'

jest.setTimeout(60_000)

const NETWORKS = Object.keys(POD_NETWORKS) as PodNetworkName[]

interface Pods {
  readonly here: PodSandbox
  readonly sameNode: PodSandbox
  readonly otherNode: PodSandbox
}

/** Of four pods on two nodes. */
function placedPods({ lab }: TestLab): Pods {
  const placed = lab.api
    .list(PODS, 'default')
    .map((pod) => ({ node: specOf(pod)['nodeName'], name: pod.metadata.name }))
  const on = (node: string): PodSandbox[] =>
    placed.filter((pod) => pod.node === node).map(({ name }) => lab.kubelet.sandboxOf('default', name)!)
  const [here, sameNode] = on('node-1')
  const [otherNode] = on('node-2')
  return { here: here!, sameNode: sameNode!, otherNode: otherNode! }
}

/** Of every network: why this kernel cannot carry it, or `undefined`. */
const problems = new Map<PodNetworkName, string | undefined>()
for (const network of NETWORKS) problems.set(network, await networkProblem(POD_NETWORKS[network]))
const carried = NETWORKS.filter((network) => problems.get(network) === undefined)
const lacking = NETWORKS.filter((network) => problems.get(network) !== undefined)
for (const network of lacking)
  process.stderr.write(`note: not tested with packets here: ${problems.get(network) ?? ''}\n`)

describeKernel('pod networks', ['namespaces', 'iptables-nft'], () => {
  test.each([...lacking, 'unheard-of' as const])(
    '%s is refused in words that say what is missing',
    async (name) => {
      const unheardOf = {
        ...POD_NETWORKS.bridge,
        name,
        probe: ['link add probe type unheard-of'],
      } as PodNetwork
      const network = name === 'unheard-of' ? unheardOf : POD_NETWORKS[name]
      await expect(requireNetwork(network)).rejects.toThrow(
        new RegExp(
          `^This kernel cannot carry the pod network "${name}" \\(.+\\); load its module with "modprobe `,
        ),
      )
    },
  )

  describe.each(carried)('%s', (network) => {
    const bed = {} as { lab: TestLab; pods: Pods }

    beforeAll(async () => {
      bed.lab = await TestLab.up({ nodes: 2, pods: 4, network })
      bed.pods = placedPods(bed.lab)
      const { outside, nodes } = bed.lab.lab
      const hosts = [...Object.values(bed.pods), ...nodes].map(({ host }) => host)
      await Promise.all([...hosts, outside].map(serveSource))
    })

    afterAll(async () => bed.lab.down())

    it('carries pod to pod on one node and across nodes, without translation', async () => {
      const { here, sameNode, otherNode } = bed.pods
      expect(await sourceSeenAt(sameNode.ip, here.host)).toBe(here.ip)
      expect(await sourceSeenAt(otherNode.ip, here.host)).toBe(here.ip)
      expect(await sourceSeenAt(here.ip, otherNode.host)).toBe(otherNode.ip)
    })

    it('carries pods to nodes and nodes to pods', async () => {
      const { here, otherNode } = bed.pods
      for (const { number, host } of bed.lab.lab.nodes) {
        expect(await sourceSeenAt(`192.168.100.${number}`, here.host)).not.toContain('exit')
        for (const pod of [here, otherNode]) expect(await sourceSeenAt(pod.ip, host)).not.toContain('exit')
      }
    })

    it('lets pods out with the address of their node', async () => {
      const { here, otherNode } = bed.pods
      expect(await sourceSeenAt('192.168.100.240', here.host)).toBe('192.168.100.1')
      expect(await sourceSeenAt('192.168.100.240', otherNode.host)).toBe('192.168.100.2')
    })

    it('gives the containers of a pod one localhost, which nobody else shares', async () => {
      const metOnLocalhost = async ({ host }: PodSandbox): Promise<string> => {
        const args = ['-q', '-O', '-', 'http://127.0.0.1:8080/sidecar.txt']
        return (await host.exec.run({ file: 'busybox', args: ['wget', ...args] })).stdout
      }
      for (const pod of Object.values(bed.pods) as PodSandbox[])
        await bed.lab.until(`the neighbour of ${pod.host.name} has met its server`, async () =>
          (await metOnLocalhost(pod)).includes(pod.host.name),
        )
    })
  })
})
