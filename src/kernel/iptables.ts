/**
 * The iptables programs of one IP family and one variant. "legacy" and "nft" are two sets of rules in the kernel that
 * do not see each other, so everybody on a node must use the same one.
 */
import { readFile } from 'node:fs/promises'
import type { Family } from '../net/ip.ts'
import { classifyFailure } from './classify-failure.ts'
import type { Exec, ExecRequest, ExecResult, StandingProgram } from './exec.ts'
import { KernelError } from './kernel-error.ts'

export type IptablesVariant = 'legacy' | 'nft'

/** Names of the programs to call. */
export interface IptablesPrograms {
  readonly family: Family
  readonly variant: IptablesVariant
  readonly base: string
  readonly restore: string
  readonly save: string
}

/** Kubelet makes these in the variant that the host uses (KEP-3178). */
const HINTS = /^:(?:KUBE-IPTABLES-HINT|KUBE-KUBELET-CANARY) /m

/** A minute for 250,000 endpoints in the nft variant, on a quiet machine. */
const SAVE_TIMEOUT_MS = 300_000

/** Names of chains by that of their table. */
export type ChainsByTable = Readonly<Record<string, readonly string[]>>

const LISTING = ['-w', '5', '--noflush', '--test']
/** What the program ends with when a chain does not exist; other failures have other numbers. */
const NO_SUCH_CHAIN = 1

export class Iptables {
  readonly #exec: Exec
  readonly programs: IptablesPrograms
  /** Lists legacy chains whenever it is asked; it may end at any time. */
  #lister: StandingProgram | undefined
  /** This version of the program says nothing before its end. */
  #keepsAnswers = false

  constructor(exec: Exec, programs: IptablesPrograms) {
    this.#exec = exec
    this.programs = programs
  }

  /** The text of `iptables-save -t table`. */
  async save(table: string, signal?: AbortSignal): Promise<string> {
    return this.#save(['-t', table], `Cannot read table ${table}`, signal)
  }

  /** Throws `KernelError` when it cannot be had. In the nft variant without reading what is in it. */
  async requireTable(table: string, signal?: AbortSignal): Promise<void> {
    // Legacy `-S` would wait for the lock.
    if (this.programs.variant === 'legacy') await this.save(table, signal)
    else await this.#list(table, 'OUTPUT', signal)
  }

  /** The same with a `[packets:bytes]` before every rule. */
  async saveWithCounters(table: string, signal?: AbortSignal): Promise<string> {
    return this.#save(['-c', '-t', table], `Cannot read the counters of table ${table}`, signal)
  }

  /** All tables that exist, in one text. */
  async saveAll(signal?: AbortSignal): Promise<string> {
    return this.#save([], 'Cannot read the tables', signal)
  }

