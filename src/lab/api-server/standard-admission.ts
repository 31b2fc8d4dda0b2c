/** What a real API server does to an object before it stores it: defaults, allocation, validation. */
import { type Cidr, parseCidr } from '../../net/cidr.ts'
import { type Admission } from './admission.ts'
import { type NodePortRange, ServiceAllocations } from './allocation.ts'
import { type ApiObject, objectKey, specOf } from './api-object.ts'
import { carryService } from './carry-service.ts'
import { defaultService } from './defaults-service.ts'
import { defaultDeployment, defaultEndpointSlice, defaultNamespace, defaultPod } from './defaults-workload.ts'
import { invalidField } from './field-problems.ts'
import { arrayOrEmpty } from './json.ts'
import {
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  NAMESPACES,
  PODS,
  REPLICA_SETS,
  type ResourceDefinition,
  SERVICE_CIDRS,
  SERVICES,
} from './resources.ts'
import { type FieldProblem, invalid, notFound } from './status-errors.ts'
import { type Store } from './store.ts'
import { validateObject } from './validate-object.ts'
import { validateServiceUpdate } from './validate-service.ts'

const DEFAULTS: ReadonlyMap<ResourceDefinition, (object: ApiObject) => ApiObject> = new Map([
  [SERVICES, defaultService],
  [PODS, defaultPod],
  [DEPLOYMENTS, defaultDeployment],
  [REPLICA_SETS, defaultDeployment],
  [ENDPOINT_SLICES, defaultEndpointSlice],
  [NAMESPACES, defaultNamespace],
])

export function createStandardAdmission(store: Store, nodePortRange: NodePortRange): Admission {
  const allocations = new ServiceAllocations({ cidrs: () => serviceCidrs(store), nodePortRange })

  function admitted(
    definition: ResourceDefinition,
    object: ApiObject,
    further: readonly FieldProblem[],
  ): ApiObject {
    // Judged before anything is allocated, because allocation trusts what it reads.
    refuse(definition, object, [...validateObject(definition, object), ...further])
    if (definition !== SERVICES) return object
    const { service, problems } = allocations.complete(object)
    refuse(definition, service, problems)
    return service
  }

  return {
    admitCreate(definition, object) {
      checkNamespace(store, object)
      return admitted(definition, defaulted(definition, object), [])
    },
    admitUpdate(definition, object, previous) {
      if (definition === SERVICES) {
        const service = carryService(defaultService(object), previous)
        return admitted(definition, service, validateServiceUpdate(service, previous))
      }
      return admitted(
        definition,
        defaulted(definition, object),
        fixedFieldProblems(definition, object, previous),
      )
    },
    admitLoaded(definition, object) {
      const complete = defaulted(definition, object)
      return definition === SERVICES ? allocations.complete(complete).service : complete
    },
    track(definition, previous, next) {
      if (definition === SERVICES) allocations.track(previous, next)
    },
  }
}

function defaulted(definition: ResourceDefinition, object: ApiObject): ApiObject {
  return DEFAULTS.get(definition)?.(object) ?? object
}

function refuse(definition: ResourceDefinition, object: ApiObject, problems: readonly FieldProblem[]): void {
  if (problems.length > 0) throw invalid(definition, object.metadata.name, problems)
}

function fixedFieldProblems(
  definition: ResourceDefinition,
  next: ApiObject,
  previous: ApiObject,
): readonly FieldProblem[] {
  if (definition !== ENDPOINT_SLICES || next['addressType'] === previous['addressType']) return []
  return [invalidField('addressType', next['addressType'], 'field is immutable')]
}

function checkNamespace(store: Store, object: ApiObject): void {
  const { namespace } = object.metadata
  if (namespace === undefined) return
  if (store.get(NAMESPACES, objectKey(undefined, namespace)) === undefined)
    throw notFound(NAMESPACES, namespace)
}

function serviceCidrs(store: Store): readonly Cidr[] {
  return store
    .list(SERVICE_CIDRS)
    .flatMap(({ object }) => arrayOrEmpty(specOf(object)['cidrs']))
    .flatMap((text) => (typeof text === 'string' ? (parseCidr(text) ?? []) : []))
}
