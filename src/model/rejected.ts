/** A part of an API object that we refuse: it is treated as absent, logged once, counted and shown. */
export interface Rejected {
  readonly kind: 'Service' | 'EndpointSlice' | 'Node' | 'ServiceCIDR'
  /** `namespace/name` of the object (`name` for objects without namespace, `?` without both). */
  readonly object: string
  readonly resourceVersion: string
  /** Path of the refused field, as kubectl would write it: `spec.clusterIPs[1]`. */
  readonly field: string
  /** What is wrong with which value, and what happens instead. One line, control characters escaped. */
  readonly reason: string
}
