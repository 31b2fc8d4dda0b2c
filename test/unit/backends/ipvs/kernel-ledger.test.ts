import { KernelLedger } from '../../../../src/backends/ipvs/kernel-ledger.ts'
import type { IpvsObject } from '../../../../src/backends/ipvs/plan-port.ts'
import { ipSetAs, setElement } from '../../../../src/netfilter/ipset/ipset.ts'
import { type TableRow, sumOf } from '../../../../src/netfilter/ipvs/server-table.ts'
import { realServer, virtualServerAs } from '../../../../src/netfilter/ipvs/virtual-server.ts'

const VIP = '-t 172.30.0.1:80'
const MARK = '-f 1610612737'
const virtual = (selector: string, scheduler = 'rr') => virtualServerAs(selector, `-s ${scheduler}`)
const real = (server: string, { selector = VIP, weight = 1 } = {}) =>
  realServer(selector, server, { weight, drainSeconds: undefined })
const SET = ipSetAs('KUBE-CLUSTER-IP', 'hash:ip,port')
const element = (name: string) => setElement(SET.name, name)

const A = real('10.0.0.1:80')
const B = real('10.0.0.2:80')
const OBJECTS: readonly IpvsObject[] = [SET, element('a'), element('b'), virtual(VIP), A, B, virtual(MARK)]

function ledger(): KernelLedger {
  const made = new KernelLedger()
  made.observed(OBJECTS)
  return made
}

const row = (selector: string, servers: readonly (typeof A)[], choice = 'rr'): TableRow => ({
  selector,
  choice,
  servers: servers.reduce((sum, server) => (sum + sumOf(server)) >>> 0, 0),
})
const none = { created: [], updated: [], removed: [] }

describe('KernelLedger', () => {
  test('says nothing before it knows, and after it has forgotten', () => {
    expect(new KernelLedger().isKnown).toBe(false)
    const known = ledger()
    expect(known.isKnown).toBe(true)
    known.forget()
    expect(known.isKnown).toBe(false)
    known.written(none, [])
    expect(known.isKnown).toBe(true)
  })

  test('finds what was observed to be right, beside virtual servers of others', () => {
    expect(ledger().wrongServer([row('-t 10.9.9.9:80', []), row(VIP, [B, A])])).toBeUndefined()
    expect(
      ledger().wrongSet(
        new Map([
          ['KUBE-CLUSTER-IP', 2],
          ['OTHER', 9],
        ]),
      ),
    ).toBeUndefined()
  })

  test.each<[string, readonly TableRow[], string]>([
    ['a missing one', [], '1 of 1 virtual servers are missing'],
    ['a missing real server', [row(VIP, [A])], `virtual server "${VIP}" has other real servers`],
    [
      'another weight',
      [row(VIP, [A, real('10.0.0.2:80', { weight: 2 })])],
      `virtual server "${VIP}" has other real servers`,
    ],
    ['another scheduler', [row(VIP, [A, B], 'lc')], `virtual server "${VIP}" has other options: lc`],
  ])('names the virtual server that is wrong: %s', (_name, rows, what) => {
    expect(ledger().wrongServer(rows)).toBe(what)
  })

  test.each<[string, ReadonlyMap<string, number | undefined>, string | undefined]>([
    ['that is missing', new Map(), 'set KUBE-CLUSTER-IP is missing'],
    [
      'that has other elements',
      new Map([['KUBE-CLUSTER-IP', 1]]),
      'set KUBE-CLUSTER-IP has 1 elements, not 2',
    ],
    ['whose size the kernel does not tell', new Map([['KUBE-CLUSTER-IP', undefined]]), undefined],
  ])('judges a set %s', (_name, sizes, what) => {
    expect(ledger().wrongSet(sizes)).toBe(what)
  })

  test('follows changes, and the commands where they say something else', () => {
    const known = ledger()
    const heavy = real('10.0.0.1:80', { weight: 7 })
    known.written(
      {
        created: [element('c'), virtual('-u 172.30.0.2:53', 'ovf')],
        updated: [
          { from: A, to: heavy },
          { from: virtual(VIP), to: virtual(VIP, 'lc') },
        ],
        removed: [B, element('a'), element('b')],
      },
      ['-A -u 172.30.0.2:53 -s rr\n', `-E ${VIP} -s lc\n`],
    )
    expect(known.wrongServer([row(VIP, [heavy], 'lc'), row('-u 172.30.0.2:53', [])])).toBeUndefined()
    expect(known.wrongSet(new Map([['KUBE-CLUSTER-IP', 1]]))).toBeUndefined()
  })

  test.each([0, 1])('forgets servers with their virtual server, in any order (%i)', (turn) => {
    const known = ledger()
    const removed: IpvsObject[] = [virtual(VIP), A, B, SET, element('a'), element('b')]
    known.written({ ...none, removed: turn === 0 ? removed : removed.toReversed() }, [])
    expect(known.wrongServer([])).toBeUndefined()
    expect(known.wrongSet(new Map())).toBeUndefined()
  })
})
