/** The IPVS mode on a kernel that has IPVS: what becomes of connections, of other people's things, and of failures. */
import { writeFileSync } from 'node:fs'
import type { BackendOptions } from '../../../src/backends/backend.ts'
import { createIpvsBackend, type IpvsBackendOptions } from '../../../src/backends/ipvs/ipvs-backend.ts'
import type { IpvsObject } from '../../../src/backends/ipvs/plan-port.ts'
import { SCHEDULERS } from '../../../src/backends/ipvs/plan-scheduler.ts'
import type { Forwarding, PortForwarding } from '../../../src/forwarding/forwarding.ts'
import type { Exec } from '../../../src/kernel/exec.ts'
import { KernelError } from '../../../src/kernel/kernel-error.ts'
import { virtualServer } from '../../../src/netfilter/ipvs/virtual-server.ts'
import { diffState, isEmpty } from '../../../src/netfilter/kernel-state.ts'
import type { Cidr } from '../../../src/net/cidr.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { Reconciler, type SyncResult } from '../../../src/sync/reconciler.ts'
import { aForwarding, anIp, aPort, type PortBuilder, withPorts } from '../../support/forwarding-builder.ts'
import { NetNamespace } from '../../support/net-namespace.ts'
import { NODE_IP, POD_A, POD_B, TcpLab } from '../../support/tcp-lab.ts'

const OPTIONS: BackendOptions = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.244.0.0/16' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const NODE = { localIps: [anIp('127.0.0.1'), anIp(NODE_IP)], primaryIp: anIp(NODE_IP) }
const VIP = '172.30.0.1'
const A = `${POD_A}:8080*`
const B = `${POD_B}:8080*`
const signal = new AbortController().signal

const web = (...endpoints: readonly string[]) =>
  aPort('ns/web')
    .clusterIp(VIP)
    .endpoints(...endpoints)

/** A proxy as the daemon makes it, without the watching. */
async function startProxy(exec: Exec, more: Partial<IpvsBackendOptions> = {}) {
  const backend = await createIpvsBackend({
    options: OPTIONS,
    exec,
    log: silentLogger,
    nodeName: 'node-a',
    variant: 'legacy',
    ...more,
  })
  const refused: string[] = []
  const onRefusal = (port: PortForwarding) => refused.push(port.key)
  const reconciler = new Reconciler<IpvsObject>({ backend, clock: systemClock, onRefusal })
  return {
    backend,
    refused,
    reconciler,
    sync: (ports: readonly PortBuilder[]): Promise<SyncResult> =>
      reconciler.sync(aForwarding(ports, NODE), signal),
    /** What the kernel has that we do not believe, and the other way round. */
    error: async () => diffState(await backend.observe(signal), reconciler.believed!),
  }
}

const servers = async (namespace: NetNamespace) =>
  (await namespace.run('ipvsadm', ['-S', '-n'])).split('\n').filter((line) => line !== '')

