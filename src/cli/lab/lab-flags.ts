/** Flags of `fairlead lab …` and of the demo: few, so Node's own parser does. */
import { parseArgs } from 'node:util'
import type { BackendName } from '../../backends/backend.ts'
import { ConfigError } from '../../config/config-error.ts'
import type { PodNetworkName } from '../../lab/networks/pod-network.ts'
import { POD_NETWORKS } from '../../lab/networks/pod-networks.ts'

export interface LabFlags {
  readonly mode: BackendName
  readonly network: PodNetworkName
  readonly nodes: number
  readonly pods: number
  readonly seconds: number
  readonly keep: boolean
  readonly json: string | undefined
  readonly help: boolean
}

const MODES: readonly BackendName[] = ['iptables', 'ipvs', 'nftables']

export const LAB_FLAGS_HELP = `  --mode MODE        ${MODES.join(', ')} (default iptables)
  --network NETWORK  pod network: ${Object.keys(POD_NETWORKS).join(', ')} (default bridge)
  --nodes N          1 to 50 (default 2)
  --pods N           pods behind the Service, 1 to 1000 (default 6)
`

/** Throws ConfigError for a flag or value that does not exist. */
export function readLabFlags(argv: readonly string[]): LabFlags {
  const values = parse(argv)
  return {
    mode: oneOf('--mode', values.mode, MODES),
    network: oneOf('--network', values.network, Object.keys(POD_NETWORKS) as PodNetworkName[]),
    nodes: numberIn('--nodes', values.nodes, [1, 50]),
    pods: numberIn('--pods', values.pods, [1, 1000]),
    seconds: numberIn('--seconds', values.seconds, [4, 3600]),
    keep: values.keep,
    json: values.json,
    help: values.help,
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        mode: { type: 'string', default: 'iptables' },
        network: { type: 'string', default: 'bridge' },
        nodes: { type: 'string', default: '2' },
        pods: { type: 'string', default: '6' },
        seconds: { type: 'string', default: '16' },
        keep: { type: 'boolean', default: false },
        json: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (cause) {
    const [reason = ''] = (cause as Error).message.split('. ')
    const message = `Cannot read the command line: ${reason}; see --help`
    throw new ConfigError(message, { code: 'unknown', path: 'command line', cause })
  }
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value)
  if (found !== undefined) return found
  const message = `Cannot use "${flag}=${value}": no such choice; write one of ${allowed.join(', ')}`
  throw new ConfigError(message, { code: 'invalid', path: flag })
}

function numberIn(flag: string, value: string, [least, most]: readonly [number, number]): number {
  const number = Number(value)
  if (Number.isInteger(number) && number >= least && number <= most) return number
  const message = `Cannot use "${flag}=${value}": not a whole number from ${least} to ${most}; write for example ${flag}=${least}`
  throw new ConfigError(message, { code: 'invalid', path: flag })
}
