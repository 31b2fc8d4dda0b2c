/** The runner itself is judged before it judges a backend: with a proxy of three rules and cases that must fail. */
import type { ConformanceCase, ConformanceFlow, Outcome } from '../conformance/conformance-case.ts'
import type { KnownDifference } from '../conformance/known-differences.ts'
import { type CaseResult, type ProxyUnderTest, runCases } from '../support/conformance-kernel.ts'
import { unneeded } from '../support/conformance-kernel-tests.ts'
import type { NodeBed } from '../support/node-bed.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const RULES = `table ip t {
  chain pre { type nat hook prerouting priority -100; ip daddr 172.30.0.1 tcp dport 80 dnat to 10.180.0.1:80; }
  chain forward { type filter hook forward priority 0; ip daddr 172.30.0.2 reject; }
}
`

/** Does the same whatever the objects say. */
const stubborn: ProxyUnderTest = {
  title: 'stubborn',
  mode: 'nftables',
  start: (bed: NodeBed) =>
    Promise.resolve({
      follow: async () => {
        await bed.run('nft', ['-f', '-'], `flush ruleset\n${RULES}`)
      },
      rules: () => bed.run('nft', ['list', 'ruleset']),
    }),
}

function flow(
  name: string,
  expect: Outcome | undefined,
  changes: Partial<ConformanceFlow> = {},
): ConformanceFlow {
  const from = 'pod' as const
  const dest = { destIp: '172.30.0.1', destPort: 80, protocol: 'TCP' as const }
  return {
    name,
    from,
    sourceIp: '10.0.0.2',
    ...dest,
    grade: 'own',
    expect,
    expectBy: {},
    affinitySeconds: undefined,
    ...changes,
  }
}

function aCase(name: string, flows: readonly ConformanceFlow[]): ConformanceCase {
  const slice = {
    endpoints: [{ addresses: ['10.180.0.1'], nodeName: 'here' }],
    ports: [{ port: 80, protocol: 'TCP' }],
  }
  return {
    name,
    source: 'own',
    features: [],
    node: {
      name: 'here',
      ips: ['192.168.0.2'],
      primaryIps: ['192.168.0.2'],
      zone: undefined,
      family: 'IPv4',
      nodePortAddresses: 'all',
      detectorCidr: undefined,
      masqueradeAll: false,
      localhostNodePorts: false,
      serviceCidrs: [],
    },
    steps: [{ name: 'start', services: [], endpointSlices: [slice], flows }],
  }
}

const TO_ENDPOINT: Outcome = { kind: 'dnat', endpoints: ['10.180.0.1:80'], masq: false }

describeKernel('runCases()', ['namespaces', 'nft', 'conntrack'], () => {
  async function run(
    given: ConformanceCase,
    differences: readonly KnownDifference[] = [],
  ): Promise<CaseResult> {
    return runCases({ proxy: stubborn, cases: [given], differences, beds: 1 }).get(given.name)!
  }

  test('runCases() passes what packets confirm, and counts what cannot be sent', async () => {
    const given = aCase('good', [
      flow('to the service', TO_ENDPOINT),
      flow('refused', { kind: 'reject' }, { destIp: '172.30.0.2' }),
      flow('left alone', { kind: 'none' }, { destIp: '172.30.0.3' }),
      flow('over SCTP', TO_ENDPOINT, { protocol: 'SCTP' }),
    ])
    const result = await run(given)
    expect(result.failures).toEqual([])
    expect(result.passed).toBe(3)
    expect(Object.values(result.skipped)).toEqual([1])
  })

  test('runCases() tells flow, expectation, observation and rules of what packets deny', async () => {
    const result = await run(aCase('bad', [flow('should be refused', { kind: 'reject' })]))
    expect(result.failures).toHaveLength(1)
    expect(result.failures[0]).toContain('flow "should be refused" (own)')
    expect(result.failures[0]).toContain('expected: reject')
    expect(result.failures[0]).toContain('2 × 10.180.0.1:80 sees 10.0.0.2')
    expect(result.failures[0]).toContain('dnat to 10.180.0.1:80')
  })

  const difference: KnownDifference = {
    modes: ['nftables'],
    cases: /^odd$/,
    flows: /refused/,
    instead: () => TO_ENDPOINT,
    reason: 'we always answer',
  }

  test('runCases() accepts a known difference and says that it was needed', async () => {
    const result = await run(aCase('odd', [flow('should be refused', { kind: 'reject' })]), [difference])
    expect(result).toMatchObject({ passed: 1, failures: [], differences: [0] })
    expect(unneeded(stubborn, [difference], [result])).toEqual([])
  })

  test('unneeded() names a known difference that no flow shows', async () => {
    const result = await run(
      aCase('odd', [flow('is refused', { kind: 'reject' }, { destIp: '172.30.0.2' })]),
      [difference],
    )
    expect(result).toMatchObject({ passed: 1, failures: [], differences: [] })
    expect(unneeded(stubborn, [difference], [result])).toEqual(['we always answer'])
  })

  test('runCases() rejects when the proxy fails, and goes on with the next case', async () => {
    const broken: ProxyUnderTest = {
      ...stubborn,
      start: (bed, node) =>
        node.name === 'broken' ? Promise.reject(new Error('no rules today')) : stubborn.start(bed, node),
    }
    const good = aCase('good', [flow('to the service', TO_ENDPOINT)])
    const bad = { ...aCase('bad', []), node: { ...good.node, name: 'broken' } }
    const results = runCases({ proxy: broken, cases: [bad, good], differences: [], beds: 1 })
    await expect(results.get('bad')).rejects.toThrow('bad: Error: no rules today')
    expect(await results.get('good')).toMatchObject({ passed: 1 })
  })
})
