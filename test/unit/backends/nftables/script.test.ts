import type { KernelScript } from '../../../../src/backends/backend.ts'
import { atOnce } from '../../../../src/collections/sliced.ts'
import type { BackendObject } from '../../../../src/backends/nftables/plan-node.ts'
import { NUMBERS_IN_KEYS } from '../../../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../../../src/backends/nftables/plan-words.ts'
import { NftablesPlanner } from '../../../../src/backends/nftables/plan.ts'
import {
  ELEMENTS_PER_TRANSACTION,
  REMOVE_PURPOSE,
  scriptFor,
} from '../../../../src/backends/nftables/script.ts'
import type { Forwarding } from '../../../../src/forwarding/forwarding.ts'
import { diffState, type KernelState, observedState } from '../../../../src/netfilter/kernel-state.ts'
import { aTable, anElement } from '../../../../src/netfilter/nftables/ruleset.ts'
import { aForwarding, aPort } from '../../../support/forwarding-builder.ts'

const TABLE = { family: 'ip', name: 'kube-proxy' } as const
const OPTIONS = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const

function planned(forwarding: Forwarding): KernelState<BackendObject> {
  return new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, NUMBERS_IN_KEYS)).plan(forwarding)
}

function web(...endpoints: readonly string[]): Forwarding {
  return aForwarding([
    aPort('ns/web')
      .clusterIp('172.30.0.1')
      .endpoints(...endpoints),
  ])
}

test('scriptFor() makes a changed endpoint two commands in one transaction', () => {
  const changes = diffState(
    planned(web('10.0.0.1:80', '10.0.0.3:80')),
    planned(web('10.0.0.1:80', '10.0.0.2:80')),
  )
  expect(atOnce(scriptFor(changes, TABLE)).map(({ stdin }) => stdin)).toEqual([
    'delete element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 . 1 }\n' +
      'add element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 . 1 : 10.0.0.3 . 80 }\n',
  ])
})

test('scriptFor() makes chains before what leads to them, and removes them after', () => {
  const changes = diffState(planned(web('10.0.0.1:80')), planned(web('10.0.0.1:80', '10.0.0.2:80')))
  const [structure, write, remove, ...more] = atOnce(scriptFor(changes, TABLE))
  expect(more).toEqual([])
  expect(structure?.stdin).toContain('add chain ip kube-proxy pick-tcp-c1\n')
  expect(structure?.stdin).toContain('add rule ip kube-proxy pick-tcp-c1 ')
  expect(structure?.stdin).not.toContain(' element ')
  expect(write?.stdin.match(/^\w+ \w+/gm)).toEqual(['delete element', 'delete element', 'add element'])
  expect(remove?.purpose).toBe(REMOVE_PURPOSE)
  expect(remove?.stdin).toContain('delete chain ip kube-proxy pick-tcp-c2\n')
})

test('scriptFor() replaces a table of somebody else in one transaction, however large', () => {
  const ports = Array.from({ length: ELEMENTS_PER_TRANSACTION }, (_, n) =>
    aPort(`ns/s${n}`)
      .clusterIp(`172.30.${n >> 8}.${n & 255}`)
      .endpoints('10.0.0.1:80'),
  )
  const changes = diffState(
    planned(aForwarding(ports)),
    observedState<BackendObject>([aTable('another layout')]),
  )
  const script = atOnce(scriptFor(changes, TABLE))
  expect(script.length).toBe(1)
  expect(script[0]?.stdin).toMatch(
    /^add table ip kube-proxy\ndelete table ip kube-proxy\nadd table ip kube-proxy\n/,
  )
})

test('scriptFor() cuts a great change so that what is referred to comes first and goes last', () => {
  const elements = (container: string, value: string) =>
    Array.from({ length: ELEMENTS_PER_TRANSACTION }, (_, n) =>
      anElement(container, `172.30.${n >> 8}.${n & 255} . 6 . 80`, value),
    )
  const [services, endpoints] = [
    elements('service-ips', 'drop'),
    elements('affinity-endpoints', '10.0.0.1 . 80'),
  ]
  const gone = anElement('firewalled-ips', '192.0.2.1 . 6 . 80')
  const containers = (script: KernelScript) =>
    script.map(({ stdin }) => [...new Set(stdin.match(/^\w+ element ip kube-proxy \S+/gm))].join(', '))
  const added = atOnce(
    scriptFor({ created: [...services, ...endpoints], updated: [], removed: [gone] }, TABLE),
  )
  expect(containers(added)).toEqual([
    'add element ip kube-proxy affinity-endpoints',
    'add element ip kube-proxy service-ips',
    'delete element ip kube-proxy firewalled-ips',
  ])
  const removed = atOnce(
    scriptFor({ created: [], updated: [], removed: [...endpoints, gone, ...services] }, TABLE),
  )
  expect(containers(removed)).toEqual([
    'delete element ip kube-proxy service-ips',
    'delete element ip kube-proxy firewalled-ips, delete element ip kube-proxy affinity-endpoints',
    'delete element ip kube-proxy affinity-endpoints',
  ])
})

test('scriptFor() switches route_localnet on after the rules that guard it', () => {
  const localhost = aForwarding([], { localhostNodePorts: true })
  const script = atOnce(scriptFor(diffState(planned(localhost), planned(aForwarding([]))), TABLE))
  expect(script.map(({ file }) => file)).toEqual(['nft', 'tee'])
  expect(script[0]?.stdin).toContain('ip saddr != 127.0.0.0/8')
})
