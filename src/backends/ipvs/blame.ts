/** Which service port a refused line of a script is about. */
import { setElement } from '../../netfilter/ipset/ipset.ts'
import { parseCommand } from '../../netfilter/ipvs/command.ts'
import { parseIp } from '../../net/ip.ts'

/** The key of the object in one line for `ipset`, `ipvsadm` or `ip`; `undefined` for any other line. */
export function blamedKey(line: string): string | undefined {
  const command = parseCommand(line)
  if (command !== undefined) return command.server.key
  const element = /^(?:add|del) (\S+) (\S+)/.exec(line)
  if (element?.[1] !== undefined && element[2] !== undefined) return setElement(element[1], element[2]).key
  const route = /^route \w+ local ([^/ ]+)\//.exec(line)
  const ip = route?.[1] === undefined ? undefined : parseIp(route[1])
  return ip && `local ${ip}`
}
