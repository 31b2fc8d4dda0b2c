/**
 * The subcommands that look at a node, as one table: their parser (`query-flags.ts`), the flags in their help texts and
 * the completion of shells follow from it. Pure.
 */
import { DUMPS } from '../explain/dump.ts'
import { PROTOCOLS } from '../net/protocol.ts'
import { OUTPUTS } from './answer-output.ts'

export interface QueryFlag {
  readonly name: string
  readonly short?: string
  /** What its value is called in the help text. */
  readonly argument: string
  readonly help: string
  /** The only values there are, written in either case; `file`: a path; empty: anything. */
  readonly values: readonly string[] | 'file'
  /** A flag of the proxy, which reads it itself; it stands here for what it means to the subcommand. */
  readonly isOfProxy?: true
}

export interface QueryCommand {
  /** Few words for the list of commands. */
  readonly summary: string
  /** What may be written behind it, where that is one of a few words. */
  readonly words: readonly string[]
  /** All flags but those that have the same meaning for the proxy. */
  readonly flags: readonly QueryFlag[]
}

const OUTPUT: QueryFlag = {
  name: 'output',
  short: 'o',
  argument: 'FORMAT',
  help: `${OUTPUTS.join(', ')} (default table)`,
  values: OUTPUTS,
}

const EXPLAIN_SOCKET: QueryFlag = {
  name: 'explain-socket',
  argument: 'PATH',
  help: 'where the running proxy answers (default: as configured)',
  values: 'file',
  isOfProxy: true,
}

const ASKING: readonly QueryFlag[] = [
  OUTPUT,
  EXPLAIN_SOCKET,
  {
    name: 'config',
    argument: 'FILE',
    help: 'the configuration file of the running proxy, for its socket',
    values: 'file',
    isOfProxy: true,
  },
  {
    name: 'kubeconfig',
    argument: 'FILE',
    help: 'ask no proxy: work it out from the API server and the kernel of this node',
    values: 'file',
  },
]

export const QUERY_COMMANDS = {
  explain: {
    summary: 'why a connection goes where it goes',
    words: [],
    flags: [
      {
        name: 'from',
        argument: 'IP',
        help: 'who connects: prints what becomes of its connection, step by step',
        values: [],
      },
      {
        name: 'protocol',
        argument: 'PROTOCOL',
        help: `${PROTOCOLS.join(', ')} (default: any)`,
        values: PROTOCOLS,
      },
      ...ASKING,
    ],
  },
  dump: { summary: 'what is wanted and what is programmed', words: DUMPS, flags: ASKING },
  diff: { summary: 'where the kernel differs from what is wanted', words: [], flags: ASKING },
  doctor: {
    summary: 'check this node',
    words: [],
    flags: [
      OUTPUT,
      {
        name: 'kubeconfig',
        argument: 'FILE',
        help: 'ask this API server too: whether it answers, what it allows, what time it has',
        values: 'file',
      },
      {
        name: 'self-test',
        argument: 'SERVICE',
        help: 'connect to NAMESPACE/SERVICE[:PORT] and to its endpoints on other nodes, and compare',
        values: [],
      },
      EXPLAIN_SOCKET,
    ],
  },
} as const satisfies Readonly<Record<string, QueryCommand>>

export type QueryName = keyof typeof QUERY_COMMANDS

const INDENT = 29

const GIVE_THE_SAME = '; with --kubeconfig give those that it runs with, or its --config'

/** A line per flag, and one about those of the proxy. */
export function queryFlagsHelp(name: QueryName, aboutProxyFlags = GIVE_THE_SAME): string {
  const lines = (QUERY_COMMANDS[name] as QueryCommand).flags.map(({ name: flag, short, argument, help }) => {
    const head = `  ${short === undefined ? '    ' : `-${short}, `}--${flag} ${argument}`
    return `${head.padEnd(INDENT - 1)} ${help}\n`
  })
  return `${lines.join('')}  and every flag of the proxy itself${aboutProxyFlags}\n`
}
