/**
 * The fields of every kind: the one source for checking requests, for merging patches and for the OpenAPI documents.
 * The fields come from src/assets/kubernetes-models.json; how lists merge is said here, because it is not in there.
 */
import { readFileSync } from 'node:fs'
import { NEW_EVENTS, type ResourceDefinition, EVENTS } from './resources.ts'

export interface Field {
  readonly name: string
  readonly required: boolean
  readonly isList: boolean
  /** Of the field, or of the elements of a list: a plain type or the name of a model. */
  readonly type: string
  /** How a list merges: by these fields of its elements, as a set of plain values, or not at all. */
  readonly merge: ListMerge
}

export type ListMerge =
  | { readonly by: 'replace' }
  | { readonly by: 'set' }
  | { readonly by: 'keys'; readonly keys: readonly [string, ...string[]] }

export type Model = ReadonlyMap<string, Field>

/**
 * The first key is the merge key of strategic merge patches; the further ones make an element unique for server-side
 * apply. From the struct tags of k8s.io/api.
 */
const MERGE_KEYS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  'V1ObjectMeta.ownerReferences': ['uid'],
  'V1ServiceSpec.ports': ['port', 'protocol'],
  'V1ServiceStatus.conditions': ['type'],
  'V1PodSpec.containers': ['name'],
  'V1PodSpec.initContainers': ['name'],
  'V1PodSpec.ephemeralContainers': ['name'],
  'V1PodSpec.volumes': ['name'],
  'V1PodSpec.imagePullSecrets': ['name'],
  'V1PodSpec.hostAliases': ['ip'],
  'V1PodSpec.topologySpreadConstraints': ['topologyKey', 'whenUnsatisfiable'],
  'V1PodSpec.resourceClaims': ['name'],
  'V1PodSpec.schedulingGates': ['name'],
  'V1PodStatus.conditions': ['type'],
  'V1PodStatus.podIPs': ['ip'],
  'V1PodStatus.hostIPs': ['ip'],
  'V1Container.env': ['name'],
  'V1Container.ports': ['containerPort', 'protocol'],
  'V1Container.volumeMounts': ['mountPath'],
  'V1Container.volumeDevices': ['devicePath'],
  'V1NodeStatus.addresses': ['type'],
  'V1NodeStatus.conditions': ['type'],
  'V1NamespaceStatus.conditions': ['type'],
  'V1DeploymentStatus.conditions': ['type'],
  'V1ReplicaSetStatus.conditions': ['type'],
  'V1ServiceCIDRStatus.conditions': ['type'],
}
const SETS: ReadonlySet<string> = new Set(['V1ObjectMeta.finalizers', 'V1NodeSpec.podCIDRs'])

type ModelFile = Readonly<Record<string, Readonly<Record<string, string>>>>

const models: ReadonlyMap<string, Model> = readModels()

/** The fields of a model; `undefined` for plain types. */
export function modelNamed(name: string): Model | undefined {
  return models.get(name)
}

export function allModels(): ReadonlyMap<string, Model> {
  return models
}

/** The name of the model of a resource's objects. */
export function modelNameOf(definition: ResourceDefinition): string {
  if (definition === EVENTS) return 'CoreV1Event'
  return definition === NEW_EVENTS ? 'EventsV1Event' : `V1${definition.kind}`
}

function readModels(): ReadonlyMap<string, Model> {
  const path = new URL('../../assets/kubernetes-models.json', import.meta.url)
  const file = JSON.parse(readFileSync(path, 'utf8')) as ModelFile
  return new Map(
    Object.entries(file).map(([model, fields]) => [
      model,
      new Map(
        Object.entries(fields).map(([text, type]) => {
          const field = fieldOf(model, text, type)
          return [field.name, field]
        }),
      ),
    ]),
  )
}

function fieldOf(model: string, text: string, type: string): Field {
  const name = text.replace('!', '')
  const keys = MERGE_KEYS[`${model}.${name}`]
  const merge: ListMerge =
    keys !== undefined ? { by: 'keys', keys } : { by: SETS.has(`${model}.${name}`) ? 'set' : 'replace' }
  const isList = type.startsWith('[]')
  return { name, required: text.endsWith('!'), isList, type: isList ? type.slice(2) : type, merge }
}
