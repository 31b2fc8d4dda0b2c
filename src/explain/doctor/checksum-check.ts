/** Packets that a tunnel puts into UDP, and that reach the other node with a wrong checksum. */
import { isOlder } from '../../netfilter/versions.ts'
import { type Check, type LinkFact, type NodeFacts, ok, warning } from './node-facts.ts'

/** Tunnels whose outer packet is UDP, and so has a checksum that may be left out. */
const UDP_TUNNELS: ReadonlySet<string> = new Set(['vxlan', 'geneve'])
/** "netfilter: nat: never update the UDP checksum when it's 0". */
const FIXED_IN = [5, 7] as const
const UNREADABLE = 'whether network cards write checksums right cannot be read, only tried: --self-test'

/** The tunnels that are in use. */
export function udpTunnels(links: readonly LinkFact[]): readonly LinkFact[] {
  return links.filter(({ kind, up }) => up && UDP_TUNNELS.has(kind))
}

/**
 * Before Linux 5.7, translating the outer packet of a tunnel gave it a wrong checksum where the inner one is left to
 * the network card and the outer one is left out. It takes a rule that translates outer packets: we clear our mark
 * before we translate, so that the tunnel cannot copy it to them, but others may not.
 */
export const checksum: Check = {
  name: 'checksum',
  run(facts) {
    const tunnels = udpTunnels(facts.links)
    if (tunnels.length === 0) return ok('no tunnel puts packets into UDP')
    const rule = translatorOf(facts)
    if (rule === undefined)
      return ok(`no iptables rule translates what ${named(tunnels)} sends; ${UNREADABLE}`)
    if (!isOlder(facts.kernelRelease, FIXED_IN))
      return ok(
        `Linux ${facts.kernelRelease} keeps the checksums of what ${named(tunnels)} sends; ${UNREADABLE}`,
      )
    const spoilt = tunnels.filter(
      ({ name, outerChecksum }) => outerChecksum !== true && facts.checksumOffload.get(name) !== false,
    )
    if (spoilt.length === 0) return ok(`${named(tunnels)} computes its checksums itself; ${UNREADABLE}`)
    const unknown = spoilt.filter(({ name }) => !facts.checksumOffload.has(name))
    const guess =
      unknown.length === 0 ? '' : ` (if ${named(unknown)} leaves them to the card, which ethtool would tell)`
    return [
      warning(
        `Linux ${facts.kernelRelease} writes wrong checksums on what ${named(spoilt)} sends, unless its distribution has mended it, because it is translated again${guess}: ${rule}`,
        `${spoilt.map(({ name }) => checksumRemedy(name)).join(' && ')}, or delete that rule, or use Linux ${FIXED_IN.join('.')}`,
      ),
    ]
  },
}

/** Makes the kernel compute them. */
export function checksumRemedy(tunnel: string): string {
  return `ethtool -K ${tunnel} tx-checksum-ip-generic off`
}

/** By our mark, as kube-proxy did before 1.19, or every packet that leaves, with another port. */
function translatorOf({ settings, iptables }: NodeFacts): string | undefined {
  const mark = `0x${(2 ** settings.masqueradeBit).toString(16)}`
  const byMark = new RegExp(`^-A \\S+ .*--mark ${mark}/${mark} -j MASQUERADE`)
  const all = /^-A POSTROUTING(?!.* (?:-s|--mark) ).* -j MASQUERADE.* --random/
  return `${iptables.nft}\n${iptables.legacy}`.split('\n').find((line) => byMark.test(line) || all.test(line))
}

function named(links: readonly LinkFact[]): string {
  return links.map(({ name }) => name).join(', ')
}
