import { type Json, type JsonObject } from '../../../../src/lab/api-server/json.ts'
import { APPLY_PATCH, applyPatch } from '../../../../src/lab/api-server/patches.ts'
import { SERVICES } from '../../../../src/lab/api-server/resources.ts'
import { ApiError } from '../../../../src/lab/api-server/status-errors.ts'

const http = { name: 'http', port: 80, protocol: 'TCP', targetPort: 8080 }
const dnsTcp = { name: 'dns-tcp', port: 53, protocol: 'TCP' }
const dnsUdp = { name: 'dns', port: 53, protocol: 'UDP' }
const current: JsonObject = {
  metadata: { name: 'web', labels: { a: '1', b: '2' }, finalizers: ['x'] },
  spec: { ports: [http, dnsTcp, dnsUdp], externalIPs: ['1.1.1.1'], selector: { app: 'web' } },
}

function patched(kind: 'merge' | 'json' | 'strategic', patch: Json): JsonObject {
  const mediaType = { merge: 'merge-patch', json: 'json-patch', strategic: 'strategic-merge-patch' }[kind]
  return applyPatch(current, { definition: SERVICES, mediaType: `application/${mediaType}+json`, patch })
}

describe('applyPatch() with a merge patch', () => {
  it('merges objects, removes nulls and replaces lists', () => {
    const patch = { metadata: { labels: { a: null, c: '3' } }, spec: { ports: [http] } }
    expect(patched('merge', patch)).toMatchObject({
      metadata: { name: 'web', labels: { b: '2', c: '3' } },
      spec: { ports: [http], selector: { app: 'web' } },
    })
  })
})

describe('applyPatch() with a JSON patch', () => {
  test.each<[string, Json, Json]>([
    [
      'adds a field',
      [{ op: 'add', path: '/metadata/labels/c~1d', value: 'x' }],
      { metadata: { labels: { 'c/d': 'x' } } },
    ],
    [
      'appends to a list',
      [{ op: 'add', path: '/spec/externalIPs/-', value: '2.2.2.2' }],
      { spec: { externalIPs: ['1.1.1.1', '2.2.2.2'] } },
    ],
    [
      'inserts into a list',
      [{ op: 'add', path: '/spec/externalIPs/0', value: '2.2.2.2' }],
      { spec: { externalIPs: ['2.2.2.2', '1.1.1.1'] } },
    ],
    ['removes an element', [{ op: 'remove', path: '/spec/ports/1' }], { spec: { ports: [http, dnsUdp] } }],
    [
      'replaces a value',
      [{ op: 'replace', path: '/spec/ports/0/port', value: 81 }],
      { spec: { ports: [{ port: 81 }, dnsTcp, dnsUdp] } },
    ],
    [
      'moves',
      [{ op: 'move', from: '/metadata/labels/a', path: '/metadata/labels/z' }],
      { metadata: { labels: { z: '1', b: '2' } } },
    ],
    [
      'copies',
      [{ op: 'copy', from: '/metadata/labels/a', path: '/metadata/labels/z' }],
      { metadata: { labels: { a: '1', z: '1' } } },
    ],
    [
      'goes on after a test that holds',
      [
        { op: 'test', path: '/metadata/name', value: 'web' },
        { op: 'remove', path: '/spec/selector' },
      ],
      { spec: {} },
    ],
  ])('%s', (_name, patch, want) => {
    expect(patched('json', patch)).toMatchObject(want as JsonObject)
  })

  test.each<[string, Json, number]>([
    ['a test that fails', [{ op: 'test', path: '/metadata/name', value: 'other' }], 422],
    ['a field that is not there', [{ op: 'remove', path: '/spec/nothing' }], 422],
    ['an index beyond the list', [{ op: 'add', path: '/spec/ports/9', value: {} }], 422],
    ['an unknown operation', [{ op: 'explode', path: '/spec' }], 400],
    ['something that is no list', { op: 'add' }, 400],
    ['an operation without its value', [{ op: 'add', path: '/spec/x' }], 400],
  ])('refuses %s', (_name, patch, code) => {
    expect(() => patched('json', patch)).toThrow(expect.objectContaining({ code }))
  })
})

