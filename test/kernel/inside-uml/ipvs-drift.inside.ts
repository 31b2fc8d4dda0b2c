/**
 * What a proxy in its own network namespace notices, and what that costs at rest. Here the whole machine is ours, as the
 * kernel's notifications and /proc are those of the process's own namespace.
 */
import type { BackendOptions } from '../../../src/backends/backend.ts'
import { createIpvsBackend } from '../../../src/backends/ipvs/ipvs-backend.ts'
import type { IpvsObject } from '../../../src/backends/ipvs/plan-port.ts'
import type { Exec, ExecRequest } from '../../../src/kernel/exec.ts'
import { openIpvsSenses } from '../../../src/kernel/ipvs-senses.ts'
import { openIpvsControl } from '../../../src/kernel/open-ipvs-control.ts'
import { ProgramRunner } from '../../../src/kernel/program-runner.ts'
import { diffState, isEmpty } from '../../../src/netfilter/kernel-state.ts'
import type { Cidr } from '../../../src/net/cidr.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { Reconciler } from '../../../src/sync/reconciler.ts'
import { aForwarding, anIp, aPort, type PortBuilder } from '../../support/forwarding-builder.ts'

const NODE_IP = '192.168.0.2'
const NODE = { localIps: [anIp('127.0.0.1'), anIp(NODE_IP)], primaryIp: anIp(NODE_IP) }
const OPTIONS: BackendOptions = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.244.0.0/16' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const signal = new AbortController().signal
const programs = new ProgramRunner()

/** Counts what is run. */
class CountingExec implements Exec {
  readonly calls: string[] = []

  async run(request: ExecRequest) {
    this.calls.push([request.file, ...request.args].join(' '))
    return programs.run(request)
  }
}

const exec = new CountingExec()

