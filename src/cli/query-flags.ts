/** Command lines of the subcommands that look at a node: flags of their own, and all flags of the proxy. */
import { ConfigError } from '../config/config-error.ts'
import type { Config } from '../config/config.ts'
import { resolveConfig } from '../config/resolve-config.ts'
import { SETTING_ROWS } from '../config/settings.ts'
import { OUTPUTS, type Output } from './answer-output.ts'
import { QUERY_COMMANDS, type QueryCommand, type QueryFlag, type QueryName } from './query-commands.ts'

export interface QueryFlags {
  readonly words: readonly string[]
  readonly output: Output
  readonly help: boolean
  /** Values of the command's own flags; absent ones are not there. */
  readonly own: Readonly<Record<string, string>>
  /** The proxy's configuration, as far as the flags tell it. */
  readonly config: Config
  /** A kubeconfig was named on the command line: nobody is asked but the API server and the kernel. */
  readonly alone: boolean
}

/** Flags that take the next word as their value when there is no `=`. */
const WITH_VALUE: ReadonlySet<string> = new Set(
  SETTING_ROWS.flatMap(([, { flag, aliases = [], short, type }]) =>
    type.name === 'bool' ? [] : [flag, ...aliases, short].filter((name) => name !== undefined),
  ),
)

/** Throws ConfigError for flags or values that do not exist. */
export function readQueryFlags(argv: readonly string[], name: QueryName): QueryFlags {
  const { flags }: QueryCommand = QUERY_COMMANDS[name]
  const { words, given, rest } = split(
    argv,
    flags.filter(({ isOfProxy }) => isOfProxy !== true),
  )
  const help = rest.some((word) => /^(--help|-h)(=true)?$/.test(word))
  const { output, kubeconfig, ...own } = Object.fromEntries(given)
  const config = configOf(help ? [] : rest)
  const clientConnection = { ...config.clientConnection, kubeconfig }
  return {
    words,
    output: OUTPUTS.find((known) => known === output) ?? 'table',
    help,
    own,
    // The file replaces flags of the proxy; who names a kubeconfig here means it.
    config: kubeconfig === undefined ? config : { ...config, clientConnection },
    alone: kubeconfig !== undefined,
  }
}

/** Wrong usage: exit code 2. */
export function usageError(message: string): ConfigError {
  return new ConfigError(message, { code: 'unknown', path: 'command line' })
}

interface Split {
  readonly words: string[]
  readonly given: Map<string, string>
  /** For the proxy's own parser. */
  readonly rest: string[]
}

function split(argv: readonly string[], own: readonly QueryFlag[]): Split {
  const found: Split = { words: [], given: new Map(), rest: [] }
  const left = [...argv]
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    const flag = flagIn(word)
    const ours = own.find(({ name, short }) => flag?.name === name || flag?.name === short)
    if (flag === undefined) found.words.push(word)
    else if (ours !== undefined) found.given.set(ours.name, valueOf(ours, flag.value ?? left.shift()))
    else {
      const takesNext = flag.value === undefined && WITH_VALUE.has(flag.name)
      found.rest.push(word, ...(takesNext ? left.splice(0, 1) : []))
    }
  }
  return found
}

/** As the table writes it. */
function valueOf({ name, values }: QueryFlag, value: string | undefined): string {
  if (value === undefined) throw usageError(`Cannot use "--${name}": it needs a value; see --help`)
  if (values === 'file' || values.length === 0) return value
  const known = values.find((one) => one.toLowerCase() === value.toLowerCase())
  if (known !== undefined) return known
  throw usageError(`Cannot use "--${name}=${value}": no such value; write one of ${values.join(', ')}`)
}

/** `undefined` for what is no flag. */
function flagIn(word: string): { readonly name: string; readonly value: string | undefined } | undefined {
  if (!word.startsWith('-') || word === '-') return undefined
  const [, written = '', value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? []
  return { name: written.replaceAll('_', '-'), value }
}

function configOf(argv: readonly string[]): Config {
  const resolved = resolveConfig(argv)
  if ('config' in resolved) return resolved.config
  const [error] = resolved.action === 'invalid' ? resolved.errors : []
  throw (
    error ?? usageError(`Cannot look at this node with ${argv.join(' ')}: leave out flags that only print`)
  )
}
