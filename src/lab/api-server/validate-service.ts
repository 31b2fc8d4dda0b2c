/** What the API server demands of a Service: pkg/apis/core/validation of Kubernetes, the rules that clients meet. */
import { parseCidr } from '../../net/cidr.ts'
import { parseIp } from '../../net/ip.ts'
import { type ApiObject } from './api-object.ts'
import {
  duplicateField,
  forbiddenField,
  invalidField,
  portProblems,
  requiredField,
  supportedField,
} from './field-problems.ts'
import { isDnsLabel } from './names.ts'
import {
  clusterIpsOf,
  isHeadless,
  needsHealthCheckNodePort,
  type ServicePortSpec,
  type ServiceSpec,
  serviceSpecOf,
} from './service-spec.ts'
import { type FieldProblem } from './status-errors.ts'

export function validateService(service: ApiObject): readonly FieldProblem[] {
  const spec = serviceSpecOf(service)
  return [
    ...serviceNameProblems(service.metadata.name),
    ...supportedField('spec.type', spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']),
    ...supportedField('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']),
    ...supportedField('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']),
    ...supportedField('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local']),
    ...supportedField('spec.trafficDistribution', spec.trafficDistribution, [
      'PreferClose',
      'PreferSameNode',
      'PreferSameZone',
    ]),
    ...supportedField('spec.ipFamilyPolicy', spec.ipFamilyPolicy, [
      'SingleStack',
      'PreferDualStack',
      'RequireDualStack',
    ]),
    ...typeProblems(spec),
    ...portListProblems(spec),
    ...addressProblems(spec),
    ...affinityProblems(spec),
  ]
}

/** The rules for a change: the first cluster IP stays as long as the Service has one. */
export function validateServiceUpdate(next: ApiObject, previous: ApiObject): readonly FieldProblem[] {
  const to = serviceSpecOf(next)
  const from = serviceSpecOf(previous)
  if (to.type === 'ExternalName' || from.type === 'ExternalName') return []
  const before = clusterIpsOf(from)
  const after = clusterIpsOf(to)
  if (before[0] === undefined || before[0] === after[0]) return []
  return [invalidField('spec.clusterIPs[0]', [...after], 'may not change once set')]
}

function serviceNameProblems(name: string): readonly FieldProblem[] {
  if (/^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(name) && name.length <= 63) return []
  return [
    invalidField(
      'metadata.name',
      name,
      `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
    ),
  ]
}

function typeProblems(spec: ServiceSpec): readonly FieldProblem[] {
  if (spec.type === 'ExternalName')
    return (spec.externalName ?? '') === '' ? [requiredField('spec.externalName')] : []
  if (spec.type === 'LoadBalancer' && isHeadless(spec))
    return [invalidField('spec.clusterIPs[0]', 'None', "may not be set to 'None' for LoadBalancer services")]
  if (spec.type === 'NodePort' && isHeadless(spec))
    return [invalidField('spec.clusterIPs[0]', 'None', "may not be set to 'None' for NodePort services")]
  if ((spec.healthCheckNodePort ?? 0) !== 0 && !needsHealthCheckNodePort(spec))
    return [
      invalidField(
        'spec.healthCheckNodePort',
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    ]
  return []
}

function portListProblems(spec: ServiceSpec): readonly FieldProblem[] {
  const { ports = [] } = spec
  if (ports.length === 0)
    return isHeadless(spec) || spec.type === 'ExternalName' ? [] : [requiredField('spec.ports')]
  const problems = ports.flatMap((port, i) => onePortProblems(port, { i, spec, alone: ports.length === 1 }))
  const seen = new Set<string>()
  for (const [field, key] of ports.flatMap(uniqueKeys)) {
    if (seen.has(key)) problems.push(duplicateField(field, key))
    seen.add(key)
  }
  return problems
}

/** What no other port of the Service may have too, with the field that an error names. */
function uniqueKeys(port: ServicePortSpec, i: number): readonly (readonly [field: string, key: string])[] {
  const { protocol = 'TCP', name, nodePort = 0 } = port
  return [
    [`spec.ports[${i}]`, `port ${port.port}/${protocol}`],
    ...(name === undefined ? [] : [[`spec.ports[${i}].name`, `name ${name}`] as const]),
    ...(nodePort === 0 ? [] : [[`spec.ports[${i}].nodePort`, `node port ${nodePort}/${protocol}`] as const]),
  ]
}

function onePortProblems(
  port: ServicePortSpec,
  where: { readonly i: number; readonly spec: ServiceSpec; readonly alone: boolean },
): FieldProblem[] {
  const { i, spec, alone } = where
  const field = `spec.ports[${i}]`
  const { name = '', targetPort, nodePort = 0 } = port
  const problems = [
    ...portProblems(`${field}.port`, port.port),
    ...supportedField(`${field}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']),
  ]
  if (name === '' && !alone) problems.push(requiredField(`${field}.name`))
  if (name !== '' && !isDnsLabel(name))
    problems.push(invalidField(`${field}.name`, name, 'a lowercase RFC 1123 label is required'))
  if (typeof targetPort === 'number') problems.push(...portProblems(`${field}.targetPort`, targetPort))
  if (nodePort !== 0 && spec.type === 'ClusterIP')
    problems.push(forbiddenField(`${field}.nodePort`, "may not be used when `type` is 'ClusterIP'"))
  return problems
}

function addressProblems(spec: ServiceSpec): readonly FieldProblem[] {
  const problems: FieldProblem[] = []
  const check = (field: string, texts: readonly string[], parse: (text: string) => unknown) => {
    for (const [i, text] of texts.entries())
      if (parse(text.trim()) === undefined)
        problems.push(invalidField(`${field}[${i}]`, text, 'must be a valid IP address or network'))
  }
  const ips = clusterIpsOf(spec)
  check('spec.clusterIPs', isHeadless(spec) ? ips.slice(1) : ips, parseIp)
  check('spec.externalIPs', spec.externalIPs ?? [], parseIp)
  check('spec.loadBalancerSourceRanges', spec.loadBalancerSourceRanges ?? [], parseCidr)
  if (spec.clusterIP !== undefined && ips[0] !== undefined && spec.clusterIP !== ips[0])
    problems.push(invalidField('spec.clusterIPs', [...ips], 'first value must match `clusterIP`'))
  return problems
}

function affinityProblems(spec: ServiceSpec): readonly FieldProblem[] {
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
  if (seconds === undefined || (seconds > 0 && seconds <= 86400)) return []
  return [
    invalidField(
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
      seconds,
      'must be greater than 0 and less than or equal to 86400',
    ),
  ]
}
