import type { LinkFact } from '../../../src/explain/doctor/node-facts.ts'
import { judgeSelfTest } from '../../../src/explain/doctor/self-test-judgement.ts'
import { type Attempt, selfTestPlan, type Target, type Tried } from '../../../src/explain/doctor/self-test.ts'
import type { ExplainedPort, Explanation } from '../../../src/explain/explanation.ts'
import type { Ip } from '../../../src/net/ip.ts'
import type { ServicePortKey } from '../../../src/model/service-port.ts'

const ROUTES = { pod: 'cluster', node: 'cluster+masquerade', external: 'reject' }

function aPort(changes: Partial<ExplainedPort> = {}): ExplainedPort {
  const row = { state: 'ready', weight: 100, clusterPool: 'in: it is ready', localPool: 'unused' }
  return {
    servicePort: 'ns/web:http/TCP' as ServicePortKey,
    ...{ family: 'IPv4', protocol: 'TCP', programmed: true, kernelObjects: [], problems: [] },
    frontends: [
      {
        kind: 'ClusterIP',
        address: '10.96.0.1:80/TCP',
        row: 'internal, policy Cluster',
        routes: ROUTES,
        sourceRanges: [],
      },
    ],
    endpoints: [
      { ...row, address: '10.244.1.2:8080', node: 'here' },
      ...[2, 3, 4, 5].map((n) => ({ ...row, address: `10.244.${n}.2:8080`, node: `node-${n}` })),
      { ...row, address: '10.244.9.2:8080', node: 'node-9', clusterPool: 'out: not ready' },
    ],
    ...changes,
  }
}

function anExplanation(...ports: readonly ExplainedPort[]): Explanation {
  return { subject: 'ns/web', node: 'here', mode: 'iptables', remarks: [], ports, nothing: [] }
}

const SERVICE = { ip: '10.96.0.1' as Ip, port: 80 }
const REMOTE = { ip: '10.244.2.2' as Ip, port: 8080, node: 'node-2' }
const TARGET: Target = {
  ...{ servicePort: 'ns/web:http/TCP', family: 'IPv4', protocol: 'TCP', pool: 2 },
  service: SERVICE,
  remote: [REMOTE],
}

describe('selfTestPlan()', () => {
  test('takes a few endpoints in use on other nodes', () => {
    const { targets, findings } = selfTestPlan(anExplanation(aPort()))
    expect(findings).toEqual([])
    expect(targets).toMatchObject([{ service: SERVICE, pool: 5 }])
    expect(targets[0]!.remote.map(({ node }) => node)).toEqual(['node-2', 'node-3', 'node-4'])
  })

  const [frontend] = aPort().frontends
  const local = { ...frontend!, routes: { ...ROUTES, node: 'local' } }
  test.each([
    [{ protocol: 'SCTP' } as const, /does not speak SCTP/],
    [{ frontends: [] }, /has no ClusterIP/],
    [{ frontends: [local] }, /do not go to other nodes \(local\)/],
    [{ endpoints: aPort().endpoints.slice(0, 1) }, /known to be on another node/],
  ])('says why it does not try a port: %#', (changes, why) => {
    const { targets, findings } = selfTestPlan(anExplanation(aPort(changes)))
    expect(targets).toEqual([])
    expect(findings).toMatchObject([{ level: 'warning', what: expect.stringMatching(why) }])
  })

  test('says that there is no such Service', () => {
    const { findings } = selfTestPlan({ ...anExplanation(), nothing: ['no Service is called ns/web'] })
    expect(findings).toMatchObject([{ what: 'nothing to connect to: no Service is called ns/web' }])
  })
})

const PASSED: Attempt = { outcome: 'passed', detail: '', connectMs: 1, flow: undefined }
const THROUGH: Attempt = { ...PASSED, flow: { endpoint: '10.244.2.2:8080', seenAs: '10.244.1.0' } }
const TUNNEL: LinkFact = {
  ...{ name: 'flannel.1', kind: 'vxlan', master: undefined, hairpin: false, promiscuous: false },
  ...{ up: true, mtu: 1450, lower: 'eth0', outerChecksum: false },
}

function tried(direct: Partial<Attempt>, through: readonly Partial<Attempt>[], target = TARGET): Tried {
  return {
    target,
    direct: [{ endpoint: REMOTE, attempt: { ...PASSED, ...direct } }],
    through: through.map((attempt) => ({ ...THROUGH, ...attempt })),
  }
}

const OVER_UDP: Target = { ...TARGET, protocol: 'UDP' }
const untranslated = { endpoint: '10.96.0.1:80', seenAs: '10.0.0.1' }
const elsewhere = { endpoint: '10.244.7.7:8080', seenAs: '10.244.1.0' }

describe('judgeSelfTest()', () => {
  test.each([
    ['all well', tried({}, [{}]), 'ok', /small and large packets; they see 10\.244\.1\.0/],
    ['a program that hangs up', tried({}, [{ outcome: 'closed' }]), 'ok', /before large ones could be tried/],
    ['UDP that is well', tried({}, [{}], OVER_UDP), 'ok', /through 10\.96\.0\.1:80; they see/],
    [
      'no pod network',
      tried({ outcome: 'silent', detail: 'EHOSTUNREACH' }, []),
      'error',
      /no connection \(EHOST/,
    ],
    ['nobody who listens', tried({ outcome: 'refused' }, []), 'warning', /is refused/],
    ['a small MTU', tried({ outcome: 'stalled' }, []), 'error', /small packets arrive and large ones do not/],
    ['no data at all', tried({ outcome: 'mute' }, []), 'error', /no packet with data arrives/],
    ['no DNS', tried({ outcome: 'silent' }, [], OVER_UDP), 'warning', /nothing answers a DNS question/],
    [
      'no translation',
      tried({}, [{ outcome: 'silent', flow: untranslated }]),
      'error',
      /nobody translates it/,
    ],
    ['no flow', tried({}, [{ outcome: 'silent', flow: undefined }]), 'error', /tracking knows nothing/],
    ['a rejecting rule', tried({}, [{ outcome: 'refused', flow: undefined }]), 'error', /is refused/],
    [
      'lost replies',
      tried({}, [{}, { outcome: 'silent' }]),
      'error',
      /lost .*to 10\.244\.2\.2:8080 as 10\.244\.1\.0/,
    ],
    ['lost large ones', tried({}, [{ outcome: 'stalled' }]), 'error', /large packets are lost, and small/],
    [
      'lost first ones',
      tried({}, [{ connectMs: 1004 }]),
      'error',
      /the first packet of a connection is lost/,
    ],
    [
      'a slow network',
      tried({ connectMs: 1004 }, [{ connectMs: 1004 }]),
      'ok',
      /answer directly and through/,
    ],
    ['other endpoints only', tried({}, [{ flow: elsewhere }]), 'warning', /did not get to an endpoint/],
    ['a bad one elsewhere', tried({}, [{ outcome: 'silent', flow: elsewhere }]), 'warning', /did not get to/],
  ])('finds %s', (_, one, level, what) => {
    expect(judgeSelfTest([one], [])).toMatchObject([{ level, what: expect.stringMatching(what) }])
  })

  test('suspects checksums where there is a tunnel', () => {
    const one = tried({}, [{ outcome: 'silent' }])
    const suspects = /ethtool -K flannel\.1 tx-checksum-ip-generic off/
    expect(judgeSelfTest([one], [TUNNEL])[0]!.remedy).toMatch(suspects)
    expect(judgeSelfTest([one], [])[0]!.remedy).not.toMatch(suspects)
  })
})
