/** Devices, addresses and local routes through the program `ip`. */
import {
  type BoundAddress,
  type LocalRoute,
  boundAddress,
  localRoute,
} from '../netfilter/ipvs/local-route.ts'
import { type Family, type Ip, familyOf, parseIp } from '../net/ip.ts'
import type { Exec } from './exec.ts'
import { runOrThrow } from './iptables.ts'

export interface DeviceView {
  /** `undefined`: there is no such device. */
  readonly state: 'up' | 'down' | undefined
  /** Addresses on the device. */
  readonly bound: readonly BoundAddress[]
  /** Addresses on all other devices. */
  readonly others: ReadonlySet<Ip>
}

interface LinkJson {
  readonly ifname?: string
  readonly flags?: readonly string[]
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[]
}

interface RouteJson {
  readonly type?: string
  readonly dst?: string
  readonly prefsrc?: string
  readonly protocol?: string
}

export class IpLink {
  readonly #exec: Exec

  constructor(exec: Exec) {
    this.#exec = exec
  }

  /** Link-local addresses are left out. Throws `KernelError`. */
  async view(device: string, family: Family, signal: AbortSignal): Promise<DeviceView> {
    const request = { file: 'ip', args: ['-j', 'address', 'show'], signal }
    const { stdout } = await runOrThrow(this.#exec, request, 'Cannot read interface addresses')
    const links = JSON.parse(stdout === '' ? '[]' : stdout) as readonly LinkJson[]
    const addressesOf = (link: LinkJson) =>
      (link.addr_info ?? []).flatMap(({ local = '', scope }) => {
        const ip = parseIp(local)
        return ip === undefined || scope === 'link' || familyOf(ip) !== family ? [] : [ip]
      })
    const own = links.find(({ ifname }) => ifname === device)
    const isUp = own?.flags?.includes('UP') === true
    return {
      state: own === undefined ? undefined : isUp ? 'up' : 'down',
      bound: own === undefined ? [] : addressesOf(own).map(boundAddress),
      others: new Set(links.filter((link) => link !== own).flatMap(addressesOf)),
    }
  }

  /** The `local` routes on a device, without those that come with its addresses. Throws `KernelError`. */
  async localRoutes(device: string, family: Family, signal: AbortSignal): Promise<readonly LocalRoute[]> {
    const flag = family === 'IPv4' ? '-4' : '-6'
    const args = [flag, '-j', 'route', 'show', 'table', 'local', 'dev', device]
    const { stdout } = await runOrThrow(this.#exec, { file: 'ip', args, signal }, 'Cannot read routes')
    const routes = JSON.parse(stdout === '' ? '[]' : stdout) as readonly RouteJson[]
    return routes.flatMap(({ type, dst = '', prefsrc, protocol }) => {
      const ip = parseIp(dst)
      if (ip === undefined || type !== 'local' || protocol === 'kernel' || ip.startsWith('fe80:')) return []
      return [localRoute(ip, prefsrc === undefined ? undefined : parseIp(prefsrc))]
    })
  }

  /** Whether a packet to this address stays on the node by our device. */
  async isLocal(ip: Ip, device: string, signal: AbortSignal): Promise<boolean> {
    const request = { file: 'ip', args: ['route', 'get', ip], signal }
    const { exitCode, stdout } = await this.#exec.run(request)
    // IPv4 tells the loopback device instead, as that is the way that such packets take.
    return (
      exitCode === 0 && /^local /.test(stdout) && (stdout.includes(device) || stdout.includes(' dev lo '))
    )
  }
}
