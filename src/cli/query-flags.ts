/** Flags of the subcommands that ask the running proxy, read by Node's own parser: they are few. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { ConfigError } from '../config/config-error.ts'
import { resolveConfig } from '../config/resolve-config.ts'
import { OUTPUTS, type Output } from './answer-output.ts'

export interface QueryFlags {
  readonly words: readonly string[]
  readonly output: Output
  /** Path of the socket on which the proxy answers. */
  readonly socket: string
  readonly help: boolean
  /** Values of the command's own flags; absent ones are not there. */
  readonly own: Readonly<Record<string, string>>
}

export const QUERY_FLAGS_HELP = `  -o, --output FORMAT       ${OUTPUTS.join(', ')} (default table)
      --explain-socket PATH  where the running proxy answers (default: as configured)
      --config FILE          the configuration file of the running proxy, for its socket
`

/** Throws ConfigError for flags that do not exist. `own`: names of the command's own flags; each takes a value. */
export function readQueryFlags(argv: readonly string[], own: readonly string[] = []): QueryFlags {
  const { values, positionals } = parse(argv, own)
  const text = (name: string): string | undefined =>
    typeof values[name] === 'string' ? values[name] : undefined
  const wanted = text('output') ?? 'table'
  const output = OUTPUTS.find((known) => known === wanted)
  if (output === undefined)
    throw usageError(`Cannot print as "${wanted}": no such format; write one of ${OUTPUTS.join(', ')}`)
  const given = own.flatMap((name) => {
    const value = text(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    words: positionals,
    output,
    socket: values['help'] === true ? '' : socketOf(text('explain-socket'), text('config')),
    help: values['help'] === true,
    own: Object.fromEntries(given),
  }
}

/** Wrong usage: exit code 2. */
export function usageError(message: string): ConfigError {
  return new ConfigError(message, { code: 'unknown', path: 'command line' })
}

function parse(argv: readonly string[], own: readonly string[]) {
  const options: ParseArgsOptionsConfig = {
    output: { type: 'string', short: 'o' },
    'explain-socket': { type: 'string' },
    config: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
    ...Object.fromEntries(own.map((name) => [name, { type: 'string' as const }])),
  }
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true })
  } catch (cause) {
    const [reason = ''] = (cause as Error).message.split('. ')
    throw usageError(`Cannot read the command line: ${reason}; see --help`)
  }
}

/** The flag, else what the proxy's own settings say. */
function socketOf(flag: string | undefined, config: string | undefined): string {
  if (flag !== undefined) return flag
  const resolved = resolveConfig(config === undefined ? [] : [`--config=${config}`])
  if (resolved.action === 'invalid') throw resolved.errors[0] ?? usageError('Cannot read the configuration')
  const socket = 'config' in resolved ? resolved.config.explainSocket : undefined
  if (socket !== undefined) return socket
  throw usageError(
    'Cannot ask the proxy: its configuration switches the socket off; set explainSocket and restart it',
  )
}
