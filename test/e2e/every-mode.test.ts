/** What the built program does in each mode that this kernel has, beside forwarding: the host, the Node, events. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { jest } from '@jest/globals'
import type { Explanation, OpenConnections } from '../../src/explain/explanation.ts'
import { EVENTS, NODES, SERVICES } from '../../src/lab/api-server/resources.ts'
import { NetHost } from '../../src/lab/net-host.ts'
import { type Need, skipReason, skipTest } from '../support/skip-reasons.ts'
import { kill, TestLab } from '../support/test-lab.ts'

jest.setTimeout(120_000)

const EXTRA_IP = '192.168.77.1'
const PROGRAM = `${import.meta.dirname}/../../dist/main.js`
const NEEDS = { iptables: 'iptables-nft', nftables: 'nft', ipvs: 'ipvs' } as const satisfies Record<
  string,
  Need
>
/** Inside user-mode-linux, where everything is slow, only the mode that needs it. */
const asked = process.env['TEST_MODES']?.split(',')
const MODES = (['iptables', 'nftables', 'ipvs'] as const).filter((mode) => {
  if (asked !== undefined) return asked.includes(mode)
  const reason = skipReason([NEEDS[mode]])
  if (reason !== undefined)
    process.stderr.write(`note: left out of the tests of every mode: ${mode}: ${reason}\n`)
  return reason === undefined
})
if (MODES.length === 0) skipTest('what is the same in every mode', 'no mode can be tested here')

/** Of each mode, maybe of none. */
function describeModes(title: string, define: (mode: keyof typeof NEEDS) => void): void {
  for (const mode of MODES) describe(`${title} in ${mode} mode`, () => define(mode))
}

/** Of the Service `web`, as the running proxy tells them. */
async function openConnections(test: TestLab): Promise<OpenConnections> {
  const asked = [
    'explain',
    'default/web',
    '-o',
    'json',
    `--explain-socket=${test.lab.explainSocket(test.node)}`,
  ]
  const text = await test.node.host.run(process.execPath, [PROGRAM, ...asked])
  return (JSON.parse(text) as Explanation).ports[0]!.connections!
}

