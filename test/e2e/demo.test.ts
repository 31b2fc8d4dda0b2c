/** `npm run demo` to its end: in every mode, on every pod network, and for users without root. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { jest } from '@jest/globals'
import type { BackendName } from '../../src/backends/backend.ts'
import { obstacleOnHost } from '../../src/cli/lab/host-kernel.ts'
import type { DemoResult } from '../../src/lab/demo/demo-result.ts'
import { Gate } from '../../src/lab/gate.ts'
import type { PodNetworkName } from '../../src/lab/networks/pod-network.ts'
import { umlProblem } from '../../src/lab/uml/uml-machine.ts'
import { AS_NOBODY, nobodyProblem } from '../support/as-nobody.ts'

/** A machine that is busy with other things needs many times as long as a quiet one. */
const RUN_MS = 400_000
jest.setTimeout(RUN_MS + 200_000)

const ROOT = resolve(import.meta.dirname, '../..')
const FAIRLEAD = join(ROOT, 'bin/fairlead')

interface Choice {
  readonly mode: BackendName
  readonly network: PodNetworkName
  readonly who: 'root' | 'nobody'
  readonly pods: number
}

const HOST_CHOICES: readonly Choice[] = [
  ...(['bridge', 'routed', 'vxlan', 'macvlan', 'two-networks'] as const).map((network): Choice => ({
    mode: 'iptables',
    network,
    who: 'root',
    pods: 4,
  })),
  { mode: 'nftables', network: 'routed', who: 'root', pods: 4 },
]

/** Few pods: in user-mode-linux everything is 10–30 times slower. */
const OTHER_CHOICES: readonly Choice[] = [
  { mode: 'ipvs', network: 'bridge', who: 'root', pods: 2 },
  { mode: 'ipvs', network: 'ipvlan', who: 'nobody', pods: 2 },
]

const isRoot = process.getuid?.() === 0

/** Why this machine can show a choice neither by itself nor in user-mode-linux; `undefined`: it can. */
async function obstacle({ mode, network, who }: Choice): Promise<string | undefined> {
  if (who === 'root' && !isRoot) return 'it needs root'
  const unreadable = who === 'nobody' ? nobodyProblem(join(ROOT, 'dist/main.js')) : undefined
  if (unreadable !== undefined) return unreadable
  if (who === 'root' && (await obstacleOnHost({ mode, network })) === undefined) return undefined
  return mode === 'nftables' ? 'neither kernel here has nftables NAT' : umlProblem()
}

interface Outcome {
  readonly exitCode: number
  readonly output: string
  readonly result: DemoResult
  readonly page: string
  /** What is left in the folder for temporary files, other than the page. */
  readonly left: readonly string[]
}

/** UML machines and host runs each wait for their own kind: a slow one must not hold up the quick ones. */
const gates = { host: new Gate(1), other: new Gate(2) }

async function runDemo(choice: Choice): Promise<Outcome> {
  const { mode, network, who, pods } = choice
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-demo-test-'))
  chmodSync(folder, 0o777)
  try {
    const json = join(folder, 'result.json')
    const flags = ['--mode', mode, '--network', network, '--nodes', '2', '--pods', String(pods)]
    const command = [FAIRLEAD, 'lab', 'demo', ...flags, '--seconds', '4', '--json', json]
    const [file = '', ...args] = who === 'nobody' && isRoot ? [...AS_NOBODY, ...command] : command
    const env = { ...process.env, TMPDIR: folder }
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: RUN_MS })
    const output: string[] = []
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => output.push(text))
    const [exitCode] = (await once(child, 'close')) as [number]
    const page = `fairlead-demo-${mode}-${network}.html`
    const files = readdirSync(folder)
    if (!files.includes('result.json'))
      throw new Error(`The demo wrote no result: ${output.join('').slice(-1500)}`)
    return {
      exitCode,
      output: output.join(''),
      result: JSON.parse(readFileSync(json, 'utf8')) as DemoResult,
      page: readFileSync(join(folder, page), 'utf8'),
      left: files.filter((name) => name !== page && name !== 'result.json'),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const wanted: { readonly choice: Choice; readonly run: Promise<Outcome> }[] = []
for (const choice of [...HOST_CHOICES, ...OTHER_CHOICES]) {
  const reason = await obstacle(choice)
  const { mode, network, who } = choice
  if (reason === undefined) {
    const gate = OTHER_CHOICES.includes(choice) ? gates.other : gates.host
    const run = gate.pass(async () => runDemo(choice))
    run.catch(() => undefined)
    wanted.push({ choice, run })
  } else process.stderr.write(`note: skipped the demo in ${mode} mode on ${network} as ${who}: ${reason}\n`)
}

/** Every pod of the Deployment exists three times: at first, after the rolling restart, and after the scaling. */
const LIVES = 3

test('at least one demo can run on this machine', () => {
  expect(wanted).not.toEqual([])
})

for (const { choice, run } of wanted)
  describe(`the demo in ${choice.mode} mode on ${choice.network} as ${choice.who}`, () => {
    it('loses no connection in the rolling restart', async () => {
      const { result, exitCode } = await run
      const failed = result.failedByPhase['rolling-restart'] ?? 0
      const reasons = failed === 0 ? {} : result.failedByReason
      expect({ failed, reasons, exitCode }).toEqual({ failed: 0, reasons: {}, exitCode: 0 })
    })

    it('reaches every pod, also each new one, from every kind of client', async () => {
      const { result } = await run
      // All of them in one text: jest shows only the first of a long list.
      const pods = Object.keys(result.distribution)
      const all = JSON.stringify(pods)
      expect({ count: pods.length, all }).toEqual({ count: LIVES * choice.pods, all })
      for (const { total, failed } of Object.values(result.connections)) expect(total).toBeGreaterThan(failed)
    })

    it('lets a pod reach every pod through the Service, itself among them', async () => {
      const { output } = await run
      const [, bars = ''] =
        /120 connections from a pod were answered by:\n((?: .*█ \d+\n)+)/.exec(output) ?? []
      const counts = [...bars.matchAll(/ (\d+)\n/g)].map((match) => Number(match[1]))
      expect(counts).toHaveLength(choice.pods)
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(120)
    })

    it('writes a complete result and a page with charts', async () => {
      const { result, page } = await run
      const { mode, network, pods } = choice
      expect(result).toMatchObject({ mode, network, nodes: 2, pods, restarts: 2 * pods + 1 })
      expect(result.firstAnswerMs).toBeGreaterThan(0)
      const { p50, p99, max } = result.propagationMs
      expect([p50, p99, max].toSorted((a, b) => Number(a) - Number(b))).toEqual([p50, p99, max])
      expect(p50).not.toBeNull()
      expect(page.includes('new Chart(')).toBe(true)
    })

    it('shows what the kernel says, in plain lines when nobody looks on, and leaves nothing behind', async () => {
      const { output, left } = await run
      expect(output).toMatch(/node-1 \$ (iptables|ipvsadm|sh -c nft)/)
      expect(output).toMatch(/\d+ connections so far/)
      expect(output).not.toContain('\x1b[')
      expect(left).toEqual([])
    })
  })
