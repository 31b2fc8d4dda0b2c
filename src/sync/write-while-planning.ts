/**
 * A cold start on two processors: while the kernel takes one part of what has been planned, the next part is planned
 * and written down.
 */

/** Plans of slices (`plan-in-slices.ts`) that are one part: a few tenths of a second of work for the kernel. */
const PLANS_PER_PART = 24

export interface PartWriter<Plan> {
  /** Otherwise everything is written at once, when all is planned. */
  readonly inParts: boolean
  /** What brings the kernel from one plan (at first from what it has) to another; resolves to the deed. */
  readonly prepare: (want: Plan, before: Plan | undefined) => Promise<() => Promise<void>>
}

/**
 * `plans`: of a growing part of the whole, at least one. Resolves when the kernel has the last of them; rejects when a
 * part cannot be written, and writes none after it.
 */
export async function writeWhilePlanning<Plan>(
  plans: AsyncIterable<Plan>,
  { inParts, prepare }: PartWriter<Plan>,
): Promise<void> {
  let given: Plan | undefined
  let latest: Plan | undefined
  let planned = 0
  let written: Promise<void> = Promise.resolve()
  const state = { hasFailed: false }
  const give = async (want: Plan): Promise<void> => {
    const write = await prepare(want, given)
    given = want
    written = written.then(write)
    // Who waits for it is told below.
    written.catch(() => (state.hasFailed = true))
  }
  try {
    for await (latest of plans) {
      planned++
      if (state.hasFailed) break
      if (inParts && planned % PLANS_PER_PART === 0) await give(latest)
    }
    if (!state.hasFailed && latest !== undefined && given !== latest) await give(latest)
  } finally {
    // Whatever has happened: who comes next must not write beside it.
    await written.catch(() => undefined)
  }
  await written
}
