/** Judges cases in user-mode-linux machines, for modes that the host's kernel may lack. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInUml } from '../../src/lab/uml/uml-machine.ts'
import type { ConformanceCase } from '../conformance/conformance-case.ts'
import type { CaseResult } from './conformance-kernel.ts'

const ROOT = join(import.meta.dirname, '../..')
const MAIN = 'test/support/conformance-kernel-main.ts'
/** A machine has one processor. */
const MACHINES = 2
/** Minutes on a machine with nothing else to do. */
const LIFETIME_MS = 1_200_000

type Line = CaseResult | { readonly name: string; readonly error: string }

/** Starts all cases, dealt out to machines; every promise settles by itself. */
export function runCasesInUml(
  proxyName: string,
  cases: readonly ConformanceCase[],
  signal?: AbortSignal,
): ReadonlyMap<string, Promise<CaseResult>> {
  const waiting = new Map(cases.map(({ name }) => [name, Promise.withResolvers<CaseResult>()]))
  for (const { promise } of waiting.values()) promise.catch(() => undefined)
  const settle = (line: Line): void => {
    const one = waiting.get(line.name)
    if ('error' in line) one?.reject(new Error(line.error))
    else one?.resolve(line)
  }
  const names = inOrderOfSettings(cases)
  const share = Math.ceil(names.length / MACHINES)
  for (let first = 0; first < names.length; first += share) {
    const mine = names.slice(first, first + share)
    // Those that were settled before do not mind.
    const giveUp = (error: unknown): void => mine.forEach((name) => settle({ name, error: String(error) }))
    runMachine(proxyName, { names: mine, settle, signal }).then(
      (output) => giveUp(`not judged: ${output.slice(-2000)}`),
      giveUp,
    )
  }
  return new Map([...waiting].map(([name, { promise }]) => [name, promise]))
}

/** Cases that one instance of a backend can serve follow each other. */
function inOrderOfSettings(cases: readonly ConformanceCase[]): string[] {
  const settings = ({ node }: ConformanceCase): string => `${node.family} ${node.detectorCidr ?? ''}`
  return [...cases].sort((a, b) => settings(a).localeCompare(settings(b))).map(({ name }) => name)
}

/** Resolves to all output when the machine has ended. */
async function runMachine(
  proxyName: string,
  work: {
    readonly names: readonly string[]
    readonly settle: (line: Line) => void
    readonly signal: AbortSignal | undefined
  },
): Promise<string> {
  const { names, settle, signal } = work
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-cases-'))
  const file = join(folder, 'names')
  writeFileSync(file, names.join('\n'))
  let rest = ''
  try {
    const { output } = await runInUml({
      command: process.execPath,
      args: [MAIN, proxyName, file],
      cwd: ROOT,
      env: { NODE_NO_WARNINGS: '1' },
      timeoutMs: LIFETIME_MS,
      memoryMb: 1024,
      ...(signal === undefined ? {} : { signal }),
      onOutput: (text) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line.startsWith('case: ')) settle(JSON.parse(line.slice(6)) as Line)
      },
    })
    return output
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
