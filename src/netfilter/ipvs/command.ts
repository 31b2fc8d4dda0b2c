/** The language of `ipvsadm --restore` and `--save`: one command a line. Pure text, both ways. */
import { type RealServer, type VirtualServer, realServer, virtualServerAs } from './virtual-server.ts'

export type ServerCommand =
  /** `add` fails on a server that is there; `edit` and `delete` fail on one that is not. */
  { readonly verb: 'add' | 'edit' | 'delete'; readonly server: VirtualServer | RealServer }

/** `-A -t 10.0.0.1:80 -s rr`, or `-a -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 1`. */
export function renderCommand({ verb, server }: ServerCommand): string {
  const isVirtual = server.kind === 'virtual-server'
  const letter = { add: 'a', edit: 'e', delete: 'd' }[verb]
  const to = isVirtual ? '' : ` -r ${server.server}`
  const rest = verb === 'delete' ? '' : ` ${server.text}`
  return `-${isVirtual ? letter.toUpperCase() : letter} ${server.selector}${to}${rest}`
}

const COMMAND = /^-([AaEeDd]) (-f \d+(?: -6)?|(?:-t|-u|--sctp-service) \S+)(?: -r (\S+))?(?: (.*))?$/

/** One line of either direction; `undefined` for what is not in this language. */
export function parseCommand(line: string): ServerCommand | undefined {
  const match = COMMAND.exec(line.trimEnd())
  if (match === null) return undefined
  const [, letter = '', selector = '', server, text = ''] = match
  const verb = ({ a: 'add', e: 'edit', d: 'delete' } as const)[letter.toLowerCase() as 'a' | 'e' | 'd']
  if (letter === letter.toUpperCase()) return { verb, server: virtualServerAs(selector, text) }
  if (server === undefined) return undefined
  const weight = Number(/(?:^| )-w (\d+)/.exec(text)?.[1] ?? 1)
  const real = realServer(selector, server, { weight, drainSeconds: undefined })
  // Forwarding methods other than NAT stay visible, so that a server that differs is corrected.
  return { verb, server: text === '' || text.startsWith('-m ') ? real : { ...real, text } }
}

/** Every server of `ipvsadm --save -n`, in its order; lines that are not understood are left out. */
export function parseSavedServers(text: string): readonly (VirtualServer | RealServer)[] {
  return text.split('\n').flatMap((line) => {
    const command = parseCommand(line)
    return command?.verb === 'add' ? [command.server] : []
  })
}
