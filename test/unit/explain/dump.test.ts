import { stringify } from 'yaml'
import { answerText } from '../../../src/cli/answer-output.ts'
import { DUMPS, dumpRows } from '../../../src/explain/dump.ts'
import { differenceRows } from '../../../src/explain/state-difference.ts'
import { textTable } from '../../../src/explain/text-table.ts'
import { aService, aSlice } from '../../support/builders.ts'
import { aProxyView } from '../../support/proxy-view.ts'

const VIEW = aProxyView([
  aService('shop/web').clusterIp('172.30.0.1').port(80).sourceRanges('10.0.0.0/8').build(),
  aService('dev/thief').clusterIp('172.30.0.9').port(80).externalIp('172.30.0.1', 'nonsense').build(),
  aSlice('shop/web').port(8080).endpoint('10.244.0.5', { on: 'node-a' }).build(),
])

describe('dumpRows()', () => {
  test('forwarding has one row per frontend with the answer for each sender', () => {
    expect(dumpRows('forwarding', VIEW)).toMatchObject([
      { servicePort: 'dev/thief:/TCP', pod: 'reject', clusterEndpoints: 0 },
      {
        servicePort: 'shop/web:/TCP',
        family: 'IPv4',
        kind: 'ClusterIP',
        address: '172.30.0.1:80/TCP',
        pod: 'cluster',
        external: 'cluster+masquerade',
        clusterEndpoints: 1,
      },
    ])
  })

  test('plan names for each kernel object what it was made for', () => {
    const rows = dumpRows('plan', VIEW)
    expect(rows.some(({ fragment, kind }) => fragment === 'port shop/web:/TCP' && kind === 'chain')).toBe(
      true,
    )
    expect(rows.some(({ fragment }) => fragment === 'node')).toBe(true)
  })

  test('endpoints says which are in and why', () => {
    expect(dumpRows('endpoints', VIEW)).toMatchObject([
      {
        endpoint: '10.244.0.5:8080',
        node: 'node-a',
        state: 'ready',
        clusterPool: 'in: it is ready',
        localPool: 'unused',
      },
    ])
  })

  test('rejections joins refused fields, conflicts and what the kernel refuses', () => {
    const families = VIEW.families.map((family) => ({
      ...family,
      refused: new Map(
        [...family.cluster.servicePorts.keys()].slice(0, 1).map((key) => [key, 'no room'] as const),
      ),
    }))
    const rows = dumpRows('rejections', { ...VIEW, families })
    expect(rows.map(({ refusedBy }) => refusedBy)).toEqual(['model', 'conflict', 'kernel'])
  })
})

describe('textTable()', () => {
  test.each(DUMPS)('prints %s with headings and no blanks at line ends', (name) => {
    const text = textTable(dumpRows(name, VIEW), name)
    expect(text).toMatch(/^[A-Z][A-Z ]+\n/)
    expect(text).not.toMatch(/ $/m)
  })

  test('says so when there is nothing, and marks empty cells', () => {
    expect(textTable([], 'differences')).toBe('No differences.\n')
    expect(textTable([{ aName: '', list: ['x', 'y'] }], 'x')).toBe('A NAME  LIST\n-       x; y\n')
  })
})

test('answerText() prints the same data as JSON and as YAML', () => {
  const rows = dumpRows('forwarding', VIEW)
  expect(JSON.parse(answerText(rows, 'json', () => ''))).toEqual(rows)
  expect(answerText(rows, 'yaml', () => '')).toBe(stringify(rows))
  expect(answerText(rows, 'table', () => 'text')).toBe('text')
})

test('differenceRows() tells missing, different and extra objects apart', () => {
  const object = (key: string, text: string) => ({ kind: 'chain', key, text })
  const changes = {
    created: [object('a', '1')],
    updated: [{ from: object('b', '1'), to: object('b', '2') }],
    removed: [object('c', '1')],
  }
  expect(
    differenceRows('IPv4', changes).map(({ difference, key, kernel, wanted }) => [
      difference,
      key,
      kernel,
      wanted,
    ]),
  ).toEqual([
    ['missing', 'a', [], ['1']],
    ['different', 'b', ['1'], ['2']],
    ['extra', 'c', ['1'], []],
  ])
})
