/** Free addresses of a Service CIDR and free node ports: given out in order, beginning in the upper band as Kubernetes does. */
import { type Cidr, cidrFamily, networkAddress, prefixLength } from '../../net/cidr.ts'
import { type Ip, ipBytes, ipFromBytes } from '../../net/ip.ts'

/** No more than this many addresses of a network are ever given out. */
const MAX_POOL = 1 << 24

/** The addresses of one network. It goes on looking where it last found one, so that many are found quickly. */
export class AddressPool {
  readonly #cidr: Cidr
  readonly #count: number
  #next: number

  constructor(cidr: Cidr) {
    const isIpv4 = cidrFamily(cidr) === 'IPv4'
    const hostBits = (isIpv4 ? 32 : 128) - prefixLength(cidr)
    const size = hostBits >= 24 ? MAX_POOL : 2 ** hostBits
    this.#cidr = cidr
    // The first address names the network; the last one of IPv4 is its broadcast address.
    this.#count = Math.max(0, size - (isIpv4 ? 2 : 1))
    this.#next = lowerBand(this.#count, { least: 16, most: 256, divisor: 16 })
  }

  /** A free address; `undefined` when none is left. */
  free(isTaken: (ip: Ip) => boolean): Ip | undefined {
    for (let i = 0; i < this.#count; i++) {
      const offset = (this.#next + i) % this.#count
      const ip = addressAt(this.#cidr, 1 + offset)
      if (!isTaken(ip)) {
        this.#next = offset
        return ip
      }
    }
    return undefined
  }
}

/** The first free port of the range, looking from its upper band on; `undefined` when none is left. */
export function freePort(
  range: { readonly from: number; readonly to: number },
  isTaken: (port: number) => boolean,
): number | undefined {
  const count = range.to - range.from + 1
  const band = lowerBand(count, { least: 16, most: 128, divisor: 32 })
  for (let i = 0; i < count; i++) {
    const port = range.from + ((band + i) % count)
    if (!isTaken(port)) return port
  }
  return undefined
}

/** How many are left for whoever asks for a certain one: KEP-3070 for addresses, KEP-3668 for ports. */
function lowerBand(count: number, rule: { least: number; most: number; divisor: number }): number {
  const { least, most, divisor } = rule
  return count < least ? 0 : Math.min(most, Math.max(least, Math.floor(count / divisor)))
}

function addressAt(cidr: Cidr, offset: number): Ip {
  const bytes = [...ipBytes(networkAddress(cidr))]
  let rest = offset
  for (let i = bytes.length - 1; i >= 0 && rest > 0; i--) {
    const sum = (bytes[i] ?? 0) + (rest & 0xff)
    bytes[i] = sum & 0xff
    rest = (rest >>> 8) + (sum >> 8)
  }
  return ipFromBytes(bytes)
}
