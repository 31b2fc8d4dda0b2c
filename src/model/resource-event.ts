/** What the watch stage tells the model: raw API objects, not yet trusted. */
export type ResourceKind = 'Service' | 'EndpointSlice' | 'Node' | 'ServiceCIDR'

export type ResourceEvent =
  /** Some objects of a fresh, complete list. `first` starts the list; nothing is forgotten before `listed`. */
  | {
      readonly type: 'page'
      readonly resource: ResourceKind
      readonly first: boolean
      readonly objects: readonly unknown[]
    }
  /** The list is complete: every object that was not in its pages is gone. From the first one on we are in sync. */
  | { readonly type: 'listed'; readonly resource: ResourceKind }
  | { readonly type: 'changed'; readonly resource: ResourceKind; readonly object: unknown }
  | { readonly type: 'deleted'; readonly resource: ResourceKind; readonly object: unknown }
