import { setImmediate as nextTurn } from 'node:timers/promises'
import { writeWhilePlanning } from '../../../src/sync/write-while-planning.ts'

/** Plans of 1, 2, … `count` things, noting in `events` when each is made. */
async function* plans(count: number, events: string[]): AsyncGenerator<number> {
  for (let size = 1; size <= count; size++) {
    await nextTurn()
    events.push(`planned ${size}`)
    yield size
  }
}

/** A kernel that takes `turns` turns of the event loop for each part, and refuses the part that ends at `refused`. */
function aKernel(turns: number, refused?: number) {
  const events: string[] = []
  const prepare = async (want: number, have = 0) =>
    Promise.resolve(async () => {
      for (let turn = 0; turn < turns; turn++) await nextTurn()
      if (want === refused) throw new Error('refused')
      events.push(`written ${have} to ${want}`)
    })
  return { events, prepare }
}

describe('writeWhilePlanning()', () => {
  test('gives part after part to the kernel while it goes on planning', async () => {
    const { events, prepare } = aKernel(3)
    await writeWhilePlanning(plans(60, events), { inParts: true, prepare })
    expect(events.filter((event) => event.startsWith('written'))).toEqual([
      'written 0 to 24',
      'written 24 to 48',
      'written 48 to 60',
    ])
    expect(events.indexOf('written 0 to 24')).toBeLessThan(events.indexOf('planned 60'))
    expect(events.indexOf('written 0 to 24')).toBeGreaterThan(events.indexOf('planned 25'))
  })

  test('writes one part at a time, however slow the kernel is', async () => {
    const { events, prepare } = aKernel(200)
    await writeWhilePlanning(plans(60, events), { inParts: true, prepare })
    expect(events.slice(-3)).toEqual(['written 0 to 24', 'written 24 to 48', 'written 48 to 60'])
  })

  test('writes all at once when it is not to write in parts', async () => {
    const { events, prepare } = aKernel(0)
    await writeWhilePlanning(plans(60, events), { inParts: false, prepare })
    expect(events.slice(-2)).toEqual(['planned 60', 'written 0 to 60'])
  })

  test.each([0, 200])(
    'rejects as the part did, and writes none after it (kernel takes %i turns)',
    async (turns) => {
      const { events, prepare } = aKernel(turns, 48)
      const writing = writeWhilePlanning(plans(120, events), { inParts: true, prepare })
      await expect(writing).rejects.toThrow('refused')
      expect(events.filter((event) => event.startsWith('written'))).toEqual(['written 0 to 24'])
    },
  )

  test('does not end before the last write does when a part cannot be prepared', async () => {
    const { events, prepare } = aKernel(200)
    const failing: typeof prepare = async (want, have) => {
      if (want === 48) throw new Error('contradiction')
      return prepare(want, have)
    }
    const writing = writeWhilePlanning(plans(60, events), { inParts: true, prepare: failing })
    await expect(writing).rejects.toThrow('contradiction')
    expect(events.at(-1)).toBe('written 0 to 24')
  })
})
