/** Why a connection goes where it goes, or nowhere: from what the proxy knows to an `Explanation`. */
import { rowOfFrontend } from '../forwarding/decision-table.ts'
import { explainEndpoints } from '../forwarding/explain-endpoints.ts'
import type { Frontend, PortForwarding } from '../forwarding/forwarding.ts'
import { findFrontend, routePacket, type Verdict } from '../forwarding/route-packet.ts'
import type { ServicePort } from '../model/service-port.ts'
import { hostPort, type Ip, familyOf } from '../net/ip.ts'
import { PROTOCOLS, type Protocol } from '../net/protocol.ts'
import { membershipWords } from './dump.ts'
import type {
  ExplainedFrontend,
  ExplainedObject,
  ExplainedPort,
  ExplainedRow,
  Explanation,
} from './explanation.ts'
import { findServicePorts, noSuchService } from './find-service.ts'
import { objectsOf } from './kernel-words.ts'
import type { FamilyProxyView, ProxyView } from './proxy-view.ts'
import { endpointState, frontendAddress, routeWord } from './route-words.ts'
import type { Subject } from './subject.ts'

export interface Sender {
  readonly ip: Ip
  /** The interface that its packets come in by, if known: some detectors go by it. */
  readonly inInterface: string | undefined
}

export interface Question {
  /** As the operator wrote it. */
  readonly text: string
  readonly subject: Subject
  /** `undefined`: any. */
  readonly protocol: Protocol | undefined
  readonly sender: Sender | undefined
}

/** A service port, and the frontends of it that are asked about. */
interface Found {
  readonly family: FamilyProxyView
  readonly servicePort: ServicePort | undefined
  readonly port: PortForwarding | undefined
  readonly frontends: readonly Frontend[]
}

export function explain(view: ProxyView, question: Question): Explanation {
  const found = question.subject.by === 'address' ? byAddress(view, question) : byService(view, question)
  return {
    subject: question.text,
    node: view.node.name,
    mode: view.mode,
    remarks: view.remarks,
    ports: found.map((one) => explainPort(view, one, question)),
    nothing: found.length > 0 ? [] : whyNothing(view, question),
  }
}

function byAddress(view: ProxyView, { subject, protocol }: Question): Found[] {
  if (subject.by !== 'address') return []
  const { ip: destIp, port: destPort } = subject
  return view.families.flatMap((family) => {
    const { forwarding, cluster } = family
    if (family.family !== familyOf(destIp) || forwarding === undefined) return []
    return (protocol === undefined ? PROTOCOLS : [protocol]).flatMap((one): Found[] => {
      const match = findFrontend(forwarding, { sourceIp: destIp, protocol: one, destIp, destPort })
      if (match === undefined) return []
      const { port, frontend } = match
      return [{ family, servicePort: cluster.servicePorts.get(port.key), port, frontends: [frontend] }]
    })
  })
}

function byService(view: ProxyView, { subject, protocol }: Question): Found[] {
  if (subject.by !== 'service') return []
  return findServicePorts(view, subject)
    .filter(({ servicePort }) => protocol === undefined || servicePort.protocol === protocol)
    .map(({ family, servicePort }) => {
      const port = family.forwarding?.ports.get(servicePort.key)
      return { family, servicePort, port, frontends: port?.frontends ?? [] }
    })
}

function explainPort(view: ProxyView, found: Found, { sender }: Question): ExplainedPort {
  const { family, servicePort, port, frontends } = found
  const named = port ?? servicePort
  if (named === undefined) throw new Error('Cannot explain a service port that nobody knows')
  return {
    servicePort: named.key,
    family: family.family,
    protocol: named.protocol,
    programmed: port !== undefined,
    frontends: frontends.flatMap((frontend) =>
      port === undefined ? [] : [explainFrontend(family, port, frontend, sender)],
    ),
    endpoints: servicePort === undefined ? [] : endpointRows(view, family, servicePort),
    kernelObjects: kernelObjects(family, port),
    problems: problemsOf(view, family, named),
  }
}

