import { resultTable } from '../../../../src/lab/demo/demo-result.ts'
import { aReport, aResult } from './reports.ts'

describe('demoResult()', () => {
  it('counts being refused while there is no pod apart, and nothing else', () => {
    const result = aResult((tally) => {
      tally.beginPhase('scale-to-zero', 100)
      tally.beginPhase('calm', 200)
      const failed = [
        [110, 'ECONNREFUSED'],
        [120, 'timeout'],
        [210, 'ECONNREFUSED'],
      ] as const
      tally.add('outside', aReport({ atMs: 300, answered: { a: 5 }, failed }))
    })
    expect(result.refusedAtZero).toBe(1)
    expect(result.connections.outside).toEqual({ total: 7, failed: 2 })
    expect(result.failedByPhase).toEqual({ 'scale-to-zero': 1, calm: 1 })
    expect(result.failedByReason).toEqual({ timeout: 1, ECONNREFUSED: 1 })
  })

  const killAt = (killKnownMs: number | undefined) =>
    aResult(
      (tally) => {
        tally.announce('slow', 100)
        tally.add('pod', aReport({ atMs: 150, answered: { slow: 1 } }))
        tally.beginPhase('kill', 1000)
        const failed = [1000, 1500, 1549, 1551].map((atMs): [number, string] => [atMs, 'timeout'])
        tally.add('pod', aReport({ atMs: 3600, failed }))
      },
      { killKnownMs },
    )

  it('blames the proxy for a dead endpoint only after the API told of it and the propagation passed', () => {
    expect(killAt(1500).failedAfterKillWasKnown).toBe(1)
    expect(killAt(1501).failedAfterKillWasKnown).toBe(0)
    expect(killAt(900).failedAfterKillWasKnown).toBe(4)
    expect(killAt(undefined).failedAfterKillWasKnown).toBe(0)
  })

  it('rounds the propagation to milliseconds, and has none when nothing changed', () => {
    const changed = aResult((tally) => {
      tally.announce('a', 100)
      tally.add('pod', aReport({ atMs: 150, answered: { a: 1 }, firstMs: 120.6 }))
    })
    expect(changed.propagationMs).toEqual({ p50: 21, p99: 21, max: 21 })
    expect(aResult().propagationMs).toEqual({ p50: null, p99: null, max: null })
  })

  it('survives being written as JSON without losing anything', () => {
    const result = aResult((tally) => tally.add('node', aReport({ atMs: 10, answered: { a: 1, b: 2 } })))
    expect(JSON.parse(JSON.stringify(result))).toEqual(result)
    expect(result.distribution).toEqual({ b: 2, a: 1 })
  })
})

describe('resultTable()', () => {
  it('has one aligned line per fact', () => {
    const result = aResult((tally) => tally.add('pod', aReport({ atMs: 10, answered: { a: 8 } })))
    const lines = resultTable(result).split('\n')
    const column = lines[0]!.indexOf('iptables, bridge (host kernel)')
    expect(column).toBeGreaterThan(0)
    for (const line of lines) expect(line.slice(column - 2, column + 1)).toMatch(/^ {2}\S$/)
    expect(lines).toContainEqual(expect.stringMatching(/connections from a pod \(ClusterIP\) +8, failed 0$/))
    expect(lines).toContainEqual(expect.stringMatching(/first connection +nothing changed$/))
    expect(lines).toContainEqual(expect.stringMatching(/first answer +1235 ms$/))
  })
})
