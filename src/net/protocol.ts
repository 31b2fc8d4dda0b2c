/** Transport protocols that a Service port can have (Kubernetes `core/v1` Protocol). */
export type Protocol = 'TCP' | 'UDP' | 'SCTP'

export const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP']

/** A transport port, 1 to 65535. */
export type Port = number
