import { Tally } from '../../../../src/lab/demo/tally.ts'
import { barLines, bars, TerminalView } from '../../../../src/lab/demo/terminal-view.ts'
import { aReport } from './reports.ts'

function aView({ isTerminal }: { readonly isTerminal: boolean }) {
  const written: string[] = []
  const time = { nowMs: 10_000 }
  const view = new TerminalView({ write: (text) => written.push(text), isTerminal, now: () => time.nowMs })
  return { view, written, time }
}

describe('TerminalView', () => {
  it('writes a plain line every two seconds when the output is not a terminal', () => {
    const { view, written, time } = aView({ isTerminal: false })
    const tally = new Tally()
    tally.add('pod', aReport({ atMs: 9900, answered: { a: 3, b: 1 }, failed: [[9800, 'timeout']] }))
    for (const nowMs of [10_000, 10_100, 11_900, 12_000]) {
      time.nowMs = nowMs
      view.show(tally)
    }
    expect(written).toEqual([
      '  all pods at rest: 5 connections so far, 1 failed, 2 pods answering\n',
      '  all pods at rest: 5 connections so far, 1 failed, 0 pods answering\n',
    ])
  })

  it('redraws in place on a terminal, and below whatever was said in between', () => {
    const { view, written, time } = aView({ isTerminal: true })
    const tally = new Tally()
    tally.add('pod', aReport({ atMs: 9900, answered: { a: 3 } }))
    view.show(tally)
    time.nowMs += 250
    view.show(tally)
    const height = written[0]!.split('\n').length - 1
    expect(written[0]).not.toContain('\x1b')
    expect(written[1]!.startsWith(`\x1b[${height}A\x1b[J`)).toBe(true)
    view.say('a word')
    time.nowMs += 250
    view.show(tally)
    expect(written[3]).not.toContain('\x1b')
  })

  it('tells what happens and how long the kernel took to follow', () => {
    const { view, written } = aView({ isTerminal: true })
    const tally = new Tally()
    tally.beginPhase('kill', 9000)
    tally.announce('b', 9500)
    tally.add('pod', aReport({ atMs: 9540, answered: { b: 1 }, firstMs: 9530 }))
    view.show(tally)
    expect(written[0]).toContain('one pod was killed without warning')
    expect(written[0]).toContain('last new endpoint: b, first connection 30 ms after the API named it')
  })
})

describe('bars()', () => {
  it('shows the pods of the last second only, by name', () => {
    const tally = new Tally()
    tally.add('pod', aReport({ atMs: 5000, answered: { old: 9 } }))
    tally.add('pod', aReport({ atMs: 9000, answered: { b: 1, a: 2 } }))
    tally.add('node', aReport({ atMs: 9900, answered: { a: 2 } }))
    expect(bars(tally, 10_000).map((line) => line.replace(/█+/, '#'))).toEqual(['  a  # 4', '  b  # 1'])
  })
})

describe('barLines()', () => {
  it('scales to the largest, aligns the names, and shows a bar for however little', () => {
    const lines = barLines([
      ['web-1', 400],
      ['b', 1],
      ['web-22', 200],
    ])
    expect(lines.map((line) => [line.indexOf('█'), line.match(/█/g)!.length])).toEqual([
      [10, 40],
      [10, 1],
      [10, 20],
    ])
    expect(barLines([])).toEqual([])
  })
})
