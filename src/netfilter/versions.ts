/** The oldest programs and kernels that have what the modes use. */

/** nftables mode uses maps whose keys hold a drawn number, which nft 0.9.8 refuses (1.0.2 by its source), and intervals. */
export const OLDEST_NFT = [1, 0, 6] as const
/** nftables mode, as kube-proxy asks for it. */
export const OLDEST_NFTABLES_KERNEL = [5, 13] as const

/** `text`: what a program or `uname -r` prints; its first number with dots is the version, without one it is 0. */
export function isOlder(text: string, oldest: readonly number[]): boolean {
  const parts = (/\d+(?:\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number)
  for (const [i, wanted] of oldest.entries()) {
    const part = parts[i] ?? 0
    if (part !== wanted) return part < wanted
  }
  return false
}
