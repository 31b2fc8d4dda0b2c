/** What somebody wants explained, as written on the command line. */
import { type Ip, parseIp } from '../net/ip.ts'
import type { Port } from '../net/protocol.ts'

export type Subject =
  | { readonly by: 'address'; readonly ip: Ip; readonly port: Port }
  /** Without a namespace: the one called `default`, else the only one that has a Service of this name. */
  | {
      readonly by: 'service'
      readonly namespace: string | undefined
      readonly name: string
      /** Name or number of one port. */
      readonly port: string | undefined
    }

/** `namespace/name`, `name`, either with `:port`, or `IP:port` with brackets around IPv6. Otherwise `undefined`. */
export function parseSubject(text: string): Subject | undefined {
  const address = /^(?:\[(.+)\]|([\d.]+)):(\d{1,5})$/.exec(text)
  if (address !== null) {
    const ip = parseIp(address[1] ?? address[2] ?? '')
    const port = Number(address[3])
    return ip === undefined || port < 1 || port > 65535 ? undefined : { by: 'address', ip, port }
  }
  if (parseIp(text) !== undefined) return undefined
  const service = /^(?:([a-z0-9][a-z0-9-]*)\/)?([a-z0-9][a-z0-9.-]*)(?::([A-Za-z0-9-]+))?$/.exec(text)
  if (service === null) return undefined
  const [, namespace, name = '', port] = service
  return { by: 'service', namespace, name, port }
}

export const SUBJECT_USAGE = 'write NAMESPACE/SERVICE, NAMESPACE/SERVICE:PORT or IP:PORT ([IPv6]:PORT)'
