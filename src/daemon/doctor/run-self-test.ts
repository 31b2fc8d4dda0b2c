/** Makes the connections of the self-test, one after the other, from the network of this process. */
import { type Attempt, type Target, type Tried, arrived, isAt } from '../../explain/doctor/self-test.ts'
import { tryConnection, type TryOptions } from './try-connection.ts'

/** Endpoints are drawn by chance, so it takes some connections to meet those on other nodes. */
const PER_ENDPOINT = 4
const MOST_THROUGH = 24
/** So many good ones say what more would say. */
const ENOUGH = 3

export async function runSelfTest(
  targets: readonly Target[],
  options: TryOptions,
): Promise<readonly Tried[]> {
  const tried: Tried[] = []
  for (const target of targets) tried.push(await tryTarget(target, options))
  return tried
}

async function tryTarget(target: Target, options: TryOptions): Promise<Tried> {
  const direct: { endpoint: Target['remote'][number]; attempt: Attempt }[] = []
  for (const endpoint of target.remote)
    direct.push({ endpoint, attempt: await tryConnection(target, endpoint, options) })
  const good = direct.filter(({ attempt }) => arrived(attempt)).map(({ endpoint }) => endpoint)
  const through: Attempt[] = []
  const most = good.length === 0 ? 0 : Math.min(MOST_THROUGH, PER_ENDPOINT * target.pool)
  for (let met = 0; through.length < most && met < ENOUGH;) {
    const attempt = await tryConnection(target, target.service, options)
    through.push(attempt)
    if (!arrived(attempt)) break
    if (good.some((place) => isAt(attempt, place))) met++
  }
  return { target, direct, through }
}
