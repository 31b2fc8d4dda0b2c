/**
 * The order of test files. Alone at the end, a file of several minutes would leave all processors but one idle, and a
 * fresh machine has no record of what took how long.
 */
// One that is busy in user-mode-linux, one that mostly waits, in turn.
const SLOWEST = [
  'conformance/ipvs.kernel',
  'conformance/iptables.kernel',
  'kernel/uml-ipvs',
  'e2e/demo',
  'kernel/ipvs-continuity',
  'kernel/switching.test',
  'kernel/switching-ipvs',
  'conformance/nftables.kernel',
  'kernel/',
  'e2e/',
]

function rank({ path }) {
  const at = SLOWEST.findIndex((part) => path.includes(part))
  return at < 0 ? SLOWEST.length : at
}

export default class SlowestFirst {
  sort(tests) {
    return [...tests].sort((a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path))
  }

  shard(tests, { shardIndex, shardCount }) {
    return this.sort(tests).filter((_test, index) => index % shardCount === shardIndex - 1)
  }

  allFailedTests(tests) {
    return tests
  }

  cacheResults() {
    // Nothing is remembered: the order is known.
  }
}
