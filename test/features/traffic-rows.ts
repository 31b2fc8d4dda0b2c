/** Features that packets show. */
import { area, both, continuity, inProgram, inside, kernel, NO_LOOPBACK, settings, unit } from './proof.ts'

export const WATCHED = area('Services and endpoints', [
  [
    1,
    'Services of another proxy (`service-proxy-name`) and headless ones are not watched',
    {
      everywhere: [
        unit(
          'watch/reflector-with-api-server',
          'Reflector forgets a Service that is labelled for another proxy',
        ),
      ],
    },
  ],
  [
    2,
    'EndpointSlices of headless Services are left alone',
    {
      everywhere: [
        unit(
          'model/decode-others',
          'decodeEndpointSlice() leaves headless slices to nobody, without a complaint',
        ),
      ],
    },
  ],
  [3, 'ExternalName and Services without a cluster IP are not served'],
  [4, 'Both IP families at once, each by itself'],
  [
    5,
    'A family that the host lacks is left out',
    { by: inProgram('leaves out a family that the host has not, says it once, and serves the other') },
  ],
  [6, 'TCP, UDP and SCTP'],
  [7, 'Ready, serving, terminating, with the values of conditions that are not given'],
  [8, 'Endpoints that terminate but serve are the last resort, for each pool by itself'],
  [9, 'Zone and node hints'],
  [10, 'One endpoint in several slices'],
  [
    74,
    'The Node gets other pod networks, or goes',
    {
      everywhere: [
        unit(
          'model/cluster-store',
          'ClusterStore keeps what it knows of a Node that goes, but for its eligibility',
        ),
      ],
      by: inProgram('starts over when the pod networks of its Node change'),
    },
  ],
])

export const ADDRESSES = area('Addresses and policies', [
  [11, 'ClusterIP'],
  [12, 'Internal policy Local: endpoints of this node, or silence'],
  [13, 'ClusterIP without endpoints: refused at once'],
  [14, 'ClusterIP: who is no pod is masqueraded'],
  [15, 'Without a way to tell pods, ClusterIP traffic keeps its source'],
  [16, '`masqueradeAll` concerns the ClusterIP alone'],
  [
    17,
    'Pods told by cluster network, node network, bridge or interface prefix',
    { by: settings('pods are told by $name') },
  ],
  [18, 'External IPs'],
  [19, 'Load balancer addresses of mode VIP'],
  [20, 'Load balancer addresses of mode Proxy, and host names, are left alone'],
  [21, 'External policy Cluster: any endpoint, masqueraded'],
  [22, 'External policy Local: endpoints of this node, source kept'],
  [23, 'External policy Local: pods and the node go to any endpoint'],
  [24, 'External policy Local without an endpoint here: silence'],
  [25, 'External addresses without endpoints: refused at once'],
  [26, 'NodePorts on every address of the node'],
  [
    27,
    '`nodePortAddresses` as networks, followed as the addresses of the node change',
    {
      by: both(
        settings('NodePorts follow the addresses of the node'),
        inProgram('follows the addresses of the node with its NodePorts'),
      ),
    },
  ],
  [28, '`nodePortAddresses: primary`'],
  [29, 'NodePorts on 127.0.0.1', { cannot: { ipvs: NO_LOOPBACK } }],
  [30, 'NodePorts do not answer on ::1'],
  [
    31,
    'Loopback is not routed before a rule guards what listens there',
    {
      by: {
        iptables: [
          unit('backends/iptables/plan', 'plan() opens loopback only together with the guard'),
          unit('backends/iptables/script', 'scriptFor() opens loopback after the guard is written'),
        ],
        nftables: [
          unit(
            'backends/nftables/script',
            'scriptFor() switches route_localnet on after the rules that guard it',
          ),
        ],
      },
      cannot: { ipvs: 'loopback is not routed in this mode, so there is nothing to guard' },
    },
  ],
  [32, 'Refusal and silence of a NodePort concern the addresses of `nodePortAddresses` alone'],
  [34, 'Source ranges of load balancer addresses'],
  [35, 'Source ranges without endpoints'],
  [36, 'Source ranges that allow everybody, or name the other family alone'],
  [37, 'The node is let in by its own load balancer address when a range covers it'],
  [38, 'Source ranges leave NodePorts and external IPs alone, unless an annotation asks for more'],
  [
    39,
    'Health check servers of load balancers',
    {
      everywhere: [
        unit(
          'health/service-health',
          'answers any method and path on the port, and closes it with the Service',
        ),
        unit('health/service-health', 'is byte for byte what kube-proxy answers'),
      ],
    },
  ],
  [
    40,
    'Health check ports are let in',
    {
      by: { iptables: [unit('backends/iptables/plan', 'plan() lets health checks in')] },
      cannot: { nftables: 'an accept in one nft table cannot overrule another table' },
    },
  ],
  [44, 'Other ports of a ClusterIP'],
  [
    45,
    'The networks of ServiceCIDRs',
    {
      everywhere: [
        unit(
          'model/cluster-store',
          'ClusterStore joins the networks of all ServiceCIDRs, and keeps one that two of them have',
        ),
      ],
    },
  ],
])

export const CONNECTIONS = area('Connections', [
  [
    33,
    'Replies that cannot be translated back are dropped',
    {
      by: settings('a reply that cannot be translated back meets the INVALID drop, which is $choice', [
        'iptables',
        'nftables',
      ]),
      cannot: {
        ipvs: 'IPVS tracks its connections itself; the README of the backend says why no rule can tell them',
      },
    },
  ],
  [41, 'An endpoint that meets itself is masqueraded'],
  [
    42,
    'Session affinity with its timeout, kept when others come and go and over a restart',
    {
      by: {
        iptables: [
          kernel('iptables', 'keeps what a set remembers over a restart and changes of other endpoints'),
        ],
        nftables: [
          kernel(
            'nftables-packets',
            '$family clients keep their endpoint until it leaves, and then keep another$version',
          ),
        ],
      },
    },
  ],
  [43, 'Balancing: equal shares, weights, source hash'],
  [
    46,
    'What is masqueraded is forwarded although FORWARD drops',
    {
      by: settings('what is masqueraded is forwarded although FORWARD drops everything else', [
        'iptables',
        'ipvs',
      ]),
      cannot: { nftables: 'an accept in one nft table cannot overrule another table' },
    },
  ],
  [
    47,
    'The bit of the mark for masquerading can be chosen',
    { by: settings('the mark for masquerading is the bit that was asked for') },
  ],
  [48, 'Masquerading chooses ports at random', { by: settings('masquerading chooses ports at random') }],
  [
    54,
    'No packet is without an answer while rules are written',
    { by: continuity('endpoints that come and go lose no connection, new or old') },
  ],
  [
    56,
    'Open connections go on when their endpoint leaves',
    {
      by: {
        ...continuity('endpoints that come and go lose no connection, new or old'),
        ipvs: [
          inside('ipvs', 'go on while their endpoint drains, through a restart, and when it comes back'),
        ],
      },
    },
  ],
  [
    57,
    'UDP flows to endpoints that are gone are forgotten',
    { by: continuity('a busy UDP flow to a $name moves on when its endpoint goes') },
  ],
  [
    75,
    'What is programmed stays when the process ends',
    { by: continuity('a restart of the proxy loses no connection and changes nothing') },
  ],
])
