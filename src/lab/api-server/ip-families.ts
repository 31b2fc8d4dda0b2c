/** Which IP families a Service gets: KEP-563 (dual stack). */
import { type Family, FAMILIES } from '../../net/ip.ts'
import { clusterIpsOf, familyOfText, isHeadless, type ServiceSpec } from './service-spec.ts'
import { type FieldProblem } from './status-errors.ts'

export interface FamilyChoice {
  readonly ipFamilies: readonly Family[]
  readonly ipFamilyPolicy: string
  readonly problem: FieldProblem | undefined
}

/** The families and policy for a spec; `available` are the cluster's families, the default one first. */
export function familiesFor(spec: ServiceSpec, available: readonly Family[]): FamilyChoice {
  const given = givenFamilies(spec)
  const [first = 'IPv4'] = [...given, ...available]
  if (isOpenHeadless(spec) && given.length === 0)
    return { ipFamilies: [first, other(first)], ipFamilyPolicy: 'RequireDualStack', problem: undefined }
  const ipFamilyPolicy = spec.ipFamilyPolicy ?? (given.length > 1 ? 'RequireDualStack' : 'SingleStack')
  const problem = problemOf(ipFamilyPolicy, given, available)
  if (ipFamilyPolicy === 'SingleStack') return { ipFamilies: [first], ipFamilyPolicy, problem }
  const second = given[1] ?? available.find((family) => family !== first)
  return { ipFamilies: second === undefined ? [first] : [first, second], ipFamilyPolicy, problem }
}

/** A headless Service without selector may get endpoints of any family, whatever the cluster offers. */
function isOpenHeadless(spec: ServiceSpec): boolean {
  const hasSelector = Object.keys(spec.selector ?? {}).length > 0
  return isHeadless(spec) && !hasSelector && spec.ipFamilyPolicy === undefined
}

function givenFamilies(spec: ServiceSpec): readonly Family[] {
  if (spec.ipFamilies !== undefined && spec.ipFamilies.length > 0) return spec.ipFamilies
  return clusterIpsOf(spec).flatMap((text) => familyOfText(text) ?? [])
}

function problemOf(
  policy: string,
  given: readonly Family[],
  available: readonly Family[],
): FieldProblem | undefined {
  if (policy === 'RequireDualStack' && available.length < 2)
    return {
      reason: 'FieldValueInvalid',
      field: 'spec.ipFamilyPolicy',
      message: `Invalid value: "${policy}": this cluster is not configured for dual-stack services`,
    }
  const index = given.findIndex((family) => !available.includes(family))
  if (index < 0) return undefined
  return {
    reason: 'FieldValueInvalid',
    field: `spec.ipFamilies[${index}]`,
    message: `Invalid value: "${given[index] ?? ''}": not configured on this cluster`,
  }
}

function other(family: Family): Family {
  return FAMILIES.find((one) => one !== family) ?? family
}