describe('applyPatch() with a strategic merge patch', () => {
  test.each<[string, JsonObject, readonly Json[]]>([
    [
      'changes the port that the key names',
      { ports: [{ port: 80, targetPort: 9090 }] },
      [{ ...http, targetPort: 9090 }, dnsTcp, dnsUdp],
    ],
    [
      'tells protocols of one port apart',
      { ports: [{ port: 53, protocol: 'UDP', name: 'udp' }] },
      [http, dnsTcp, { ...dnsUdp, name: 'udp' }],
    ],
    [
      'appends a port with a new key',
      { ports: [{ name: 'new', port: 81 }] },
      [http, dnsTcp, dnsUdp, { name: 'new', port: 81 }],
    ],
    ['deletes by directive', { ports: [{ $patch: 'delete', port: 80 }] }, [dnsTcp, dnsUdp]],
    ['replaces the list by directive', { ports: [{ $patch: 'replace' }, { port: 1 }] }, [{ port: 1 }]],
    [
      'orders as told',
      {
        '$setElementOrder/ports': [
          { port: 53, protocol: 'UDP' },
          { port: 53, protocol: 'TCP' },
          { port: 80 },
        ],
      },
      [dnsUdp, dnsTcp, http],
    ],
  ])('%s', (_name, spec, ports) => {
    expect(patched('strategic', { spec })['spec']).toMatchObject({ ports })
  })

  it('unites sets, removes from them, and replaces lists without a key', () => {
    const united = patched('strategic', {
      metadata: { finalizers: ['y', 'x'] },
      spec: { externalIPs: ['9.9.9.9'] },
    })
    expect(united).toMatchObject({ metadata: { finalizers: ['x', 'y'] }, spec: { externalIPs: ['9.9.9.9'] } })
    const removed = patched('strategic', { metadata: { '$deleteFromPrimitiveList/finalizers': ['x'] } })
    expect(removed).toMatchObject({ metadata: { finalizers: [] } })
  })

  it('replaces an object or keeps only some of its fields by directive', () => {
    const replaced = patched('strategic', { spec: { selector: { $patch: 'replace', only: 'this' } } })
    expect(replaced['spec']).toMatchObject({ selector: { only: 'this' } })
    const retained = patched('strategic', { spec: { $retainKeys: ['ports', 'type'], type: 'NodePort' } })
    expect(Object.keys(retained['spec'] as JsonObject).sort()).toEqual(['ports', 'type'])
  })
})

describe('applyPatch() with an apply patch', () => {
  function applied(appliedBefore: JsonObject, patch: JsonObject): JsonObject {
    return applyPatch(current, { definition: SERVICES, mediaType: APPLY_PATCH, patch, appliedBefore })
  }

  it('merges ports by port and protocol', () => {
    const result = applied({}, { spec: { ports: [{ port: 53, protocol: 'UDP', name: 'udp' }] } })
    expect(result['spec']).toMatchObject({ ports: [http, dnsTcp, { ...dnsUdp, name: 'udp' }] })
  })

  it('takes out what the same manager applied before and no longer does', () => {
    const before = {
      metadata: { labels: { a: '1' } },
      spec: { ports: [{ port: 80 }, { port: 53, protocol: 'UDP' }] },
    }
    const result = applied(before, { metadata: { labels: {} }, spec: { ports: [{ port: 80 }] } })
    expect(result['metadata']).toMatchObject({ labels: { b: '2' } })
    expect(result['spec']).toMatchObject({ ports: [http, dnsTcp] })
  })
})

describe('applyPatch()', () => {
  it('refuses other media types with 415', () => {
    const patch = () => applyPatch(current, { definition: SERVICES, mediaType: 'text/plain', patch: {} })
    expect(patch).toThrow(ApiError)
    expect(patch).toThrow(expect.objectContaining({ code: 415 }))
  })
})
