/** Features of the program, the host and its kernel. */
import type { Feature } from './feature.ts'
import { area, both, forEach, inProgram, inside, kernel, NO_LOOPBACK, unit } from './proof.ts'

const ONLY_IPVS = { iptables: 'belongs to IPVS', nftables: 'belongs to IPVS' }

export const KERNEL = area('Kernel', [
  [
    49,
    'A change writes what changed',
    {
      everywhere: [unit('sync/reconciler', 'Reconciler writes one object for one changed service port')],
      by: {
        iptables: [kernel('iptables', 'writes a change of one endpoint as one chain')],
        ipvs: [unit('backends/ipvs/plan', 'one endpoint less is one object less')],
        nftables: [
          unit(
            'backends/nftables/script',
            'scriptFor() makes a changed endpoint two commands in one transaction',
          ),
        ],
      },
    },
  ],
  [
    50,
    'The kernel is looked at anew from time to time',
    { everywhere: [unit('sync/family-pipeline', 'FamilyPipeline reads the kernel anew every hour')] },
  ],
  [
    51,
    'Large clusters',
    {
      by: {
        iptables: [
          unit('backends/iptables/plan', 'plan() after a change of one endpoint differs by one chain'),
        ],
        ipvs: [
          unit(
            'backends/ipvs/plan',
            'IpvsPlanner has the same number of rules for one Service and for a thousand',
          ),
        ],
        nftables: [
          kernel(
            'nftables',
            'a first load is cut into transactions, and so are great changes of a full table',
          ),
        ],
      },
    },
  ],
  [
    52,
    'What somebody else removes is noticed and repaired',
    {
      by: {
        iptables: [kernel('iptables', 'probe() notices $what, and the next sync repairs it')],
        ipvs: [inside('ipvs', 'notices what others take away')],
        nftables: [
          kernel('nftables-drift', 'probe() notices that somebody changed $what, and a sync repairs it'),
        ],
      },
    },
  ],
  [
    53,
    'What is no longer needed is deleted, after nobody needs it any more',
    {
      by: {
        iptables: [unit('backends/iptables/script', 'restoreText() empties and deletes what is left over')],
        ipvs: [
          unit('backends/ipvs/script', 'takes away in reverse, and a virtual server with all its servers'),
        ],
        nftables: [
          unit(
            'backends/nftables/script',
            'scriptFor() makes chains before what leads to them, and removes them after',
          ),
        ],
      },
    },
  ],
  [
    55,
    'After a failure it is tried again, soon and then less often',
    {
      everywhere: [
        unit(
          'sync/sync-loop',
          'SyncLoop tries again by itself after failures, with growing waits, and starts small after a success',
        ),
      ],
    },
  ],
  [
    72,
    'Packet counters by nfacct',
    {
      cannot: {
        iptables: 'left out: `iptables -v -L FL-INVALID` counts lost replies without the module',
        ipvs: 'kube-proxy has none in this mode',
        nftables: 'kube-proxy has none in this mode',
      },
    },
  ],
])

