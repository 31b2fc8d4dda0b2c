/** What the API server demands of objects other than Services, and of every object's metadata. */
import { parseIp } from '../../net/ip.ts'
import { parseCidr } from '../../net/cidr.ts'
import { type ApiObject, specOf } from './api-object.ts'
import {
  duplicateField,
  invalidField,
  portProblems,
  requiredField,
  supportedField,
} from './field-problems.ts'
import { arrayOrEmpty, isObject, type Json, type JsonObject, objectOrEmpty, valueAt } from './json.ts'
import { isDnsLabel, isDnsSubdomain, isLabelValue, isQualifiedName } from './names.ts'
import {
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  NAMESPACES,
  PODS,
  type ResourceDefinition,
  SERVICE_CIDRS,
  SERVICES,
} from './resources.ts'
import { parseLabelSelector } from './selectors.ts'
import { type FieldProblem } from './status-errors.ts'
import { validateService } from './validate-service.ts'

type Validate = (object: ApiObject) => readonly FieldProblem[]

const VALIDATIONS: ReadonlyMap<ResourceDefinition, Validate> = new Map([
  [SERVICES, validateService],
  [ENDPOINT_SLICES, validateEndpointSlice],
  [PODS, (pod: ApiObject) => podSpecProblems('spec', specOf(pod))],
  [DEPLOYMENTS, validateDeployment],
  [SERVICE_CIDRS, validateServiceCidr],
])

/** Everything that is wrong with an object, in the order of its fields. */
export function validateObject(definition: ResourceDefinition, object: ApiObject): readonly FieldProblem[] {
  return [...metadataProblems(definition, object), ...(VALIDATIONS.get(definition)?.(object) ?? [])]
}

function metadataProblems(definition: ResourceDefinition, object: ApiObject): readonly FieldProblem[] {
  const { name, labels = {} } = object.metadata
  const problems: FieldProblem[] = []
  const isNameGood = definition === NAMESPACES ? isDnsLabel(name) : isDnsSubdomain(name)
  // Services have a rule of their own.
  if (!isNameGood && definition !== SERVICES)
    problems.push(
      invalidField(
        'metadata.name',
        name,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
      ),
    )
  for (const [key, value] of Object.entries(labels)) {
    if (!isQualifiedName(key))
      problems.push(invalidField('metadata.labels', key, 'name part must consist of alphanumeric characters'))
    if (!isLabelValue(value))
      problems.push(
        invalidField(
          'metadata.labels',
          value,
          'a valid label must be an empty string or consist of alphanumeric characters',
        ),
      )
  }
  return problems
}

const PARSERS: Readonly<Record<string, (text: string) => boolean>> = {
  IPv4: (text) => parseIp(text) !== undefined && !text.includes(':'),
  IPv6: (text) => parseIp(text) !== undefined && text.includes(':'),
  FQDN: isDnsSubdomain,
}
const MAX_ENDPOINTS = 1000

function validateEndpointSlice(slice: ApiObject): readonly FieldProblem[] {
  const { addressType } = slice
  const type = typeof addressType === 'string' ? addressType : ''
  if (type === '') return [requiredField('addressType')]
  const isGood = PARSERS[type]
  if (isGood === undefined) return supportedField('addressType', type, ['FQDN', 'IPv4', 'IPv6'])
  const endpoints = arrayOrEmpty(slice['endpoints'])
  const problems = endpoints.flatMap((endpoint, i) => endpointProblems(endpoint, `endpoints[${i}]`, isGood))
  if (endpoints.length > MAX_ENDPOINTS)
    problems.push(invalidField('endpoints', endpoints.length, `must have at most ${MAX_ENDPOINTS} items`))
  const names = new Set<Json>()
  for (const [i, port] of arrayOrEmpty(slice['ports']).entries()) {
    const { name = '', protocol } = objectOrEmpty(port)
    if (names.has(name)) problems.push(duplicateField(`ports[${i}].name`, name))
    names.add(name)
    problems.push(...supportedField(`ports[${i}].protocol`, textOf(protocol), ['SCTP', 'TCP', 'UDP']))
  }
  return problems
}

function endpointProblems(endpoint: Json, field: string, isGood: (text: string) => boolean): FieldProblem[] {
  const addresses = arrayOrEmpty(objectOrEmpty(endpoint)['addresses'])
  if (addresses.length === 0) return [requiredField(`${field}.addresses`, 'must contain at least 1 address')]
  return addresses.flatMap((address, i) =>
    typeof address === 'string' && isGood(address)
      ? []
      : [invalidField(`${field}.addresses[${i}]`, address, "must be an address of the slice's type")],
  )
}

function podSpecProblems(field: string, spec: JsonObject): FieldProblem[] {
  const containers = arrayOrEmpty(spec['containers'])
  if (containers.length === 0) return [requiredField(`${field}.containers`)]
  return containers.flatMap((container, i) => {
    const { name, image, ports } = objectOrEmpty(container)
    const path = `${field}.containers[${i}]`
    const problems: FieldProblem[] = []
    if ((textOf(name) ?? '') === '') problems.push(requiredField(`${path}.name`))
    if ((textOf(image) ?? '') === '') problems.push(requiredField(`${path}.image`))
    for (const [k, port] of arrayOrEmpty(ports).entries()) {
      const { containerPort } = objectOrEmpty(port)
      const number = typeof containerPort === 'number' ? containerPort : undefined
      problems.push(...portProblems(`${path}.ports[${k}].containerPort`, number))
    }
    return problems
  })
}

function validateDeployment(deployment: ApiObject): readonly FieldProblem[] {
  const spec = specOf(deployment)
  const { replicas, selector, template } = spec
  const problems = podSpecProblems('spec.template.spec', objectOrEmpty(valueAt(template, ['spec'])))
  if (typeof replicas === 'number' && replicas < 0)
    problems.push(invalidField('spec.replicas', replicas, 'must be greater than or equal to 0'))
  const labels = objectOrEmpty(valueAt(template, ['metadata', 'labels'])) as Record<string, string>
  if (!isObject(selector)) return [...problems, requiredField('spec.selector')]
  const wanted = Object.entries(objectOrEmpty(selector['matchLabels']) as Record<string, string>)
  const matches = parseLabelSelector(wanted.map(([key, value]) => `${key}=${value}`).join(','))
  if (!matches(labels))
    problems.push(
      invalidField('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'),
    )
  return problems
}

function validateServiceCidr(object: ApiObject): readonly FieldProblem[] {
  const cidrs = arrayOrEmpty(specOf(object)['cidrs'])
  if (cidrs.length === 0) return [requiredField('spec.cidrs', 'at least one CIDR required')]
  return cidrs.flatMap((cidr, i) =>
    typeof cidr === 'string' && parseCidr(cidr) === cidr
      ? []
      : [invalidField(`spec.cidrs[${i}]`, cidr, 'must be a network address and prefix length')],
  )
}

function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
