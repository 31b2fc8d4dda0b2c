/**
 * One owner for every address, protocol and port: the oldest Service, then the first by name. The others keep the rest
 * of their frontends, and take over when the owner goes.
 *
 * Claims are kept between calls, and only what shares an address and port with a changed claim is looked at again.
 * A range claims all its ports; it overlaps with single ports and other ranges on its address. NodePorts are claimed
 * apart from addresses: an exact address is always looked up before the NodePorts.
 */
import type { ServicePortKey } from '../model/service-port.ts'
import type { Port } from '../net/protocol.ts'
import type { Claimant } from './conflict.ts'
import type { Frontend } from './forwarding.ts'

interface Claim {
  readonly claimant: Claimant
  readonly frontend: Frontend
}

/** Lost frontends of one service port, with who owns them. */
export type Losses = ReadonlyMap<Frontend, ServicePortKey>

const NO_LOSSES: Losses = new Map<Frontend, ServicePortKey>()

export class AddressClaims {
  readonly #claims = new Map<ServicePortKey, readonly Claim[]>()
  /** By protocol, address and port; claims of a single port only. */
  readonly #singles = new Map<string, Claim | Claim[]>()
  /** By protocol and address; claims of a range only. */
  readonly #ranges = new Map<string, Claim[]>()
  readonly #losses = new Map<ServicePortKey, Map<Frontend, ServicePortKey>>()
  /** Claims that share something with one that changed since the last `settle`. */
  readonly #unsettled = new Set<Claim>()

  /** What this service port claims from now on. */
  set(claimant: Claimant, frontends: readonly Frontend[]): void {
    const { key } = claimant.port
    this.withdraw(key)
    if (frontends.length === 0) return
    const claims = frontends.map((frontend) => ({ claimant, frontend }))
    this.#claims.set(key, claims)
    for (const claim of claims) this.#add(claim)
    for (const claim of claims) this.#unsettle(claim)
  }

  withdraw(key: ServicePortKey): void {
    const claims = this.#claims.get(key) ?? []
    this.#claims.delete(key)
    this.#losses.delete(key)
    for (const claim of claims) this.#remove(claim)
    for (const claim of claims) this.#unsettle(claim)
    for (const claim of claims) this.#unsettled.delete(claim)
  }

  lossesOf(key: ServicePortKey): Losses {
    return this.#losses.get(key) ?? NO_LOSSES
  }

  /** Decides anew about everything that may have changed; returns the service ports whose losses may differ. */
  settle(): ReadonlySet<ServicePortKey> {
    const changed = new Set<ServicePortKey>()
    const pending = new Set(this.#unsettled)
    this.#unsettled.clear()
    for (const claim of pending) {
      if (!pending.has(claim)) continue
      const group = this.#groupOf(claim)
      for (const member of group) {
        pending.delete(member)
        changed.add(member.claimant.port.key)
      }
      this.#award(group)
    }
    return changed
  }

  /** In order of right, each gets what nobody before it got. */
  #award(group: readonly Claim[]): void {
    const owners: Claim[] = []
    for (const claim of [...group].sort(byRight)) {
      const owner = owners.find((other) => overlaps(other.frontend, claim.frontend))
      if (owner === undefined) owners.push(claim)
      this.#note(claim, owner?.claimant.port.key)
    }
  }

  #note({ claimant, frontend }: Claim, owner: ServicePortKey | undefined): void {
    const { key } = claimant.port
    const losses = this.#losses.get(key)
    if (owner === undefined) {
      losses?.delete(frontend)
      if (losses?.size === 0) this.#losses.delete(key)
    } else if (losses === undefined) this.#losses.set(key, new Map([[frontend, owner]]))
    else losses.set(frontend, owner)
  }

  #unsettle(claim: Claim): void {
    for (const member of this.#groupOf(claim)) this.#unsettled.add(member)
  }

  /** Everything whose fate hangs together with this claim: its port, or all ranges of its address and what is in them. */
  #groupOf(claim: Claim): readonly Claim[] {
    const { frontend } = claim
    const ranges = this.#ranges.get(addressOf(claim)) ?? []
    const touched = ranges.some((range) => overlaps(range.frontend, frontend)) || isRange(frontend)
    if (!touched) return this.#singlesAt(claim, frontend.port)
    const singles = new Set<Claim>()
    for (const range of isRange(frontend) ? [...ranges, claim] : ranges)
      for (let port = range.frontend.port; port <= lastOf(range.frontend); port++)
        for (const single of this.#singlesAt(claim, port)) singles.add(single)
    return [...ranges, ...singles]
  }

  #singlesAt(claim: Claim, port: Port): readonly Claim[] {
    const found = this.#singles.get(`${addressOf(claim)} ${port}`)
    if (found === undefined) return []
    return Array.isArray(found) ? found : [found]
  }

  #add(claim: Claim): void {
    const address = addressOf(claim)
    if (isRange(claim.frontend)) {
      this.#ranges.set(address, [...(this.#ranges.get(address) ?? []), claim])
      return
    }
    const slot = `${address} ${claim.frontend.port}`
    const known = this.#singles.get(slot)
    if (known === undefined) this.#singles.set(slot, claim)
    else this.#singles.set(slot, Array.isArray(known) ? [...known, claim] : [known, claim])
  }

  #remove(claim: Claim): void {
    const address = addressOf(claim)
    if (isRange(claim.frontend)) {
      const rest = (this.#ranges.get(address) ?? []).filter((one) => one !== claim)
      if (rest.length === 0) this.#ranges.delete(address)
      else this.#ranges.set(address, rest)
      return
    }
    const slot = `${address} ${claim.frontend.port}`
    const rest = this.#singlesAt(claim, claim.frontend.port).filter((one) => one !== claim)
    const [only] = rest
    if (only === undefined) this.#singles.delete(slot)
    else this.#singles.set(slot, rest.length === 1 ? only : rest)
  }
}

function addressOf({ claimant, frontend }: Claim): string {
  return `${claimant.port.protocol} ${frontend.ip ?? 'node'}`
}

function isRange(frontend: Frontend): boolean {
  return frontend.lastPort !== undefined
}

function lastOf(frontend: Frontend): Port {
  return frontend.lastPort ?? frontend.port
}

/** Of two frontends on one address. */
function overlaps(a: Frontend, b: Frontend): boolean {
  return a.port <= lastOf(b) && b.port <= lastOf(a)
}

function byRight(a: Claim, b: Claim): number {
  if (a.claimant.createdMs !== b.claimant.createdMs) return a.claimant.createdMs - b.claimant.createdMs
  return (
    compareText(a.claimant.port.service, b.claimant.port.service) ||
    compareText(a.claimant.port.key, b.claimant.port.key) ||
    a.frontend.port - b.frontend.port
  )
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