export const HOST = area('Host', [
  [
    58,
    'Connection tracking limits are raised, never lowered',
    {
      everywhere: [
        unit('kernel/conntrack-sysctls', 'raises what is too low and says from where to where and why'),
        unit('kernel/conntrack-sysctls', 'never lowers what an admin has set higher'),
      ],
    },
  ],
  [
    59,
    '`route_localnet` for NodePorts on 127.0.0.1',
    {
      by: {
        iptables: [unit('backends/iptables/script', 'scriptFor() opens loopback after the guard is written')],
        nftables: [
          unit(
            'backends/nftables/script',
            'scriptFor() switches route_localnet on after the rules that guard it',
          ),
        ],
      },
      cannot: { ipvs: NO_LOOPBACK },
    },
  ],
  [
    60,
    'Settings of IPVS, strict ARP',
    {
      by: { ipvs: [unit('backends/ipvs/scheduler', 'makes ARP strict only where asked')] },
      cannot: ONLY_IPVS,
    },
  ],
  [
    61,
    'Schedulers, timeouts, excluded networks',
    {
      by: {
        ipvs: [
          inside('ipvs', 'gives every scheduler that is wished for'),
          inside('ipvs', 'refuses a Service on an excluded address that somebody else serves, and no other'),
        ],
      },
      cannot: ONLY_IPVS,
    },
  ],
  [
    62,
    'What kernel and tools must have is checked at the start',
    {
      by: {
        iptables: [
          unit('kernel/iptables', 'findIptables() refuses an iptables that is too old, with the remedy'),
        ],
        ipvs: [
          unit('backends/ipvs/create', 'createIpvsBackend() says what to do about a kernel without IPVS'),
        ],
        nftables: [unit('kernel/nft', 'requireVersions() refuses $version on Linux $kernel and says why')],
      },
    },
  ],
  [
    63,
    'A mode that the host cannot carry ends the start; no other is chosen',
    {
      by: {
        iptables: [unit('backends/create', 'createIptablesBackend() names the program that is missing')],
        ipvs: [unit('backends/ipvs/create', 'createIpvsBackend() names the program %s that is missing')],
        nftables: [unit('backends/create', 'createNftablesBackend() names the program that is missing')],
      },
    },
  ],
  [
    64,
    'What another mode or kube-proxy has left is cleared away once the own rules answer',
    {
      by: {
        iptables: [
          kernel('switching', '$to takes over from $from under load and leaves nothing of it'),
          kernel('switching', "$to takes over from kube-proxy's $from under load"),
        ],
        ipvs: [
          {
            file: 'test/support/switching-tests.ts',
            title: 'ipvs takes over from iptables under load, and iptables from ipvs',
          },
        ],
        nftables: [
          kernel('switching', '$to takes over from $from under load and leaves nothing of it'),
          kernel('switching', "$to takes over from kube-proxy's $from under load"),
        ],
      },
    },
  ],
  [
    65,
    '`--cleanup` removes what is ours and nothing else',
    {
      by: {
        iptables: [kernel('iptables', 'cleanup leaves what others made, byte for byte')],
        ipvs: [inside('ipvs', 'never touches what is not its own, and takes away all that is')],
        nftables: [kernel('nftables', 'cleanup() removes the table of its family and nothing else')],
      },
    },
  ],
  [66, '`--init-only`', { by: inProgram('ends well on a host that can carry the mode, and writes no rule') }],
])

export const OPERATION = area('Operation', [
  [
    67,
    'A changed configuration file is followed',
    {
      everywhere: [
        unit('config/config-watch', 'notices the symbolic link swap of a ConfigMap, without polling'),
        unit('config/config-watch', 'refuses a bad file, keeps watching, and takes the next good one'),
      ],
    },
  ],
  [
    68,
    '`/healthz` and `/livez`, with the node that is to go',
    {
      everywhere: [
        unit('health/healthz-server', 'is byte for byte what kube-proxy answers while all is well'),
        unit(
          'health/healthz-server',
          'fails /healthz and not /livez when the node is to go, and still says healthy',
        ),
      ],
    },
  ],
  [
    69,
    'Metrics, `/proxyMode`, `/configz`, `/flagz`, `/statusz`, profiles',
    {
      everywhere: [
        unit('metrics/metrics-server', 'answers /proxyMode and /healthz with nosniff'),
        unit(
          'metrics/metrics-server',
          'answers /configz with the configuration in force as a v1alpha1 document',
        ),
        unit('metrics/metrics-server', 'answers /flagz as text and as JSON'),
        unit('metrics/metrics-server', 'answers /statusz as text and as JSON'),
        unit(
          'metrics/metrics-server',
          'offers /debug/pprof/heap and /debug/pprof/profile when profiling is on',
        ),
      ],
    },
  ],
  [70, 'How long programming takes, as metrics', { by: metrics() }],
  [71, 'Numbers of rules and of failures, as metrics', { by: metrics() }],
  [
    73,
    'Events about the Node and about Services',
    {
      everywhere: [
        unit(
          'events/event-recorder',
          'about a Service goes to its namespace, and says how often it was left out',
        ),
      ],
      by: both(
        forEach((mode) => ({
          ...unit('daemon/substitutions', 'in %s mode, %j becomes an event on the Service'),
          within: `in ${mode} mode`,
        })),
        inProgram('tells by an event on the Service what the mode cannot give it'),
      ),
    },
  ],
])

function metrics(): Feature['by'] {
  const one = unit('metrics/proxy-metrics', 'exports %s with its labels and buckets, or not at all')
  return forEach((mode) => ({ ...one, within: `in mode ${mode}` }))
}
