/** The oldest programs and kernels that have what the modes use. */

/** nftables mode, as kube-proxy asks for them. */
export const OLDEST_NFT = [1, 0, 1] as const
export const OLDEST_NFTABLES_KERNEL = [5, 13] as const
/** Takes a drawn number as part of a map's key: 1.0.6 does, 0.9.8 does not, and by its source 1.0.2 does not. */
export const OLDEST_NFT_WITH_NUMBERS_IN_KEYS = [1, 0, 6] as const

/** `text`: what a program or `uname -r` prints; its first number with dots is the version, without one it is 0. */
export function isOlder(text: string, oldest: readonly number[]): boolean {
  const parts = (/\d+(?:\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number)
  for (const [i, wanted] of oldest.entries()) {
    const part = parts[i] ?? 0
    if (part !== wanted) return part < wanted
  }
  return false
}