describe('connections through the IPVS mode', () => {
  let lab: TcpLab

  beforeAll(async () => {
    lab = await TcpLab.create()
    await lab.serve(lab.podA, 'a', 8080, 10007)
    await lab.serve(lab.podB, 'b', 8080)
    await lab.serve(lab.node, 'host', 9999, 80)
  })

  afterAll(async () => {
    await lab.close()
  })

  test('reach every endpoint, from a pod and from the node, by address and by node port', async () => {
    const proxy = await startProxy(lab.node.exec)
    await proxy.sync([web(A, B).nodePort(30080)])
    expect(isEmpty(await proxy.error())).toBe(true)
    const seen = await Promise.all([0, 1, 2, 3].map(() => lab.who(lab.podB, VIP, 80)))
    expect(new Set(seen.map((answer) => answer.slice(0, 1)))).toEqual(new Set(['a', 'b']))
    expect(await lab.who(lab.client, NODE_IP, 30080)).toMatch(/^[ab] 8080 169\.254\.1\.1$/)
    expect(await lab.who(lab.node, VIP, 80)).toMatch(/^[ab] 8080 /)
  })

  test('come back to the endpoint that sent them', async () => {
    const proxy = await startProxy(lab.node.exec)
    await proxy.sync([web(A)])
    expect(await lab.who(lab.podA, VIP, 80)).toBe('a 8080 169.254.1.1')
  })

  test('reach nothing but the Service’s own ports, and no process of the node', async () => {
    const proxy = await startProxy(lab.node.exec)
    await proxy.sync([web()])
    expect(await lab.who(lab.podA, VIP, 80)).toBe('ECONNREFUSED')
    expect(await lab.who(lab.podA, VIP, 9999)).toBe('ECONNREFUSED')
    expect(await lab.who(lab.node, VIP, 9999)).toBe('ECONNREFUSED')
    expect(await lab.who(lab.client, NODE_IP, 9999)).toBe('host 9999 203.0.113.5')
  })

  test('keep the port of a port range', async () => {
    const proxy = await startProxy(lab.node.exec)
    const range = aPort('ns/sip').clusterIp('172.30.0.2', 10000, { lastPort: 20000 }).endpoints(A)
    await proxy.sync([range])
    expect(await lab.who(lab.podB, '172.30.0.2', 10007)).toBe('a 10007 10.244.0.2')
    expect(await lab.who(lab.podA, '172.30.0.2', 10007)).toBe('a 10007 169.254.1.1')
    expect(await lab.who(lab.podB, '172.30.0.2', 9999)).toBe('ECONNREFUSED')
    expect(await lab.who(lab.node, '172.30.0.2', 10007)).toMatch(/^a 10007 /)
  })

  test('survive a restart of the proxy, which changes nothing', async () => {
    const ports = [web(A, B).nodePort(30080).affinity(300)]
    await (await startProxy(lab.node.exec)).sync(ports)
    const connection = lab.connect(lab.podB, VIP, 80)
    expect(await connection.line()).toBe('open')
    const restarted = await startProxy(lab.node.exec)
    expect(await restarted.sync(ports)).toMatchObject({ created: 0, updated: 0, removed: 0, observed: true })
    expect(await connection.ask('still there?')).toMatch(/^[ab] 8080/)
    await connection.close()
  })

  test('are counted by Service, and their packets by server', async () => {
    const proxy = await startProxy(lab.node.exec)
    const port = aPort('ns/counted').clusterIp('172.30.0.9', 80).endpoints(A)
    await proxy.sync([port])
    const connection = lab.connect(lab.podB, '172.30.0.9', 80)
    expect(await connection.line()).toBe('open')
    const counted = await proxy.backend.connections(signal)
    expect([...counted]).toEqual([['ns/counted:/TCP', 1]])
    const keys = ['virtual -t 172.30.0.9:80', `real -t 172.30.0.9:80 ${POD_A}:8080`]
    const counts = async () => [...(await proxy.backend.counters(new Set(keys), signal)).values()]
    // IPVS adds up what its processors have counted every two seconds.
    const deadlineMs = Date.now() + 30_000
    const isCounted = ([count = 0]: readonly number[]): boolean => count >= 2
    while (!(await counts()).every(isCounted) && Date.now() < deadlineMs) await systemClock.sleep(100)
    expect((await counts()).filter(isCounted)).toHaveLength(2)
    await connection.close()
  })

  test('go on while their endpoint drains, through a restart, and when it comes back', async () => {
    const first = await startProxy(lab.node.exec)
    await first.sync([web(A)])
    const old = lab.connect(lab.podB, VIP, 80)
    expect(await old.line()).toBe('open')

    await first.sync([web(B)])
    expect(await servers(lab.node)).toContain(`-a -t ${VIP}:80 -r ${POD_A}:8080 -m -w 0`)
    expect(await lab.who(lab.podB, VIP, 80)).toMatch(/^b /)
    expect(await first.backend.maintain(signal)).toBe(false)
    expect(await old.ask('draining?')).toBe('a 8080 10.244.0.2')

    const second = await startProxy(lab.node.exec)
    expect(await second.sync([web(B)])).toMatchObject({ created: 0, updated: 0, removed: 0 })
    expect(await second.backend.maintain(signal)).toBe(false)
    expect(await old.ask('still?')).toBe('a 8080 10.244.0.2')

    await second.sync([web(A)])
    expect(await servers(lab.node)).toContain(`-a -t ${VIP}:80 -r ${POD_A}:8080 -m -w 1`)
    expect(await old.ask('back?')).toBe('a 8080 10.244.0.2')
    await old.close()
  })

  test.each(['sh', 'sh-port', 'mh', 'mh-port', 'dh'])(
    'are not refused while another endpoint drains (%s)',
    async (scheduler) => {
      const proxy = await startProxy(lab.node.exec)
      const hashed = (...endpoints: readonly string[]) => web(...endpoints).with({ ipvsScheduler: scheduler })
      // The hash points to one of the two.
      for (const [left, name] of [
        [A, 'a'],
        [B, 'b'],
      ] as const) {
        await proxy.sync([hashed(A, B)])
        await proxy.sync([hashed(left)])
        expect(await lab.who(lab.client, VIP, 80, 40_000)).toBe(`${name} 8080 169.254.1.1`)
      }
    },
  )

  test('end when their endpoint has drained as long as it may, and so do their entries', async () => {
    let nowMs = 0
    const clock = { ...systemClock, now: () => nowMs }
    const proxy = await startProxy(lab.node.exec, { clock, ipvs: { drainTimeoutMs: 900_000 } })
    await proxy.sync([web(A)])
    const old = lab.connect(lab.podB, VIP, 80)
    expect(await old.line()).toBe('open')
    await proxy.sync([web(B)])
    nowMs = 899_999
    expect(await proxy.backend.maintain(signal)).toBe(false)
    nowMs = 900_000
    expect(await proxy.backend.maintain(signal)).toBe(true)
    expect(await servers(lab.node)).toEqual([
      `-A -t ${VIP}:80 -s rr`,
      `-a -t ${VIP}:80 -r ${POD_B}:8080 -m -w 1`,
    ])
    expect(await lab.who(lab.podB, VIP, 80)).toMatch(/^b /)
    const entries = () => lab.node.run('ipvsadm', ['-L', '-n', '-c'])
    // The kernel clears entries of a server that is gone in the background.
    for (let i = 0; i < 50 && (await entries()).includes(`${POD_A}:8080`); i++) await systemClock.sleep(100)
    expect(await entries()).not.toContain(`${POD_A}:8080`)
    await old.close()
  })

  test('of a Service that resets do not drain', async () => {
    const proxy = await startProxy(lab.node.exec)
    const port = (endpoint: string) => web(endpoint).with({ onEndpointRemoval: { action: 'reset' } })
    await proxy.sync([port(A)])
    const old = lab.connect(lab.podB, VIP, 80)
    expect(await old.line()).toBe('open')
    await proxy.sync([port(B)])
    expect(await servers(lab.node)).not.toContain(expect.stringContaining(POD_A))
    old.tell('hello?')
    expect(await old.line()).toBe('ECONNRESET')
    await old.close()
  })

  test('survive the take-over from kube-proxy, whose servers are adopted in place', async () => {
    await (await startProxy(lab.node.exec)).backend.cleanup(signal)
    const sets = `create KUBE-CLUSTER-IP hash:ip,port family inet maxelem 65536
add KUBE-CLUSTER-IP ${VIP},tcp:80
add KUBE-CLUSTER-IP 172.30.0.9,tcp:80
create KUBE-IPVS-IPS hash:ip family inet maxelem 65536
add KUBE-IPVS-IPS ${VIP}
add KUBE-IPVS-IPS 172.30.0.9
`
    await lab.node.run('ipset', ['restore'], sets)
    await lab.node.run(
      'ip',
      ['-batch', '-'],
      `link add kube-ipvs0 type dummy
address add ${VIP}/32 dev kube-ipvs0
address add 172.30.0.9/32 dev kube-ipvs0
`,
    )
    await lab.node.run(
      'ipvsadm',
      ['-R'],
      `-A -t ${VIP}:80 -s rr
-a -t ${VIP}:80 -r ${POD_A}:8080 -m -w 1
-A -t 172.30.0.9:80 -s rr
-A -t 10.9.9.9:80 -s rr
`,
    )
    const old = lab.connect(lab.podB, VIP, 80)
    expect(await old.line()).toBe('open')
    const proxy = await startProxy(lab.node.exec)
    await proxy.sync([web(A, B)])
    expect(await old.ask('whose?')).toBe('a 8080 10.244.0.2')
    expect((await servers(lab.node)).toSorted()).toEqual([
      '-A -t 10.9.9.9:80 -s rr',
      `-A -t ${VIP}:80 -s rr`,
      `-a -t ${VIP}:80 -r ${POD_A}:8080 -m -w 1`,
      `-a -t ${VIP}:80 -r ${POD_B}:8080 -m -w 1`,
    ])
    expect(await lab.node.run('ip', ['-4', '-o', 'address', 'show', 'dev', 'kube-ipvs0'])).not.toContain(
      '172.30.',
    )
    expect(await lab.who(lab.podB, VIP, 80)).toMatch(/^[ab] /)
    expect(isEmpty(await proxy.error())).toBe(true)
    await old.close()
  })
})

