/** The iptables backend against the real tools, each test in a namespace of its own. */
import { atOnce } from '../../src/collections/sliced.ts'
import type { Backend } from '../../src/backends/backend.ts'
import { type IptablesBackend, createIptablesBackend } from '../../src/backends/iptables/iptables-backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import type { Exec, ExecRequest } from '../../src/kernel/exec.ts'
import type { IptablesVariant } from '../../src/kernel/iptables.ts'
import { type KernelObject, diffState, isEmpty } from '../../src/netfilter/kernel-state.ts'
import type { Family } from '../../src/net/ip.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { aForwarding, aPort, withPorts } from '../support/forwarding-builder.ts'
import {
  endpoint,
  iptablesOptions,
  oneOfEachKind,
  plainServices,
  serviceIp,
  wholeCluster,
} from '../support/iptables-cluster.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { NetNamespace } from '../support/net-namespace.ts'
import { LATE_REPLY } from '../support/late-reply.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const signal = new AbortController().signal

class Bench {
  readonly ns: NetNamespace
  readonly requests: ExecRequest[] = []
  readonly family: Family
  readonly variant: IptablesVariant
  readonly clock = new ManualClock()
  /** Programs that were started to be asked again and again. */
  opened = 0

  constructor(ns: NetNamespace, family: Family, variant: IptablesVariant) {
    this.ns = ns
    this.family = family
    this.variant = variant
  }

  get program(): string {
    return `${this.family === 'IPv4' ? 'iptables' : 'ip6tables'}-${this.variant}`
  }

  async backend(): Promise<IptablesBackend> {
    const exec: Exec = {
      run: (request) => {
        this.requests.push(request)
        return this.ns.exec.run(request)
      },
      open: (request) => {
        this.opened++
        return this.ns.exec.open(request)
      },
    }
    return createIptablesBackend({
      options: iptablesOptions(this.family),
      exec,
      variant: this.variant,
      log: silentLogger,
      clock: this.clock,
    })
  }

  /** Brings the kernel to what `forwarding` wants, whatever is there; returns what had to change. */
  async sync(backend: IptablesBackend, forwarding: Forwarding) {
    const changes = diffState(backend.plan(forwarding), await backend.observe(signal))
    await backend.apply(atOnce(backend.script(changes)), signal)
    return changes
  }

