/** What the self-test found, in words: whose fault it is when the direct way and the one through the Service differ. */
import { hostPort } from '../../net/ip.ts'
import { checksumRemedy, udpTunnels } from './checksum-check.ts'
import { type Judgement, type LinkFact, error, ok, warning } from './node-facts.ts'
import {
  type Attempt,
  type RemoteEndpoint,
  type Target,
  type Tried,
  arrived,
  isAt,
  isLate,
  titleOf,
} from './self-test.ts'

/** `links`: of this node. */
export function judgeSelfTest(tried: readonly Tried[], links: readonly LinkFact[]): readonly Judgement[] {
  return tried.flatMap((one) => [
    ...one.direct.flatMap(({ endpoint, attempt }) => judgeDirect(one.target, endpoint, attempt)),
    ...(one.direct.some(({ attempt }) => arrived(attempt)) ? judgeThrough(one, links) : []),
  ])
}

/** Nobody but the pod network, and the program that listens, is concerned. */
function judgeDirect(
  target: Target,
  { ip, port, node }: RemoteEndpoint,
  { outcome, detail }: Attempt,
): readonly Judgement[] {
  const what = `${titleOf(target)}: straight to ${hostPort(ip, port)} on ${node}, without the Service,`
  switch (outcome) {
    case 'passed':
    case 'closed':
      return []
    case 'refused':
      return [
        warning(
          `${what} the connection is refused: ${detail}`,
          'see that the program in that pod listens on this port, or correct targetPort; the proxy has no part in it',
        ),
      ]
    case 'stalled':
    case 'mute':
      return [
        error(
          `${what} ${outcome === 'mute' ? 'no packet with data arrives' : 'small packets arrive and large ones do not'}`,
          'the MTU of the pod network does not fit its way: compare the check mtu on both nodes, and lower it in the CNI configuration',
        ),
      ]
    case 'silent':
      return target.protocol === 'UDP'
        ? [
            warning(
              `${what} nothing answers a DNS question over UDP (${detail})`,
              'nothing, if that program does not speak DNS; else look at the pod network and its network policies',
            ),
          ]
        : [
            error(
              `${what} there is no connection (${detail})`,
              'the proxy has no part in it: look at the pod network between the two nodes, its tunnel, routes, firewalls and network policies',
            ),
          ]
  }
}

/** Endpoints can be reached: what goes wrong now comes with the Service. */
function judgeThrough({ target, direct, through }: Tried, links: readonly LinkFact[]): readonly Judgement[] {
  const good = direct.filter(({ attempt }) => arrived(attempt)).map(({ endpoint }) => endpoint)
  // An endpoint that cannot be reached directly cannot be expected to answer through the Service.
  const expected = through.filter(
    (attempt) => attempt.flow === undefined || !isElsewhere(attempt, target, good),
  )
  const failed = expected.find((attempt) => !arrived(attempt))
  if (failed !== undefined) return [judgeFailure(target, failed, links)]
  const met = through.filter((attempt) => good.some((place) => isAt(attempt, place)))
  const [seen] = met
  if (seen === undefined)
    return [
      warning(
        `${titleOf(target)}: ${through.length} connections to ${hostPort(target.service.ip, target.service.port)} did not get to an endpoint that was reached directly`,
        'try it again, or with a Service that has fewer endpoints; "fairlead explain" says who is preferred',
      ),
    ]
  if (met.every(isLate) && !direct.every(({ attempt }) => isLate(attempt)))
    return [judgeLoss(target, seen, { links, lost: 'the first packet of a connection is lost' })]
  return ok(whole(target, good, seen))
}

function isElsewhere(attempt: Attempt, { service }: Target, good: readonly RemoteEndpoint[]): boolean {
  return !isAt(attempt, service) && !good.some((place) => isAt(attempt, place))
}

function whole(target: Target, good: readonly RemoteEndpoint[], { flow, outcome }: Attempt): string {
  const { ip, port } = target.service
  const nodes = [...new Set(good.map(({ node }) => node))].join(', ')
  const large =
    target.protocol === 'UDP'
      ? ''
      : outcome === 'passed'
        ? ', small and large packets'
        : ', small packets; the program ended the connection before large ones could be tried'
  return `${titleOf(target)}: endpoints on ${nodes} answer directly and through ${hostPort(ip, port)}${large}; they see ${flow?.seenAs ?? ''}`
}

function judgeFailure(target: Target, attempt: Attempt, links: readonly LinkFact[]): Judgement {
  const { ip, port } = target.service
  const { flow, outcome, detail } = attempt
  const begin = `${titleOf(target)}: endpoints answer directly, and through ${hostPort(ip, port)}`
  if (outcome === 'refused')
    return error(`${begin} the connection is refused: ${detail}`, lookAtRules(target))
  if (flow === undefined || isAt(attempt, target.service))
    return error(
      `${begin} nothing does: ${flow === undefined ? 'connection tracking knows nothing of it' : 'nobody translates it'}`,
      lookAtRules(target),
    )
  const lost =
    outcome === 'stalled'
      ? 'large packets are lost, and small ones are not'
      : `what is sent is lost (${detail})`
  return judgeLoss(target, attempt, { links, lost })
}

/** Translated, and gone after that. */
function judgeLoss(
  target: Target,
  { flow }: Attempt,
  { links, lost }: { readonly links: readonly LinkFact[]; readonly lost: string },
): Judgement {
  const { ip, port } = target.service
  const { endpoint = '', seenAs = '' } = flow ?? {}
  const tunnels = udpTunnels(links).map(({ name }) => checksumRemedy(name))
  const offload =
    tunnels.length === 0
      ? ''
      : `wrong checksums are the usual reason behind a tunnel, so try "${tunnels.join(' && ')}"; else `
  return error(
    `${titleOf(target)}: endpoints answer directly, and through ${hostPort(ip, port)} ${lost}: it is translated, to ${endpoint} as ${seenAs}`,
    `${offload}look for a firewall or network policy on either node that drops connections from ${seenAs}`,
  )
}

function lookAtRules({ servicePort }: Target): string {
  const [service = ''] = servicePort.split(':')
  return `our rules on this node are not as they should be, which "fairlead explain ${service}" and "fairlead diff" tell, or another rule of this node drops it`
}
