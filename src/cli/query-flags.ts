/** Command lines of the subcommands that look at a node: flags of their own, and all flags of the proxy. */
import { ConfigError } from '../config/config-error.ts'
import type { Config } from '../config/config.ts'
import { resolveConfig } from '../config/resolve-config.ts'
import { SETTING_ROWS } from '../config/settings.ts'
import { OUTPUTS, type Output } from './answer-output.ts'

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

export const QUERY_FLAGS_HELP = `  -o, --output FORMAT        ${OUTPUTS.join(', ')} (default table)
      --explain-socket PATH  where the running proxy answers (default: as configured)
      --config FILE          the configuration file of the running proxy, for its socket
      --kubeconfig FILE      ask no proxy: work it out from the API server and the kernel of this node
  and every flag of the proxy itself; with --kubeconfig give those that it runs with, or its --config
`

/** Flags that take the next word as their value when there is no `=`. */
const WITH_VALUE: ReadonlySet<string> = new Set(
  SETTING_ROWS.flatMap(([, { flag, aliases = [], short, type }]) =>
    type.name === 'bool' ? [] : [flag, ...aliases, short].filter((name) => name !== undefined),
  ),
)

/** Throws ConfigError for flags that do not exist. `own`: names of the command's own flags; each takes a value. */
export function readQueryFlags(argv: readonly string[], own: readonly string[] = []): QueryFlags {
  const { words, given, rest } = split(argv, new Set(['output', 'kubeconfig', ...own]))
  const help = rest.some((word) => /^(--help|-h)(=true)?$/.test(word))
  const wanted = given.get('output') ?? 'table'
  given.delete('output')
  const output = OUTPUTS.find((known) => known === wanted)
  if (output === undefined)
    throw usageError(`Cannot print as "${wanted}": no such format; write one of ${OUTPUTS.join(', ')}`)
  const kubeconfig = given.get('kubeconfig')
  given.delete('kubeconfig')
  const config = configOf(help ? [] : rest)
  const clientConnection = { ...config.clientConnection, kubeconfig }
  return {
    words,
    output,
    help,
    own: Object.fromEntries(given),
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

function split(argv: readonly string[], own: ReadonlySet<string>): Split {
  const found: Split = { words: [], given: new Map(), rest: [] }
  const left = [...argv]
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    const flag = flagIn(word)
    if (flag === undefined) found.words.push(word)
    else if (own.has(flag.name)) {
      const value = flag.value ?? left.shift()
      if (value === undefined) throw usageError(`Cannot use "${word}": it needs a value; see --help`)
      found.given.set(flag.name, value)
    } else {
      const takesNext = flag.value === undefined && WITH_VALUE.has(flag.name)
      found.rest.push(word, ...(takesNext ? left.splice(0, 1) : []))
    }
  }
  return found
}

/** `undefined` for what is no flag. */
function flagIn(word: string): { readonly name: string; readonly value: string | undefined } | undefined {
  if (!word.startsWith('-') || word === '-') return undefined
  const [, written = '', value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? []
  return { name: written === 'o' ? 'output' : written.replaceAll('_', '-'), value }
}

function configOf(argv: readonly string[]): Config {
  const resolved = resolveConfig(argv)
  if ('config' in resolved) return resolved.config
  const [error] = resolved.action === 'invalid' ? resolved.errors : []
  throw (
    error ?? usageError(`Cannot look at this node with ${argv.join(' ')}: leave out flags that only print`)
  )
}
