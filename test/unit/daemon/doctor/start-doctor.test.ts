import { resolveConfig } from '../../../../src/config/resolve-config.ts'
import { StartDoctor } from '../../../../src/daemon/doctor/start-doctor.ts'
import type { Exec, ExecRequest } from '../../../../src/kernel/exec.ts'
import { silentLogger } from '../../../../src/runtime/logger.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const LINKS = JSON.stringify([
  { ifname: 'eth0', flags: ['UP'], mtu: 1500 },
  { ifname: 'cni0', flags: ['UP'], mtu: 1500, linkinfo: { info_kind: 'bridge' } },
  { ifname: 'veth1', flags: ['UP'], mtu: 1500, master: 'cni0', linkinfo: { info_kind: 'veth' } },
])

let commands: string[]
let told: object[]
let clock: ManualClock
beforeEach(() => {
  commands = []
  told = []
  clock = new ManualClock(Date.UTC(2026, 5, 1))
})

/** A node whose programs print what `outputs` says for the beginning of their command line, and nothing else. */
function node(outputs: Readonly<Record<string, string>>): Exec {
  return {
    run: async ({ file, args }: ExecRequest) => {
      const command = [file, ...args].join(' ')
      commands.push(command)
      const key = Object.keys(outputs).find((start) => command.startsWith(start))
      return Promise.resolve({ exitCode: 0, stdout: outputs[key ?? ''] ?? '', stderr: '', durationMs: 1 })
    },
  }
}

function doctor(exec: Exec): StartDoctor {
  const resolved = resolveConfig([])
  if (!('config' in resolved)) throw new Error('Cannot use the defaults')
  const tell = (as: string) => (facts: object) => void told.push({ as, ...facts })
  const log = { ...silentLogger, warn: tell('warn'), error: tell('error') }
  return new StartDoctor({ config: resolved.config, exec, clock, log })
}

describe('StartDoctor', () => {
  test('tells each finding once, with its remedy', async () => {
    const starting = doctor(node({ 'ip -j -d link': LINKS, 'ip -j route': '[{"dev":"eth0"}]' }))
    await starting.run(new AbortController().signal)
    const bridge = told.filter((facts) => (facts as { check: string }).check === 'br-netfilter')
    expect(bridge).toEqual([
      {
        as: 'error',
        check: 'br-netfilter',
        what: expect.stringContaining('br_netfilter is not loaded'),
        remedy: expect.stringContaining('modprobe br_netfilter'),
      },
    ])
  })

  test('reads no table that grows with the Services, and starts few programs', async () => {
    const links = JSON.parse(LINKS) as object[]
    const pods = Array.from({ length: 500 }, (_, i) => ({ ...links[2], ifname: `veth${i}` }))
    const exec = node({
      'ip -j -d link': JSON.stringify([...links, ...pods]),
      'cat /proc/net/ip_tables_names': 'nat\nmangle\n',
    })
    const starting = doctor(exec)
    await starting.run(new AbortController().signal)
    expect(commands.filter((command) => command.includes('-save'))).toEqual([
      'iptables-nft-save -t mangle',
      'iptables-legacy-save -t mangle',
    ])
    // "nft list tables" would read the elements of all of them.
    expect(commands.filter((command) => command.startsWith('nft list'))).toEqual([
      'nft list chains ip',
      'nft list chains ip6',
    ])
    expect(commands.length).toBeLessThan(20)
  })

  test('does not wait for a program that hangs, and ends with the proxy', async () => {
    const hanging: Exec = { run: async () => new Promise(() => undefined) }
    const late = doctor(hanging)
    const running = late.run(new AbortController().signal)
    await clock.advance(20_000)
    await running
    const stop = new AbortController()
    const never = doctor(hanging).run(stop.signal)
    stop.abort()
    await never
    expect(told).toEqual([])
  })
})
