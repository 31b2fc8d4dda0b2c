import { type NodeFacts, checkOnNode } from '../../../src/config/check-on-node.ts'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import { parseCidr } from '../../../src/net/cidr.ts'

const V4: NodeFacts = { families: ['IPv4'], podCidrs: [] }
const V6: NodeFacts = { families: ['IPv6'], podCidrs: [] }
const DUAL: NodeFacts = { families: ['IPv4', 'IPv6'], podCidrs: [] }
const QUIET = '--nodeport-addresses=10.0.0.0/8,fd00::/8'

function remarks(argv: readonly string[], node: NodeFacts): string[] {
  const resolution = resolveConfig(argv)
  if (!('config' in resolution)) throw new Error(JSON.stringify(resolution))
  return checkOnNode(resolution.config, node).map(({ level, text }) => `${level}: ${text}`)
}

test.each<[string[], NodeFacts, RegExp[]]>([
  [[QUIET], DUAL, []],
  [[], DUAL, [/^warning: NodePorts answer on every address/]],
  [['--mode=nftables'], DUAL, []],
  [['--nodeport-addresses=10.0.0.0/8'], DUAL, [/^warning: nodePortAddresses names no IPv6 network/]],
  [['--nodeport-addresses=10.0.0.0/8'], V4, []],
  [['--nodeport-addresses=fd00::/8'], V4, [/^warning: nodePortAddresses names no IPv4 network/]],
  [
    [QUIET, '--cluster-cidr=10.0.0.0/8'],
    V6,
    [/^fatal: Cannot recognise pods.*IPv6/, /^warning: healthz/, /^warning: metrics/],
  ],
  [[QUIET, '--cluster-cidr=10.0.0.0/8'], DUAL, []],
  [
    [QUIET, '--mode=ipvs', '--ipvs-exclude-cidrs=fd00::/8'],
    V4,
    [/^warning: ipvs.excludeCIDRs fd00::\/8 is of a family/],
  ],
  [
    [QUIET, '--mode=ipvs', '--ipvs-exclude-cidrs=fd00::/8', '--config-hard-fail'],
    V4,
    [/^fatal: ipvs.excludeCIDRs/],
  ],
  [['--config-hard-fail'], DUAL, [/^warning: NodePorts answer/]],
  [
    [QUIET],
    { families: ['IPv4'], podCidrs: [parseCidr('fd00::/64')!] },
    [/^warning: The node's pod networks/],
  ],
  [
    [QUIET, '--detect-local-mode=NodeCIDR'],
    { families: ['IPv4'], podCidrs: [parseCidr('fd00::/64')!] },
    [/^fatal: The node's pod networks/],
  ],
])('checkOnNode() judges %j on %j', (argv, node, want) => {
  expect(remarks(argv, node)).toEqual(want.map((line) => expect.stringMatching(line)))
})
