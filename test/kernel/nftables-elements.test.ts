/** Elements that are written by netlink are those that nft would have written: the kernel's own list says so. */
import { NetNamespace } from '../support/net-namespace.ts'

const ENTRY = `${import.meta.dirname}/../support/nft-element-writer.ts`
const SEQUENCES = 15

let namespace: NetNamespace

beforeEach(async () => {
  namespace = await NetNamespace.create()
})
afterEach(async () => namespace.close())

interface Outcome {
  readonly byNetlink: number
  readonly byNft: number
  readonly refused: readonly string[]
  readonly failure: string | null
}

test.each(['IPv4', 'IPv6'])(
  'NftElements.write() leaves what was planned, whatever is decided (%s)',
  async (family) => {
    const args = ['--disable-warning=ExperimentalWarning', ENTRY, family, String(SEQUENCES)]
    const outcome = JSON.parse(await namespace.run(process.execPath, args)) as Outcome
    expect(outcome.failure).toBeNull()
    expect(outcome.refused).toEqual([])
    expect(outcome.byNetlink).toBeGreaterThan(10 * SEQUENCES)
    // Intervals.
    expect(outcome.byNft).toBeGreaterThan(0)
    expect(outcome.byNft).toBeLessThan(outcome.byNetlink)
  },
)