  /**
   * Some chains of some tables in the words of `iptables-save`; those that do not exist are left out. `bySameProgram`:
   * legacy tables by the program that answered before, if there can be one.
   */
  async listChains(
    wanted: ChainsByTable,
    signal?: AbortSignal,
    { bySameProgram = true }: { readonly bySameProgram?: boolean } = {},
  ): Promise<string> {
    const tables = Object.entries(wanted)
    const lists =
      this.programs.variant === 'legacy'
        ? await this.#listTogether(wanted, { bySameProgram, signal })
        : await Promise.all(tables.map(async ([table, chains]) => this.#listEach(table, chains, signal)))
    // `-P` and `-N` lines stand where save has its chain lines.
    const asSaved = (list: string): string => list.replace(/^-[PN] (\S+).*$/gm, ':$1 - [0:0]')
    return tables.map(([table], n) => `*${table}\n${asSaved(lists[n] ?? '')}COMMIT\n`).join('')
  }

  /**
   * Which large tables legacy iptables holds in the kernel, in any namespace: every change of a table allocates it
   * anew. Empty where the kernel does not tell.
   */
  async tableAllocations(): Promise<string> {
    try {
      const text = await readFile('/proc/vmallocinfo', 'utf8')
      return text
        .split('\n')
        .filter((line) => line.includes('xt_alloc_table_info'))
        .join('\n')
    } catch {
      return ''
    }
  }

  async #save(args: readonly string[], action: string, signal: AbortSignal | undefined): Promise<string> {
    const request = { file: this.programs.save, args, timeoutMs: SAVE_TIMEOUT_MS }
    return (await this.#run(request, action, signal)).stdout
  }

  async #listEach(table: string, chains: readonly string[], signal?: AbortSignal): Promise<string> {
    return (await Promise.all(chains.map(async (chain) => this.#list(table, chain, signal)))).join('')
  }

  async #list(table: string, chain: string, signal?: AbortSignal): Promise<string> {
    const { base } = this.programs
    const request = { file: base, args: ['-w', '5', '-t', table, '-S', chain] }
    try {
      return (await this.#run(request, `Cannot list chain ${table}/${chain}`, signal)).stdout
    } catch (error) {
      if (error instanceof KernelError && error.code === 'missing-object') return ''
      throw error
    }
  }

  /**
   * One program for all chains: each call would copy a whole table. It stops at the first that does not exist, which
   * is then all that the caller needs to know. It only tests, so what marks the end of a table stays in its own copy.
   */
  async #listTogether(
    wanted: ChainsByTable,
    { bySameProgram, signal }: { readonly bySameProgram: boolean; readonly signal: AbortSignal | undefined },
  ): Promise<readonly string[]> {
    const tables = Object.keys(wanted)
    const stdin = Object.entries(wanted).map(listingOf).join('')
    const lastLine = endOf(tables.at(-1) ?? '')
    const text =
      (bySameProgram ? await this.#askStanding(stdin, lastLine, signal) : undefined) ??
      (await this.#askOnce(stdin, `Cannot list chains of ${tables.join(', ')}`, signal))
    const lists: string[] = []
    let rest = text
    for (const table of tables) {
      const [list = '', ...others] = rest.split(`${endOf(table)}\n`)
      lists.push(list)
      rest = others.join('')
    }
    return lists
  }

  /** To start a program costs more than all the rest, so one stays and is asked. `undefined`: it does not answer. */
  async #askStanding(stdin: string, lastLine: string, signal?: AbortSignal): Promise<string | undefined> {
    if (this.#keepsAnswers || this.#exec.open === undefined) return undefined
    if (this.#lister?.ended ?? true)
      this.#lister = this.#exec.open(withSignal({ file: this.programs.restore, args: LISTING }, signal))
    try {
      const { text, exitCode } = (await this.#lister?.ask(stdin, lastLine)) ?? { text: '', exitCode: null }
      return text.endsWith(`${lastLine}\n`) || stopsAtChain(text, exitCode) ? text : undefined
    } catch {
      this.#keepsAnswers = true
      return undefined
    }
  }

  async #askOnce(stdin: string, action: string, signal?: AbortSignal): Promise<string> {
    const request = { file: this.programs.restore, args: LISTING, stdin }
    const result = await this.#exec.run(withSignal(request, signal))
    if (result.exitCode === 0 || stopsAtChain(result.stdout, result.exitCode)) return result.stdout
    throw classifyFailure(request, result, action)
  }

  async #run(request: ExecRequest, action: string, signal?: AbortSignal): Promise<ExecResult> {
    return runOrThrow(this.#exec, withSignal(request, signal), action)
  }
}

function listingOf([table, chains]: readonly [string, readonly string[]]): string {
  const mark = chainAtEnd(table)
  return `*${table}\n${chains.map((chain) => `-S ${chain}\n`).join('')}-N ${mark}\n-S ${mark}\nCOMMIT\n`
}

function endOf(table: string): string {
  return `-N ${chainAtEnd(table)}`
}

function chainAtEnd(table: string): string {
  return `FAIRLEAD-END-OF-${table}`
}

function stopsAtChain(text: string, exitCode: number | null | undefined): boolean {
  return exitCode === NO_SUCH_CHAIN && text !== ''
}

function withSignal(request: ExecRequest, signal: AbortSignal | undefined): ExecRequest {
  return signal === undefined ? request : { ...request, signal }
}

/** Runs a program that must succeed. */
export async function runOrThrow(exec: Exec, request: ExecRequest, action: string): Promise<ExecResult> {
  const result = await exec.run(request)
  if (result.exitCode !== 0) throw classifyFailure(request, result, action)
  return result
}

/** Which programs serve a family: `wanted`, or the variant that this host uses. Throws `KernelError`. */
export async function findIptables(
  exec: Exec,
  family: Family,
  wanted: IptablesVariant | undefined,
): Promise<IptablesPrograms> {
  const base = family === 'IPv4' ? 'iptables' : 'ip6tables'
  const plain = await plainVariant(exec, base)
  const variant = wanted ?? (await usedVariant(exec, base)) ?? plain ?? 'nft'
  const suffix = variant === plain && !(await exists(exec, `${base}-${variant}`)) ? '' : `-${variant}`
  const name = `${base}${suffix}`
  return { family, variant, base: name, restore: `${name}-restore`, save: `${name}-save` }
}

/** What the program without a suffix is; before 1.8 there was only legacy and the version does not say so. */
async function plainVariant(exec: Exec, base: string): Promise<IptablesVariant | undefined> {
  const text = await version(exec, base)
  const match = /v(\d+)\.(\d+)\.(\d+)(?: \((\w+)\))?/.exec(text ?? '')
  if (match === null) return undefined
  const [major = 0, minor = 0, patch = 0] = match.slice(1, 4).map(Number)
  if (major * 1e6 + minor * 1e3 + patch < 1_006_002) throw tooOld(base, match[0])
  return match[4] === 'nf_tables' ? 'nft' : 'legacy'
}

function tooOld(base: string, found: string): KernelError {
  const remedy = 'install iptables 1.6.2 or newer'
  return new KernelError(
    `Cannot use ${base} ${found}: it has no --random-fully and no lock for restore; ${remedy}`,
    {
      code: 'unsupported',
      command: [base, '--version'],
      exitCode: 0,
      stderr: '',
      script: '',
      line: undefined,
      remedy,
    },
  )
}

/** `undefined`: no such program. */
async function version(exec: Exec, file: string): Promise<string | undefined> {
  try {
    const { exitCode, stdout } = await exec.run({ file, args: ['--version'] })
    return exitCode === 0 ? stdout : undefined
  } catch (error) {
    if (error instanceof KernelError && error.code === 'missing-tool') return undefined
    throw error
  }
}

async function exists(exec: Exec, file: string): Promise<boolean> {
  return (await version(exec, file)) !== undefined
}

/** By kubelet's hint, else by the variant that has rules already. */
async function usedVariant(exec: Exec, base: string): Promise<IptablesVariant | undefined> {
  const variants: IptablesVariant[] = (await hasLegacyTables(exec, base)) ? ['nft', 'legacy'] : ['nft']
  for (const { table, pattern } of [
    { table: 'mangle', pattern: HINTS },
    { table: 'nat', pattern: /^-A /m },
    { table: 'filter', pattern: /^-A /m },
  ]) {
    for (const variant of variants) {
      if (pattern.test(await savedRules(exec, `${base}-${variant}-save`, table))) return variant
    }
  }
  return undefined
}

/** Asking legacy iptables for a table would create it, so the kernel is asked which exist. */
async function hasLegacyTables(exec: Exec, base: string): Promise<boolean> {
  const file = base === 'iptables' ? '/proc/net/ip_tables_names' : '/proc/net/ip6_tables_names'
  const { stdout } = await exec.run({ file: 'cat', args: [file] })
  return stdout.trim() !== ''
}

async function savedRules(exec: Exec, file: string, table: string): Promise<string> {
  if (!(await exists(exec, file))) return ''
  const { stdout } = await exec.run({ file, args: ['-t', table] })
  return stdout
}
