/** What happens to an object between the request and the store: defaults, allocation, validation. */
import { type ApiObject } from './api-object.ts'
import { type ResourceDefinition } from './resources.ts'

export interface Admission {
  /** The object as it will be stored. Throws an ApiError when it is not acceptable. */
  admitCreate(definition: ResourceDefinition, object: ApiObject): ApiObject
  admitUpdate(definition: ResourceDefinition, object: ApiObject, previous: ApiObject): ApiObject
  /** For objects that the embedding program loads: completed, but not judged. */
  admitLoaded(definition: ResourceDefinition, object: ApiObject): ApiObject
  /** Told of every change that is stored, so that allocations follow. */
  track(definition: ResourceDefinition, previous: ApiObject | undefined, next: ApiObject | undefined): void
}

/** Takes every object as it is. */
export const rawAdmission: Admission = {
  admitCreate: (_definition, object) => object,
  admitUpdate: (_definition, object) => object,
  admitLoaded: (_definition, object) => object,
  track: () => undefined,
}
