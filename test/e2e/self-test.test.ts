/** `fairlead doctor --self-test` between two nodes with a tunnel, on kernels that lose on purpose what it looks for. */
import { join } from 'node:path'
import { jest } from '@jest/globals'
import type { Finding } from '../../src/explain/doctor/node-facts.ts'
import { POD_NETWORKS } from '../../src/lab/networks/pod-networks.ts'
import { describeKernel } from '../support/skip-reasons.ts'
import { kill, TestLab } from '../support/test-lab.ts'

jest.setTimeout(120_000)

const ROOT = `${import.meta.dirname}/../..`

let test: TestLab
let proxy: ReturnType<TestLab['lab']['startProxy']>

describeKernel('on two nodes', ['namespaces'], () => {
  beforeAll(async () => {
    test = await TestLab.up({ nodes: 2, pods: 4, network: 'vxlan' })
    proxy = test.lab.startProxy(test.node)
    await test.untilAnswered(test.clusterIp())
  }, 60_000)
  afterAll(async () => test.down())
  afterEach(async () => {
    for (const { host } of test.lab.nodes)
      await host.exec.run({ file: 'nft', args: ['delete table ip lossy'] })
  })

  async function selfTest(...flags: readonly string[]): Promise<readonly Finding[]> {
    const args = [`${ROOT}/dist/main.js`, 'doctor', ...POD_NETWORKS.vxlan.flags, '-o', 'json', ...flags]
    const { stdout, stderr } = await test.node.host.exec.run({
      file: `${ROOT}/node_modules/node/bin/node`,
      args,
    })
    if (stdout === '') throw new Error(`The doctor does not answer: ${stderr}`)
    return (JSON.parse(stdout) as Finding[]).filter(({ check }) => check === 'self-test')
  }

  async function ofWeb(): Promise<readonly Finding[]> {
    return selfTest('--self-test=default/web', `--explain-socket=${test.lab.explainSocket(test.node)}`)
  }

  /** On the node with this number from 1. */
  async function lose(node: number, chain: string, rule: string): Promise<void> {
    const table = `table ip lossy {\nchain c {\n${chain}\n${rule} counter drop\n}\n}\n`
    await test.lab.nodes[node - 1]!.host.run('nft', ['-f', '-'], table)
  }

  const FORWARD = 'type filter hook forward priority 10;'

  /** What the first node has translated can be told from the rest on the second: it has another class of service. */
  async function loseTranslated(): Promise<void> {
    const rule = 'ct status dnat ip daddr 10.244.2.0/24 ip dscp set 46'
    const table = `table ip lossy {\nchain c {\ntype filter hook postrouting priority 300;\n${rule}\n}\n}\n`
    await test.node.host.run('nft', ['-f', '-'], table)
    await lose(2, FORWARD, 'ip dscp 46')
  }

  describe('fairlead doctor --self-test', () => {
    it('finds nothing wrong, and says who was seen', async () => {
      expect(await ofWeb()).toEqual([
        {
          check: 'self-test',
          level: 'ok',
          what: expect.stringMatching(
            /^default\/web:http\/TCP \(IPv4\): endpoints on node-2 answer directly and through 10\.96\.\S+:80, small and large packets; they see 10\.244\.1\.0$/,
          ),
          remedy: '',
        },
      ])
    })

    it('makes no connection unless it is asked to', async () => {
      await lose(1, 'type filter hook output priority -300;', 'ip daddr 10.244.2.0/24')
      expect(await selfTest()).toEqual([])
      const { stdout } = await test.node.host.exec.run({ file: 'nft', args: ['list table ip lossy'] })
      expect(stdout).toContain('counter packets 0 bytes 0')
    })

    it('blames the pod network when endpoints cannot be reached directly', async () => {
      await lose(2, FORWARD, 'ip saddr 10.244.1.0')
      const found = await ofWeb()
      expect(new Set(found.map(({ level }) => level))).toEqual(new Set(['error']))
      expect(found[0]).toMatchObject({
        what: expect.stringMatching(
          /straight to 10\.244\.2\.\d+:8080 on node-2, without the Service, there is no/,
        ),
        remedy: expect.stringContaining('the proxy has no part in it'),
      })
    })

    it('blames the MTU when large packets are lost', async () => {
      await lose(2, FORWARD, 'ip saddr 10.244.1.0 meta length > 600')
      const found = await ofWeb()
      expect(found[0]).toMatchObject({
        level: 'error',
        what: expect.stringContaining('small packets arrive and large ones do not'),
        remedy: expect.stringContaining('MTU'),
      })
    })

    it('blames the way of translated packets, checksums first, when they alone are lost', async () => {
      await loseTranslated()
      expect(await ofWeb()).toMatchObject([
        {
          level: 'error',
          what: expect.stringMatching(
            /what is sent is lost .*translated, to 10\.244\.2\.\d+:8080 as 10\.244\.1\.0$/,
          ),
          remedy: expect.stringContaining('ethtool -K flannel.1 tx-checksum-ip-generic off'),
        },
      ])
    })

    it('says what is missing for it', async () => {
      const socket = `--explain-socket=${test.lab.explainSocket(test.node)}`
      expect(await selfTest('--self-test=default/nothing', socket)).toMatchObject([
        { level: 'warning', what: expect.stringMatching(/^nothing to connect to/) },
      ])
      expect(await selfTest('--self-test=default/web', '--explain-socket=/nowhere')).toMatchObject([
        { level: 'error', what: expect.stringContaining('no Fairlead answers there') },
      ])
    })

    it('blames the proxy when nobody translates', async () => {
      await kill(proxy, 'SIGKILL')
      await test.node.host.run('iptables', ['-t', 'nat', '-F', 'OUTPUT'])
      const kubeconfig = `--kubeconfig=${join(test.lab.directory, 'kubeconfig-inside')}`
      const found = await selfTest(
        '--self-test=default/web',
        kubeconfig,
        `--hostname-override=${test.node.host.name}`,
      )
      expect(found).toMatchObject([
        {
          level: 'error',
          what: expect.stringMatching(/endpoints answer directly, and through 10\.96\.\S+:80 /),
          remedy: expect.stringContaining('"fairlead explain default/web" and "fairlead diff" tell'),
        },
      ])
    })
  })
})
