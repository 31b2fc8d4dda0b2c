/**
 * The feature gates that a service proxy's configuration may name. Only `AllowServiceExternalIPs`, `ComponentFlagz` and
 * `ComponentStatusz` change what Fairlead does. The others are known because existing configurations name them; what
 * they stood for is either always on here or does not concern this program.
 */
export interface FeatureGate {
  readonly default: boolean
  /** The gate's value cannot be changed any more. */
  readonly locked: boolean
  readonly stage: '' | 'ALPHA' | 'BETA' | 'DEPRECATED'
}

const ga = { default: true, locked: true, stage: '' } as const
const on = { default: true, locked: false, stage: 'BETA' } as const
const alpha = { default: false, locked: false, stage: 'ALPHA' } as const

export const FEATURE_GATES: Readonly<Record<string, FeatureGate>> = {
  AllAlpha: alpha,
  AllBeta: { default: false, locked: false, stage: 'BETA' },
  AllowServiceExternalIPs: { default: true, locked: false, stage: 'DEPRECATED' },
  ComponentFlagz: on,
  ComponentStatusz: on,
  ContextualLogging: on,
  DisableNodeKubeProxyVersion: ga,
  IPv6DualStack: ga,
  KubeProxyDrainingTerminatingNodes: ga,
  KubeProxyIPVS: { default: true, locked: false, stage: 'DEPRECATED' },
  LoadBalancerIPMode: ga,
  LoggingAlphaOptions: alpha,
  LoggingBetaOptions: on,
  MinimizeIPTablesRestore: ga,
  MultiCIDRServiceAllocator: ga,
  NFTablesProxyMode: ga,
  NativeHistograms: alpha,
  PreferSameTrafficDistribution: ga,
  ProxyTerminatingEndpoints: ga,
  ServiceInternalTrafficPolicy: ga,
  ServiceTrafficDistribution: ga,
  TopologyAwareHints: ga,
}

/** Every gate with its value, the operator's choices applied. */
export function gateValues(chosen: Readonly<Record<string, boolean>>): Readonly<Record<string, boolean>> {
  const values = Object.entries(FEATURE_GATES).map(([name, gate]) => [name, chosen[name] ?? gate.default])
  return Object.fromEntries(values) as Record<string, boolean>
}
