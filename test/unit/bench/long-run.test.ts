import { sortedNftables, sortedRules, sortedSets } from '../../../bench/kernel-dump.ts'
import { liveHeaps, memoryVerdict } from '../../../bench/memory-growth.ts'
import { RandomCluster } from '../../../bench/random-cluster.ts'

describe('RandomCluster', () => {
  test('makes the same changes for the same seed, and others for another', () => {
    const changes = (seed: number) => {
      const cluster = new RandomCluster(20, seed)
      return Array.from({ length: 50 }, () => cluster.change())
    }
    expect(changes(1)).toEqual(changes(1))
    expect(changes(1)).not.toEqual(changes(2))
  })

  test('tells by its changes all that differs', () => {
    const cluster = new RandomCluster(20, 3)
    const key = ({ kind, name }: { kind: string; name: string }): string => `${kind} ${name}`
    const stored = new Map(
      cluster.objects().map((one) => [key({ kind: one.kind, name: one.metadata.name }), one]),
    )
    for (let i = 0; i < 500; i++) {
      const { put, remove } = cluster.change()
      for (const one of put) stored.set(key({ kind: one.kind, name: one.metadata.name }), one)
      for (const one of remove) stored.delete(key(one))
    }
    const now = new Map(
      cluster.objects().map((one) => [key({ kind: one.kind, name: one.metadata.name }), one]),
    )
    expect(Object.fromEntries(stored)).toEqual(Object.fromEntries(now))
  })
})

describe('memoryVerdict()', () => {
  const steady = Array.from({ length: 100 }, (_, i) => 50 + (i % 3))
  test.each([
    ['a steady process', steady, false],
    ['a process that was small at first', [...Array<number>(20).fill(10), ...steady], false],
    ['a process that grows', Array.from({ length: 100 }, (_, i) => 50 + i), true],
  ])('of %s', (_, samples, grows) => {
    expect(memoryVerdict(samples).grows).toBe(grows)
  })

  test('liveHeaps() reads what Node prints of full collections alone', () => {
    const log = [
      '[1:0x1]    30 ms: Scavenge 4.0 (5.2) -> 3.5 (6.2) MB, pooled: 0 MB, 0.5 / 0.0 ms',
      '[1:0x1]    61 ms: Mark-Compact 40.1 (60.2) -> 31.5 (61.0) MB, pooled: 1 MB, 9.5 / 0.0 ms',
    ]
    expect(liveHeaps(log.join('\n'))).toEqual([31.5])
  })
})

describe('dumps of the kernel', () => {
  test('sortedRules() keeps the order within chains, and neither counters nor empty tables', () => {
    const one =
      '*nat\n:PREROUTING ACCEPT [1:2]\n:A - [0:0]\n:B - [0:0]\n-A B -j C\n-A A -j X\n-A A -j Y\nCOMMIT\n'
    const two =
      '*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\n:B - [9:9]\n:A - [0:0]\n-A A -j X\n-A A -j Y\n-A B -j C\nCOMMIT\n'
    const three = two.replace('-A A -j X\n-A A -j Y', '-A A -j Y\n-A A -j X')
    expect(sortedRules('p', one)).toBe(sortedRules('p', two))
    expect(sortedRules('p', three)).not.toBe(sortedRules('p', two))
  })

  test('sortedSets() leaves out how a hash came about', () => {
    expect(sortedSets('create S hash:ip hashsize 1024 initval 0x1\nadd S 2\nadd S 1\n')).toBe(
      sortedSets('create S hash:ip hashsize 64 initval 0x2\nadd S 1\nadd S 2\n'),
    )
  })

  test('sortedNftables() sorts elements, and leaves out handles and counters', () => {
    const listing = (elem: readonly string[], handle: number): string =>
      JSON.stringify({
        nftables: [
          { metainfo: { version: '1' } },
          { map: { family: 'ip', table: 't', name: 'm', handle, elem } },
          {
            rule: { family: 'ip', table: 't', chain: 'c', handle, expr: [{ counter: { packets: handle } }] },
          },
        ],
      })
    expect(sortedNftables(listing(['a', 'b'], 1))).toBe(sortedNftables(listing(['b', 'a'], 2)))
    expect(sortedNftables(listing(['a'], 1))).not.toBe(sortedNftables(listing(['b'], 1)))
  })
})