async function run(file: string, args: readonly string[], stdin = ''): Promise<void> {
  const { exitCode, stderr } = await programs.run({ file, args, stdin })
  if (exitCode !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`)
}

async function startProxy() {
  const backend = await createIpvsBackend({
    options: OPTIONS,
    exec,
    log: silentLogger,
    nodeName: 'node-a',
    variant: 'legacy',
    control: await openIpvsControl(exec, silentLogger),
    senses: async () => openIpvsSenses('IPv4', undefined),
  })
  const reconciler = new Reconciler<IpvsObject>({ backend, clock: systemClock, onRefusal: () => undefined })
  return {
    backend,
    forget: () => reconciler.forget(),
    sync: (ports: readonly PortBuilder[]) => reconciler.sync(aForwarding(ports, NODE), signal),
    isRight: async () => isEmpty(diffState(await backend.observe(signal), reconciler.believed!)),
    /** What one question says. */
    probe: async () => (await backend.probe(signal))?.what,
  }
}

const FOREIGN = '-A -t 10.9.9.9:80 -s wlc\n-a -t 10.9.9.9:80 -r 10.9.9.1:80 -m -w 5\n'
const PORTS = [
  aPort('ns/web').clusterIp('172.30.0.1').nodePort(30080).endpoints('10.244.0.2:8080*', '10.244.0.3:8080'),
  aPort('ns/dns', { protocol: 'UDP' }).clusterIp('172.30.0.10', 53).endpoints('10.244.0.9:53').affinity(300),
  aPort('ns/sip').clusterIp('172.30.0.11', 10000, { lastPort: 20000 }).endpoints('10.244.0.2:10000*'),
  aPort('ns/empty').clusterIp('172.30.0.12').endpoints(),
]

let proxy: Awaited<ReturnType<typeof startProxy>>

beforeAll(async () => {
  await run(
    'ip',
    ['-batch', '-'],
    `link add eth9 type dummy\naddress add ${NODE_IP}/24 dev eth9\nlink set eth9 up\n`,
  )
  await run('ipvsadm', ['-R'], FOREIGN)
  proxy = await startProxy()
  await proxy.sync(PORTS)
})

/** All that our own write has caused is told and read. */
async function comeToRest(): Promise<void> {
  let what: string | undefined
  for (let i = 0; i < 20; i++) {
    const before = exec.calls.length
    what = await proxy.probe()
    if (what === undefined && exec.calls.length === before) return
  }
  throw new Error(`The probe does not come to rest: ${what ?? exec.calls.slice(-5).join(' | ')}`)
}

test('IpvsBackend.probe() runs no program while nobody touches anything', async () => {
  await comeToRest()
  exec.calls.length = 0
  for (let i = 0; i < 100; i++) {
    expect(await proxy.probe()).toBeUndefined()
    await proxy.backend.maintain(signal)
  }
  expect(exec.calls).toEqual([])
})

test.each<[string, string, readonly string[], RegExp]>([
  ['all virtual servers', 'ipvsadm', ['-C'], /virtual server .* is missing/],
  [
    'one virtual server',
    'ipvsadm',
    ['-D', '-u', '172.30.0.10:53'],
    /1 of 6 virtual servers are missing|is missing/,
  ],
  [
    'one real server',
    'ipvsadm',
    ['-d', '-t', '172.30.0.1:80', '-r', '10.244.0.3:8080'],
    /"-t 172.30.0.1:80" has other real servers/,
  ],
  [
    'a weight',
    'ipvsadm',
    ['-e', '-t', '172.30.0.1:80', '-r', '10.244.0.3:8080', '-m', '-w', '9'],
    /has other real servers/,
  ],
  [
    'a scheduler',
    'ipvsadm',
    ['-E', '-t', '172.30.0.1:80', '-s', 'lc'],
    /"-t 172.30.0.1:80" has other options: lc/,
  ],
  [
    'all jumps of a chain',
    'iptables-legacy',
    ['-t', 'mangle', '-F', 'INPUT'],
    /jump from mangle INPUT is missing/,
  ],
  [
    'one jump',
    'iptables-legacy',
    [
      '-t',
      'nat',
      '-D',
      'PREROUTING',
      '-m',
      'comment',
      '--comment',
      'kubernetes service portals',
      '-j',
      'KUBE-SERVICES',
    ],
    /jump from nat PREROUTING is missing/,
  ],
  [
    'a chain of ours',
    'iptables-legacy',
    ['-t', 'nat', '-F', 'KUBE-SERVICES'],
    /chain nat KUBE-SERVICES holds other rules/,
  ],
  [
    'one rule of ours',
    'iptables-legacy',
    ['-t', 'filter', '-D', 'KUBE-IPVS-FILTER', '1'],
    /chain filter KUBE-IPVS-FILTER holds other rules/,
  ],
  [
    'one address',
    'ip',
    ['route', 'del', 'local', '172.30.0.10', 'table', 'local'],
    /address 172.30.0.10 is not local any more/,
  ],
  ['all addresses', 'ip', ['route', 'flush', 'table', 'local', 'dev', 'kube-ipvs0'], /is not local any more/],
  ['the device', 'ip', ['link', 'del', 'kube-ipvs0'], /is not local any more/],
  [
    'the elements of a set',
    'ipset',
    ['flush', 'KUBE-CLUSTER-IP'],
    /set KUBE-CLUSTER-IP has 0 elements, not 3/,
  ],
  ['one element', 'ipset', ['del', 'KUBE-IPVS-IPS', '172.30.0.1'], /set KUBE-IPVS-IPS has 3 elements, not 4/],
])('IpvsBackend.probe() notices who takes away %s', async (_name, file, args, what) => {
  await comeToRest()
  await run(file, args)
  // What the kernel tells arrives by the event loop, and the table of virtual servers is not read at every question.
  let seen: string | undefined
  for (const deadlineMs = Date.now() + 10_000; seen === undefined && Date.now() < deadlineMs;) {
    await systemClock.sleep(50)
    seen = await proxy.probe()
  }
  expect(seen).toMatch(what)
  proxy.forget()
  await proxy.sync(PORTS)
  expect(await proxy.isRight()).toBe(true)
  await comeToRest()
})

test('IpvsBackend.probe() takes nothing of ours or of others for drift', async () => {
  // The test that cleared everything took the foreign virtual server along.
  await run('ipvsadm', ['-R'], FOREIGN)
  await comeToRest()
  await proxy.sync(PORTS.slice(0, 2))
  expect(await proxy.probe()).toBeUndefined()
  await proxy.sync([PORTS[0]!.endpoints('10.244.0.3:8080'), ...PORTS.slice(1)])
  expect(await proxy.probe()).toBeUndefined()
  await run('ipvsadm', ['-d', '-t', '10.9.9.9:80', '-r', '10.9.9.1:80'])
  await run('iptables-legacy', [
    '-t',
    'nat',
    '-A',
    'OUTPUT',
    '-m',
    'comment',
    '--comment',
    'mine',
    '-j',
    'RETURN',
  ])
  await run('ip', ['route', 'add', 'local', '10.8.8.8', 'dev', 'lo', 'table', 'local'])
  await run('ip', ['route', 'del', 'local', '10.8.8.8', 'dev', 'lo', 'table', 'local'])
  await run('ipset', ['create', 'OTHER', 'hash:ip'])
  for (let i = 0; i < 3; i++) expect(await proxy.probe()).toBeUndefined()
})
