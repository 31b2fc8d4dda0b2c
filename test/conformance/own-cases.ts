/** The project's own cases: they need nothing beside the repository, and run in both families. */
import { FAMILIES, type Family } from '../../src/net/ip.ts'
import { addressPlan } from './address-plan.ts'
import { beyondCases } from './cases/beyond-cases.ts'
import { cornerEndpointCases } from './cases/corner-endpoint-cases.ts'
import { cornerFrontendCases } from './cases/corner-frontend-cases.ts'
import { cornerNodeCases } from './cases/corner-node-cases.ts'
import { cornerSliceCases } from './cases/corner-slice-cases.ts'
import { frontendCases } from './cases/frontend-cases.ts'
import { nodePortCases } from './cases/node-port-cases.ts'
import { policyCases } from './cases/policy-cases.ts'
import { sourceRangeCases } from './cases/source-range-cases.ts'
import type { ConformanceCase } from './conformance-case.ts'

export function loadOwnCases(family?: Family): ConformanceCase[] {
  return FAMILIES.filter((one) => family === undefined || one === family)
    .map(addressPlan)
    .flatMap((plan) => [
      ...frontendCases(plan),
      ...policyCases(plan),
      ...nodePortCases(plan),
      ...sourceRangeCases(plan),
      ...beyondCases(plan),
      ...cornerEndpointCases(plan),
      ...cornerSliceCases(plan),
      ...cornerFrontendCases(plan),
      ...cornerNodeCases(plan),
    ])
}
