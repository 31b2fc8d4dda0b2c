import { decodeProtobuf } from '../../../../src/lab/api-server/protobuf.ts'

type Part = readonly [number: number, value: number | string | readonly Part[]]

function varint(value: number): number[] {
  const bytes = [value & 0x7f]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1]! |= 0x80
    bytes.push(rest & 0x7f)
  }
  return bytes
}

/** The wire format written the plain way round. */
function encode(parts: readonly Part[]): Buffer {
  const chunks = parts.map(([number, value]) => {
    if (typeof value === 'number') return Buffer.from([...varint(number << 3), ...varint(value)])
    const bytes = typeof value === 'string' ? Buffer.from(value) : encode(value)
    return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes])
  })
  return Buffer.concat(chunks)
}

function envelope(apiVersion: string, kind: string, parts: readonly Part[]): Buffer {
  const typeMeta: Part = [
    1,
    [
      [1, apiVersion],
      [2, kind],
    ],
  ]
  return Buffer.concat([Buffer.from('k8s\0'), encode([typeMeta, [2, parts]])])
}

describe('decodeProtobuf()', () => {
  it('reads a Service with maps, lists, numbers and int-or-string', () => {
    const metadata: Part = [
      1,
      [
        [1, 'web'],
        [3, 'shop'],
        [8, []],
        [
          11,
          [
            [1, 'app'],
            [2, 'web'],
          ],
        ],
        [
          11,
          [
            [1, 'a'],
            [2, ''],
          ],
        ],
      ],
    ]
    const ports: Part[] = [
      [
        1,
        [
          [1, 'http'],
          [2, 'TCP'],
          [3, 80],
          [
            4,
            [
              [1, 0],
              [2, 8080],
              [3, ''],
            ],
          ],
        ],
      ],
      [
        1,
        [
          [1, 'named'],
          [3, 30000],
          [
            4,
            [
              [1, 1],
              [2, 0],
              [3, 'metrics'],
            ],
          ],
        ],
      ],
    ]
    const bytes = envelope('v1', 'Service', [
      metadata,
      [2, [...ports, [13, 1], [18, '10.0.0.1'], [3, '']]],
      [3, [[1, []]]],
    ])
    expect(decodeProtobuf(bytes)).toEqual({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'shop', labels: { app: 'web', a: '' } },
      spec: {
        ports: [
          { name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 },
          { name: 'named', port: 30000, targetPort: 'metrics' },
        ],
        publishNotReadyAddresses: true,
        clusterIPs: ['10.0.0.1'],
      },
      status: {},
    })
  })

  it('reads the event of a Go program with its times', () => {
    const bytes = envelope('events.k8s.io/v1', 'Event', [
      [
        1,
        [
          [1, 'n1.1'],
          [3, 'default'],
        ],
      ],
      [
        2,
        [
          [1, 1_700_000_000],
          [2, 123_000_000],
        ],
      ],
      [
        8,
        [
          [1, 'Node'],
          [3, 'n1'],
        ],
      ],
      [10, 'hello'],
      [14, []],
    ])
    expect(decodeProtobuf(bytes)).toEqual({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'n1.1', namespace: 'default' },
      eventTime: '2023-11-14T22:13:20.123000Z',
      regarding: { kind: 'Node', name: 'n1' },
      note: 'hello',
    })
  })

  test.each([
    ['no envelope', Buffer.from('{"kind":"Service"}')],
    ['an unknown kind', envelope('v1', 'Secret', [])],
    ['a field that is not known', envelope('v1', 'Service', [[2, [[99, 'x']]]])],
    ['an end in the middle', envelope('v1', 'Service', [[1, [[1, 'web']]]]).subarray(0, -2)],
  ])('refuses %s with 415', (_name, bytes) => {
    expect(() => decodeProtobuf(bytes)).toThrow(expect.objectContaining({ code: 415 }))
  })
})