function explainFrontend(
  { family, forwarding, detector }: FamilyProxyView,
  port: PortForwarding,
  frontend: Frontend,
  sender: Sender | undefined,
): ExplainedFrontend {
  const { pod, node, external } = frontend.routes
  const explained = {
    kind: frontend.kind,
    address: frontendAddress(frontend, port.protocol),
    row: rowOfFrontend(frontend),
    routes: { pod: routeWord(pod), node: routeWord(node), external: routeWord(external) },
    sourceRanges: frontend.sourceRanges ?? [],
  }
  if (sender === undefined || forwarding === undefined || familyOf(sender.ip) !== family) return explained
  const { node: place } = forwarding
  const destIp =
    frontend.ip ?? place.primaryIp ?? place.localIps.find((ip) => !ip.startsWith('127.')) ?? sender.ip
  const packet = {
    sourceIp: sender.ip,
    inInterface: sender.inInterface,
    protocol: port.protocol,
    destIp,
    destPort: frontend.port,
  }
  const { origin, verdict, trace } = routePacket(forwarding, packet, detector)
  return { ...explained, sender: { ip: sender.ip, origin, result: resultText(verdict), trace } }
}

function resultText(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'reject':
      return 'is refused at once: no endpoint of the Service can be used'
    case 'drop':
      return 'is dropped without an answer'
    case 'none':
      return 'is left alone'
    case 'dnat': {
      const targets = verdict.targets.map(
        ({ ip, port, masquerade }) => `${hostPort(ip, port)}${masquerade ? ' (masqueraded)' : ''}`,
      )
      return `goes to ${targets.length === 1 ? '' : 'one of '}${targets.join(', ')}`
    }
  }
}

function endpointRows(view: ProxyView, family: FamilyProxyView, servicePort: ServicePort): ExplainedRow[] {
  const endpoints = family.cluster.endpoints.get(servicePort.key) ?? []
  return explainEndpoints(servicePort, endpoints, view.node).map(({ endpoint, clusterPool, localPool }) => ({
    address: hostPort(endpoint.ip, endpoint.port),
    node: endpoint.nodeName ?? '',
    state: endpointState(endpoint),
    weight: endpoint.weight,
    clusterPool: membershipWords(clusterPool),
    localPool: membershipWords(localPool),
  }))
}

function kernelObjects({ believed }: FamilyProxyView, port: PortForwarding | undefined): ExplainedObject[] {
  if (believed === undefined || port === undefined) return []
  return objectsOf(port, believed).map(({ object, lines }) => ({
    kind: object.kind,
    key: object.key,
    lines,
    inKernel: 'not checked',
  }))
}

function problemsOf(
  view: ProxyView,
  family: FamilyProxyView,
  { key, service }: Pick<ServicePort, 'key' | 'service'>,
): string[] {
  const refused = family.refused.get(key)
  return [
    ...(refused === undefined ? [] : [`refused by the kernel: ${refused}`]),
    ...family.conflicts.filter((conflict) => conflict.key === key).map(({ message }) => message),
    ...view.rejections
      .filter(({ kind, object }) => kind === 'Service' && object === service)
      .map(({ field, reason }) => `${field}: ${reason}`),
  ]
}

function whyNothing(view: ProxyView, { subject, protocol, sender }: Question): string[] {
  if (subject.by === 'service') return noSuchService(view, subject)
  const { ip: destIp, port: destPort } = subject
  const family = view.families.find((one) => one.family === familyOf(destIp))
  if (family === undefined) return [`this node does not serve ${familyOf(destIp)}`]
  if (family.forwarding === undefined) return ['nothing is programmed yet']
  const packet = {
    sourceIp: sender?.ip ?? destIp,
    inInterface: sender?.inInterface,
    protocol: protocol ?? 'TCP',
    destIp,
    destPort,
  }
  const { trace } = routePacket(family.forwarding, packet, family.detector)
  const lost = family.conflicts
    .filter(({ frontend }) => frontend.port === destPort && (frontend.ip ?? destIp) === destIp)
    .map(({ key, message }) => `${key}: ${message}`)
  // Without a sender, the line that tells who it is would be about an address that nobody named.
  return [...(sender === undefined ? trace.slice(1) : trace), ...lost]
}