describeModes('fairlead', (mode) => {
  let test: TestLab

  beforeAll(async () => {
    const flags = ['--nodeport-addresses=192.168.77.0/24', '--detect-local-mode=NodeCIDR', '--cluster-cidr=']
    // user-mode-linux has the legacy variant alone.
    const iptables = mode === 'ipvs' ? 'iptables-legacy' : 'iptables'
    test = await TestLab.up({ mode, flags, iptables })
    await test.node.host.run('tee', ['/proc/sys/net/ipv6/conf/all/disable_ipv6'], '1')
    test.lab.startProxies()
    await test.untilAnswered(test.clusterIp())
  }, 120_000)

  afterAll(async () => test.down())

  const log = (): string => readFileSync(test.lab.proxyLog(test.node), 'utf8')

  it('leaves out a family that the host has not, says it once, and serves the other', () => {
    expect(log().match(/IPv6 is left out: this host has none, or it is switched off/g)).toHaveLength(1)
    expect(log()).not.toContain('family="IPv6"')
  })

  it('follows the addresses of the node with its NodePorts', async () => {
    const { host } = test.node
    const nodePort = `${EXTRA_IP}:30080`
    expect(await test.ask('192.168.100.1:30080')).toContain('exit')
    const startedMs = performance.now()
    await host.run('ip', ['address', 'add', `${EXTRA_IP}/32`, 'dev', 'lo'])
    await test.until('the new address answers', async () => !(await test.ask(nodePort)).startsWith('exit'))
    process.stderr.write(
      `note: ${mode}: the new address answered after ${Math.round(performance.now() - startedMs)} ms\n`,
    )
    await host.run('ip', ['address', 'delete', `${EXTRA_IP}/32`, 'dev', 'lo'])
    await host.run('ip', ['address', 'add', '192.168.78.1/32', 'dev', 'lo'])
    await test.until('the old address answers no more', async () =>
      (await test.ask(nodePort)).startsWith('exit'),
    )
    expect(await test.ask('192.168.78.1:30080')).toContain('exit')
  })

  it('tells how many connections are open by frontend and by endpoint', async () => {
    const frontend = `${test.clusterIp()}:80/TCP`
    const before = await openConnections(test)
    const script = `require('node:net').connect(80, '${test.clusterIp()}', () => console.log('open'))`
    const clients = [1, 2, 3].map(() =>
      test.node.host.spawn([process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] }),
    )
    await Promise.all(clients.map(async ({ stdout }) => once(stdout!, 'data')))
    const after = await openConnections(test)
    clients.forEach((client) => client.kill())
    const byEndpoint = Object.values(after.byEndpoint).reduce((sum, count) => sum + count, 0)
    expect(after.byFrontend[frontend]).toBe((before.byFrontend[frontend] ?? 0) + 3)
    expect(byEndpoint).toBe(after.total)
  })

  it('tells by an event on the Service what the mode cannot give it', async () => {
    const algorithm = mode === 'ipvs' ? 'random' : 'least-connection'
    const ref = { definition: SERVICES, namespace: 'default', name: 'web' }
    test.lab.api.patch(ref, { metadata: { annotations: { 'fairlead.io/algorithm': algorithm } } })
    const { uid } = test.lab.api.get(SERVICES, 'web', 'default').metadata
    const told = (): string[] =>
      test.lab.api.list(EVENTS, 'default').flatMap((event) => {
        const text = JSON.stringify(event)
        return text.includes('NotAvailableInMode') && text.includes(`"uid":"${uid}"`) ? [text] : []
      })
    await test.until('the event is there', () => told().length > 0)
    expect(told()).toHaveLength(1)
    expect(log()).toContain('A Service gets something else than it asked for')
  })

  it('tells by an event on the Service that a program of the host listens on its NodePort', async () => {
    const { host } = test.node
    const program = host.spawn(['busybox', 'httpd', '-f', '-p', '30099', '-h', '/proc/self'], {
      stdio: 'ignore',
    })
    await test.until('the program listens', async () => (await test.ask('127.0.0.1:30099')) !== 'exit 7')
    const spec = {
      type: 'NodePort',
      selector: { app: 'web' },
      ports: [{ port: 80, targetPort: 8080, nodePort: 30099 }],
    }
    test.lab.api.create({
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'taken', namespace: 'default' }, spec },
    })
    const told = (): boolean =>
      test.lab.api.list(EVENTS, 'default').some((event) => JSON.stringify(event).includes('NodePortTaken'))
    await test.until('the event is there', told)
    expect(log()).toContain('A NodePort takes a port from a program')
    test.lab.api.delete(SERVICES, 'taken', 'default')
    await kill(program, 'SIGKILL')
  })

  it('starts over when the pod networks of its Node change', async () => {
    const ref = { definition: NODES, namespace: undefined, name: test.node.host.name }
    test.lab.api.patch(ref, { spec: { podCIDR: '10.77.0.0/24', podCIDRs: ['10.77.0.0/24'] } })
    await test.until('it starts over', () => log().split('Fairlead starts').length === 3)
    expect(log()).toContain('The pod networks of this node changed; starting over with them')
    await test.untilAnswered(test.clusterIp())
  })
})

describeModes('fairlead --init-only', (mode) => {
  it('ends well on a host that can carry the mode, and writes no rule', async () => {
    const host = await NetHost.create('init-only')
    try {
      const none = ['--conntrack-min=0', '--conntrack-max-per-core=0']
      const args = [
        '--disable-warning=ExperimentalWarning',
        PROGRAM,
        '--init-only',
        `--mode=${mode}`,
        ...none,
      ]
      const { exitCode, stderr } = await host.exec.run({ file: process.execPath, args })
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 })
      const rules = await host.exec.run({ file: 'nft', args: ['list', 'ruleset'] })
      expect(rules.stdout).not.toMatch(/KUBE|FL-|kube-proxy/)
    } finally {
      await host.close()
    }
  })
})
