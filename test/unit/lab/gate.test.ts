import { Gate } from '../../../src/lab/gate.ts'

describe('Gate', () => {
  it('lets only so many through at once, and the rest in order', async () => {
    const gate = new Gate(2)
    const begun: number[] = []
    const finish: (() => void)[] = []
    const passes = [0, 1, 2, 3].map((i) =>
      gate.pass(async () => {
        begun.push(i)
        await new Promise<void>((resolve) => (finish[i] = resolve))
        return i
      }),
    )
    expect(begun).toEqual([0, 1])
    finish[1]!()
    await passes[1]
    expect(begun).toEqual([0, 1, 2])
    finish[0]!()
    await passes[0]
    expect(begun).toEqual([0, 1, 2, 3])
    finish[2]!()
    finish[3]!()
    expect(await Promise.all(passes)).toEqual([0, 1, 2, 3])
  })

  it('lets the next one through after work that failed', async () => {
    const gate = new Gate(1)
    const failing = gate.pass(() => Promise.reject(new Error('no')))
    const next = gate.pass(() => Promise.resolve('yes'))
    await expect(failing).rejects.toThrow('no')
    await expect(next).resolves.toBe('yes')
  })
})