  /** The rules, sets and counters of sets as text, without counters of packets and times. */
  async saved(): Promise<string> {
    const text = await this.ns.run(`${this.program}-save`, [])
    return text.replaceAll(/^#.*\n/gm, '').replaceAll(/ \[\d+:\d+\]/g, '')
  }

  iptables(...args: readonly string[]): Promise<string> {
    return this.ns.run(this.program, ['-w', '5', ...args])
  }
}

async function isSettled<O extends KernelObject>(
  backend: Backend<O>,
  forwarding: Forwarding,
): Promise<boolean> {
  return isEmpty(diffState(backend.plan(forwarding), await backend.observe(signal)))
}

const COMBINATIONS: readonly { variant: IptablesVariant; family: Family }[] = [
  { variant: 'legacy', family: 'IPv4' },
  { variant: 'legacy', family: 'IPv6' },
  { variant: 'nft', family: 'IPv4' },
  { variant: 'nft', family: 'IPv6' },
]

describe.each(COMBINATIONS)('iptables $variant, $family', ({ variant, family }) => {
  describeKernel('backend', ['namespaces', `iptables-${variant}`, 'ipset', 'conntrack'], () => {
    let bench: Bench

    beforeEach(async () => {
      bench = new Bench(await NetNamespace.create(), family, variant)
    })

    afterEach(async () => {
      await bench.ns.close()
    })

    test('loads every kind of Service and reads it back as it was planned', async () => {
      const backend = await bench.backend()
      await bench.sync(backend, wholeCluster(family))
      expect(await isSettled(backend, wholeCluster(family))).toBe(true)
    })

    test('a restart changes nothing and calls no program that could', async () => {
      await bench.sync(await bench.backend(), wholeCluster(family))
      const before = await bench.ns.run(`${bench.program}-save`, ['-c'])
      bench.requests.length = 0
      const second = await bench.backend()
      const changes = await bench.sync(second, wholeCluster(family))
      expect(isEmpty(changes)).toBe(true)
      const writing = bench.requests.filter(({ file }) => /restore$|^ipset$|^tee$/.test(file))
      expect(writing.filter(({ args }) => !args.includes('list'))).toEqual([])
      const after = await bench.ns.run(`${bench.program}-save`, ['-c'])
      expect(after.replaceAll(/^#.*$/gm, '')).toBe(before.replaceAll(/^#.*$/gm, ''))
    })

    test('writes a change of one endpoint as one chain', async () => {
      const backend = await bench.backend()
      const forwarding = wholeCluster(family)
      await bench.sync(backend, forwarding)
      const before = backend.plan(forwarding)
      const changed = aPort('ns/s7', { family })
        .clusterIp(serviceIp(family, 256 + 7))
        .endpoints(endpoint(family, 3000), endpoint(family, 3001))
        .build()
      const next = withPorts(forwarding, [[changed.key, changed]])
      const script = atOnce(backend.script(diffState(backend.plan(next), before)))
      expect(script).toHaveLength(1)
      expect(script[0]?.stdin.split('\n').filter((line) => line.startsWith(':'))).toHaveLength(1)
      await backend.apply(script, signal)
      expect(await isSettled(backend, next)).toBe(true)
    })

    test('follows growth, shrinkage and renewal of everything', async () => {
      const backend = await bench.backend()
      const steps = [
        aForwarding([], {}, family),
        aForwarding(plainServices(family, 0, 30), {}, family),
        aForwarding(plainServices(family, 10, 300), {}, family),
        wholeCluster(family),
        aForwarding(plainServices(family, 200, 20), {}, family),
        aForwarding([], {}, family),
      ]
      for (const forwarding of steps) {
        const before = await backend.observe(signal)
        const want = backend.plan(forwarding)
        await backend.apply(atOnce(backend.script(diffState(want, before))), signal)
        expect(await isSettled(backend, forwarding)).toBe(true)
      }
      expect(await bench.saved()).not.toContain('FL-C-')
    })

    test('follows changes from plan to plan, without reading the kernel', async () => {
      const backend = await bench.backend()
      await bench.sync(backend, wholeCluster(family))
      let believed = backend.plan(wholeCluster(family))
      for (const forwarding of [
        aForwarding([...oneOfEachKind(family).slice(3), ...plainServices(family, 90, 90)], {}, family),
        aForwarding(oneOfEachKind(family).reverse().slice(3), {}, family),
        wholeCluster(family),
      ]) {
        const want = backend.plan(forwarding)
        await backend.apply(atOnce(backend.script(diffState(want, believed))), signal)
        believed = want
        expect(await isSettled(backend, forwarding)).toBe(true)
      }
    })

    test('takes names from the API as text and nothing else', async () => {
      const hostile = [
        'ns/"quoted"',
        "ns/it's; iptables -F",
        'ns/line\nbreak\n-F KUBE-SERVICES\nCOMMIT',
        'ns/$(reboot)`reboot`\\',
        `ns/${'x'.repeat(253)}`,
        'ns/--comment "x" -j ACCEPT #0123456789abcdef',
      ]
      const ports = hostile.map((name, i) =>
        aPort(name, { family }).clusterIp(serviceIp(family, i)).endpoints(endpoint(family, i)),
      )
      const backend = await bench.backend()
      const forwarding = aForwarding(ports, {}, family)
      await bench.sync(backend, forwarding)
      expect(await isSettled(backend, forwarding)).toBe(true)
    })

    test('cleanup leaves what others made, byte for byte', async () => {
      const mask = family === 'IPv4' ? '10.9.9.9/32' : 'fd00:9::9/128'
      await bench.iptables('-t', 'nat', '-N', 'OTHER')
      await bench.iptables('-t', 'nat', '-A', 'OTHER', '-d', mask, '-j', 'RETURN')
      await bench.iptables(
        '-t',
        'nat',
        '-A',
        'PREROUTING',
        '-m',
        'comment',
        '--comment',
        'a "b" c',
        '-j',
        'OTHER',
      )
      await bench.iptables('-A', 'INPUT', '-s', mask, '-j', 'DROP')
      await bench.iptables('-N', 'KUBE-FIREWALL')
      await bench.iptables('-A', 'KUBE-FIREWALL', '-s', mask, '-j', 'DROP')
      for (const chain of ['INPUT', 'OUTPUT']) await bench.iptables('-A', chain, '-j', 'KUBE-FIREWALL')
      for (const hint of ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'])
        await bench.iptables('-t', 'mangle', '-N', hint)
      await bench.ns.run('ipset', ['create', 'others', 'hash:ip'])
      const before = await bench.saved()
      const backend = await bench.backend()
      const forwarding = {
        ...wholeCluster(family),
        node: { ...wholeCluster(family).node, localhostNodePorts: false },
      }
      await bench.sync(backend, forwarding)
      expect(await bench.saved()).not.toBe(before)
      const told = await backend.cleanup(signal)
      expect(told.length).toBeGreaterThan(200)
      expect(await bench.saved()).toBe(before)
      expect(await bench.ns.run('ipset', ['list', '-name'])).toBe('others\n')
      expect(await backend.cleanup(signal)).toEqual([])
    })

    test('takes over from kube-proxy and clears away its chains', async () => {
      const name = 'KUBE-SVC-ABCDEFGHIJKLMNOP'
      const used = 'KUBE-SEP-ABCDEFGHIJKLMNOP'
      const [ip] = [serviceIp(family, 1)]
      await bench.ns.run(
        `${bench.program}-restore`,
        ['--noflush'],
        [
          '*nat',
          ':KUBE-SERVICES - [0:0]',
          `:${name} - [0:0]`,
          `:${used} - [0:0]`,
          ':KUBE-PROXY-CANARY - [0:0]',
          ':OTHER - [0:0]',
          `-A OTHER -j ${used}`,
          `-A KUBE-SERVICES -d ${ip} -p tcp -m tcp --dport 80 -j ${name}`,
          '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
          'COMMIT',
          '*mangle',
          ':KUBE-PROXY-CANARY - [0:0]',
          'COMMIT\n',
        ].join('\n'),
      )
      const backend = await bench.backend()
      await bench.sync(backend, wholeCluster(family))
      const text = await bench.saved()
      expect(text).not.toContain(name)
      expect(text).not.toContain('KUBE-PROXY-CANARY')
      // Somebody else's rule leads to this one: deleting it would fail, and everything with it.
      expect(text).toContain(`:${used} `)
      expect(text.match(/^-A PREROUTING .*-j KUBE-SERVICES$/gm)).toHaveLength(1)
      expect(await isSettled(backend, wholeCluster(family))).toBe(true)
    })

    test.each([
      {
        what: 'a missing jump',
        harm: async () => {
          await bench.iptables('-t', 'nat', '-F', 'PREROUTING')
        },
        told: 'jump from nat PREROUTING to KUBE-SERVICES is missing',
      },
      {
        what: 'a flushed table',
        harm: async () => {
          await bench.iptables('-t', 'filter', '-F')
        },
        told: 'jump from filter INPUT to KUBE-FIREWALL is missing',
      },
      {
        what: 'a jump behind a rule that ends every packet',
        harm: async () => {
          await bench.iptables('-t', 'nat', '-I', 'OUTPUT', '-j', 'ACCEPT')
        },
        told: 'jump from nat OUTPUT to KUBE-SERVICES stands behind "-j ACCEPT"',
      },
      {
        what: 'a flushed entry chain',
        harm: async () => {
          await bench.iptables('-t', 'nat', '-F', 'KUBE-SERVICES')
        },
        told: 'chain nat KUBE-SERVICES holds other rules',
      },
    ])('probe() notices $what, and the next sync repairs it', async ({ harm, told }) => {
      const backend = await bench.backend()
      await bench.sync(backend, wholeCluster(family))
      expect(await backend.probe(signal)).toBeUndefined()
      await harm()
      await bench.clock.advance(1000)
      expect(await backend.probe(signal)).toEqual({ what: told })
      await bench.sync(backend, wholeCluster(family))
      await bench.clock.advance(1000)
      expect(await backend.probe(signal)).toBeUndefined()
    })

    // In the nft variant nothing is read at all until the kernel counts a foreign transaction.
    if (variant === 'legacy')
      test('probe() starts no program to find that nothing has changed in legacy tables', async () => {
        const backend = await bench.backend()
        await bench.sync(backend, wholeCluster(family))
        await bench.iptables('-t', 'nat', '-N', 'OTHER')
        const before = await bench.saved()
        for (let second = 0; second < 5; second++) {
          expect(await backend.probe(signal)).toBeUndefined()
          await bench.clock.advance(1000)
          // The first look tells how large the tables are.
          if (second === 0) bench.requests.length = 0
        }
        expect([bench.opened, bench.requests]).toEqual([1, []])
        expect(await bench.saved()).toBe(before)
      })

    test('probe() leaves rules alone that CNIs put before the jumps', async () => {
      const backend = await bench.backend()
      await bench.sync(backend, wholeCluster(family))
      await bench.iptables('-t', 'nat', '-N', 'CNI')
      await bench.iptables('-t', 'nat', '-I', 'PREROUTING', '-j', 'CNI')
      await bench.iptables('-t', 'nat', '-I', 'PREROUTING', '-p', 'tcp', '-j', 'ACCEPT')
      expect(await backend.probe(signal)).toBeUndefined()
      expect(await isSettled(backend, wholeCluster(family))).toBe(true)
    })

    test('keeps what a set remembers over a restart and changes of other endpoints', async () => {
      const sticky = (...texts: string[]) =>
        aForwarding(
          [
            aPort('ns/sticky', { family })
              .clusterIp(serviceIp(family, 8))
              .endpoints(...texts)
              .affinity(3600),
          ],
          {},
          family,
        )
      const backend = await bench.backend()
      await bench.sync(backend, sticky(endpoint(family, 1)))
      const [set = ''] = (await bench.ns.run('ipset', ['list', '-name'])).split('\n')
      const client = family === 'IPv4' ? '10.0.0.7' : 'fd00:10::7'
      await bench.ns.run('ipset', ['add', set, client, 'timeout', '3000'])
      await bench.sync(await bench.backend(), sticky(endpoint(family, 1), endpoint(family, 2)))
      expect(await bench.ns.run('ipset', ['list', set])).toContain(`${client} timeout`)
      await bench.sync(backend, sticky(endpoint(family, 2)))
      expect(await bench.ns.run('ipset', ['list', '-name'])).not.toContain(set)
    })

    test('drops replies that cannot be translated back, and no other INVALID packets', async () => {
      const host = family === 'IPv4' ? '192.0.2.1' : '2001:db8::1'
      await bench.ns.run('ip', ['addr', 'add', `${host}/${family === 'IPv4' ? 32 : 128}`, 'dev', 'lo'])
      await bench.ns.run('ip', [
        'route',
        'add',
        `${serviceIp(family, 0)}/${family === 'IPv4' ? 16 : 48}`,
        'dev',
        'lo',
      ])
      const backend = await bench.backend()
      const at = family === 'IPv4' ? host : `[${host}]`
      const port = aPort('ns/web', { family }).clusterIp(serviceIp(family, 1)).endpoints(`${at}:8080*`)
      await bench.sync(backend, aForwarding([port], {}, family))
      // Then the middle of a connection that is not tracked is INVALID, as it is for a window that was missed.
      await bench.ns.run('tee', ['/proc/sys/net/netfilter/nf_conntrack_tcp_loose'], '0')
      const dropped = async () => {
        const text = await bench.ns.run(`${bench.program}-save`, ['-c', '-t', 'filter'])
        return Number(/\[(\d+):\d+\] -A FL-INVALID /.exec(text)?.[1])
      }
      const lateReply = (dial: string, dialPort: number) =>
        bench.ns.run(process.execPath, ['-e', LATE_REPLY, host, '8080', dial, String(dialPort)])
      expect(await lateReply(host, 8080)).toBe('arrived')
      expect(await dropped()).toBe(0)
      expect(await lateReply(serviceIp(family, 1), 80)).toBe('lost')
      expect(await dropped()).toBeGreaterThan(0)
    })

    test('a refused rule is told with the Service that it belongs to', async () => {
      const backend = await bench.backend()
      const bad = aPort('ns/bad', { family })
        .clusterIp(serviceIp(family, 1), 99_999)
        .endpoints(endpoint(family, 1))
      const forwarding = aForwarding([...plainServices(family, 0, 5), bad], {}, family)
      const refused = await bench.sync(backend, forwarding).catch((error: unknown) => error)
      expect(refused).toMatchObject({ code: 'rejected' })
      expect(backend.blame(refused, forwarding)).toBe('ns/bad:/TCP')
    })
  })
})
