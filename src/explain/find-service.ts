/** Which service ports an operator means, and what to say when there are none. */
import type { ServiceKey, ServicePort } from '../model/service-port.ts'
import type { FamilyProxyView, ProxyView } from './proxy-view.ts'
import type { Subject } from './subject.ts'

type ServiceSubject = Extract<Subject, { readonly by: 'service' }>

export interface FoundServicePort {
  readonly family: FamilyProxyView
  readonly servicePort: ServicePort
}

/** Sorted by key; IPv4 before IPv6. */
export function findServicePorts(view: ProxyView, subject: ServiceSubject): readonly FoundServicePort[] {
  const named = allServicePorts(view).filter(
    ({ servicePort }) => nameOf(servicePort.service) === subject.name,
  )
  const inNamespace = (namespace: string): FoundServicePort[] =>
    named.filter(({ servicePort }) => namespaceOf(servicePort.service) === namespace)
  return chosen(named, inNamespace, subject)
    .filter(({ servicePort }) => isPort(servicePort, subject.port))
    .sort((a, b) => (a.servicePort.key < b.servicePort.key ? -1 : 1))
}

function chosen(
  named: readonly FoundServicePort[],
  inNamespace: (namespace: string) => FoundServicePort[],
  { namespace }: ServiceSubject,
): FoundServicePort[] {
  if (namespace !== undefined) return inNamespace(namespace)
  const usual = inNamespace('default')
  if (usual.length > 0) return usual
  const services = new Set(named.map(({ servicePort }) => servicePort.service))
  return services.size === 1 ? [...named] : []
}

export function noSuchService(view: ProxyView, subject: ServiceSubject): string[] {
  const { namespace, name, port } = subject
  const full = namespace === undefined ? name : `${namespace}/${name}`
  const services = new Set(
    allServicePorts(view)
      .map(({ servicePort }) => servicePort.service)
      .filter((service) => nameOf(service) === name),
  )
  const here = [...services].filter(
    (service) => namespace === undefined || namespaceOf(service) === namespace,
  )
  if (here.length > 1)
    return [`several Services are called ${name}: ${here.sort().join(', ')}; write the namespace too`]
  if (here.length === 1)
    return [`${here.join()} has no such port or protocol${port === undefined ? '' : `: ${port}`}`]
  const elsewhere = [...services].sort().join(', ')
  const rejected = view.rejections
    .filter(({ kind, object }) => kind === 'Service' && (object === full || object.endsWith(`/${full}`)))
    .map(({ object, field, reason }) => `${object} is refused: ${field}: ${reason}`)
  return [
    `no Service ${full} is proxied: it does not exist, has no cluster IP (headless, ExternalName), or another proxy's label`,
    ...rejected,
    ...(elsewhere === '' ? [] : [`there is ${elsewhere}`]),
  ]
}

function allServicePorts({ families }: ProxyView): FoundServicePort[] {
  return families.flatMap((family) =>
    [...family.cluster.servicePorts.values()].map((servicePort) => ({ family, servicePort })),
  )
}

function isPort(servicePort: ServicePort, wanted: string | undefined): boolean {
  if (wanted === undefined || String(servicePort.port) === wanted) return true
  const { key, service } = servicePort
  return key.slice(service.length + 1, key.lastIndexOf('/')) === wanted
}

function namespaceOf(service: ServiceKey): string {
  return service.slice(0, service.indexOf('/'))
}

function nameOf(service: ServiceKey): string {
  return service.slice(service.indexOf('/') + 1)
}