describe('the IPVS mode beside others', () => {
  let node: NetNamespace

  beforeEach(async () => {
    node = await NetNamespace.create()
    await node.run(
      'ip',
      ['-batch', '-'],
      `link add eth0 type dummy\naddress add ${NODE_IP}/24 dev eth0\nlink set eth0 up\n`,
    )
  })

  afterEach(async () => {
    await node.close()
  })

  test('never touches what is not its own, and takes away all that is', async () => {
    const foreign = ['-A -t 10.9.9.9:80 -s wlc', '-a -t 10.9.9.9:80 -r 10.9.9.1:80 -m -w 5', '-A -f 7 -s rr']
    await node.run('ipvsadm', ['-R'], `${foreign.join('\n')}\n`)
    await node.run('ipset', ['create', 'CALICO', 'hash:ip'])
    const before = await node.run('iptables-legacy-save', [])
    const proxy = await startProxy(node.exec)
    await proxy.sync([
      web(A),
      aPort('ns/dns', { protocol: 'UDP' }).clusterIp('172.30.0.10', 53).endpoints('10.244.0.9:53'),
    ])
    expect(await servers(node)).toEqual(expect.arrayContaining(foreign))
    await proxy.sync([])
    expect(await servers(node)).toEqual(foreign)
    await proxy.backend.cleanup(signal)
    expect(await servers(node)).toEqual(foreign)
    expect((await node.run('ipset', ['list', '-name'])).trim()).toBe('CALICO')
    expect(await node.run('ip', ['-o', 'link'])).not.toContain('kube-ipvs0')
    expect(chainsOf(await node.run('iptables-legacy-save', []))).toEqual(chainsOf(before))
  })

  test('refuses a Service on an excluded address that somebody else serves, and no other', async () => {
    await node.run('ipvsadm', ['-R'], `-A -t ${VIP}:80 -s wlc\n-a -t ${VIP}:80 -r 10.9.9.1:80 -m -w 5\n`)
    const proxy = await startProxy(node.exec, { ipvs: { excludeCidrs: ['172.30.0.0/24' as Cidr] } })
    await proxy.sync([web(A), aPort('ns/other').clusterIp('172.30.1.1').endpoints(B)])
    expect(proxy.refused).toEqual(['ns/web:/TCP'])
    expect(await servers(node)).toEqual(
      expect.arrayContaining([
        `-A -t ${VIP}:80 -s wlc`,
        `-a -t ${VIP}:80 -r 10.9.9.1:80 -m -w 5`,
        '-A -t 172.30.1.1:80 -s rr',
      ]),
    )
  })

  test('notices what others take away', async () => {
    const proxy = await startProxy(node.exec)
    await proxy.sync([web(A)])
    const probe = async () => {
      const drifts = []
      for (let i = 0; i < 6; i++) drifts.push(await proxy.backend.probe(signal))
      return drifts.find((drift) => drift !== undefined)?.what
    }
    expect(await probe()).toBeUndefined()
    const harms: [string, readonly string[], RegExp][] = [
      ['ipvsadm', ['-C'], /virtual server .* is missing/],
      ['iptables-legacy', ['-t', 'mangle', '-F', 'INPUT'], /jump from mangle INPUT is missing/],
      ['ip', ['link', 'del', 'kube-ipvs0'], /is not local any more/],
      ['ipset', ['flush', 'KUBE-IPVS-IPS'], /set KUBE-IPVS-IPS has 0 elements/],
    ]
    for (const [file, args, what] of harms) {
      await node.run(file, args)
      expect(await probe()).toMatch(what)
      proxy.reconciler.forget()
      await proxy.sync([web(A)])
      expect(isEmpty(await proxy.error())).toBe(true)
    }
  })

  test('uses a wished scheduler that the kernel lacks not at all, and says so', async () => {
    writeFileSync('/proc/sys/kernel/modprobe', '/bin/false')
    try {
      const proxy = await startProxy(node.exec)
      const wishful = web(A).with({ ipvsScheduler: 'ovf' })
      await proxy.sync([wishful])
      expect(await servers(node)).toContain(`-A -t ${VIP}:80 -s rr`)
      expect(proxy.backend.substitution(wishful.build())).toBe(
        'this kernel has no module ip_vs_ovf; "rr" is used',
      )
      await expect(startProxy(node.exec, { ipvs: { scheduler: 'ovf' } })).rejects.toThrow(
        'this kernel has no module ip_vs_ovf',
      )
    } finally {
      writeFileSync('/proc/sys/kernel/modprobe', process.env['MODPROBE'] ?? '/sbin/modprobe')
    }
  })

  test('gives every scheduler that is wished for', async () => {
    const wishes = [...SCHEDULERS]
    const proxy = await startProxy(node.exec)
    const ports = wishes.map((ipvsScheduler, i) =>
      aPort(`ns/s${i}`).clusterIp(`172.30.1.${i}`).endpoints(A).with({ ipvsScheduler }),
    )
    await proxy.sync(ports)
    const lines = await servers(node)
    for (const [i, wish] of wishes.entries()) {
      const server = virtualServer(`-t 172.30.1.${i}:80`, { scheduler: wish, persistentSeconds: undefined })
      expect(lines).toContain(`-A ${server.selector} ${server.text}`)
    }
    expect(isEmpty(await proxy.error())).toBe(true)
  })

  test('serves IPv6 with the same objects', async () => {
    await node.run('ip', ['-6', 'address', 'add', 'fd01::2/64', 'dev', 'eth0', 'nodad'])
    const proxy = await startProxy(node.exec, {
      options: { ...OPTIONS, family: 'IPv6', detector: undefined },
    })
    const port = aPort('ns/web', { family: 'IPv6' })
      .clusterIp('fd00:172:30::1')
      .nodePort(30080)
      .endpoints('[fd00:10::1]:8080*')
    const local = { localIps: [anIp('::1'), anIp('fd01::2')], primaryIp: anIp('fd01::2') }
    await proxy.reconciler.sync(aForwarding([port], local, 'IPv6'), signal)
    expect(await servers(node)).toEqual(
      expect.arrayContaining(['-A -t [fd00:172:30::1]:80 -s rr', '-A -t [fd01::2]:30080 -s rr']),
    )
    expect(isEmpty(await proxy.error())).toBe(true)
    await proxy.backend.cleanup(signal)
    expect(await servers(node)).toEqual([])
  })

  test('comes to the wanted state although one tool call in ten fails, and harms nobody on the way', async () => {
    await node.run('ipvsadm', ['-A', '-t', '10.9.9.9:80'])
    const exec = failingExec(node.exec)
    const proxy = await startProxy(node.exec)
    const unlucky = await startProxy(exec)
    exec.isFailing = true
    let forwarding: Forwarding = aForwarding(
      [web(A, B), aPort('ns/x').clusterIp('172.30.0.7').endpoints(A)],
      NODE,
    )
    for (let step = 0; step < 4; step++) {
      const next = aPort('ns/x')
        .clusterIp(`172.30.0.2${step}`)
        .endpoints(...[A, B].slice(step % 2))
        .nodePort(30000 + step)
      forwarding = withPorts(forwarding, [['ns/x:/TCP', next.build()]])
      await untilDone(() => unlucky.reconciler.sync(forwarding, signal))
    }
    expect(exec.failures).toBeGreaterThan(0)
    exec.isFailing = false
    expect(await proxy.reconciler.sync(forwarding, signal)).toMatchObject({
      created: 0,
      updated: 0,
      removed: 0,
    })
    expect(await servers(node)).toContain('-A -t 10.9.9.9:80 -s wlc')
  })
})

function chainsOf(saved: string): string[] {
  return saved.split('\n').filter((line) => /^(-A|:(KUBE|FL))/.test(line))
}

async function untilDone(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; attempt < 30; attempt++) {
    const error = await work().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (error === undefined) return
    expect(error).toBeInstanceOf(KernelError)
  }
  throw new Error('It never came to rest')
}

/** Every tenth call, as a fixed sequence has it, fails before or after it has done its work. */
function failingExec(exec: Exec) {
  let state = 12345
  const next = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32
  const failing = {
    isFailing: false,
    failures: 0,
    async run(request: Parameters<Exec['run']>[0]) {
      const dice = next()
      if (!failing.isFailing || dice >= 0.1) return exec.run(request)
      failing.failures++
      if (dice < 0.05) await exec.run(request)
      return { exitCode: 4, stdout: '', stderr: 'Resource temporarily unavailable', durationMs: 1 }
    },
  }
  return failing
}
