import type { PortForwarding } from '../forwarding/forwarding.ts'
import type { BackendName } from './backend.ts'

/** What a mode that knows of no connection counts does instead of `least-connection`, in words for people. */
export function withoutConnectionCounts(
  { algorithm }: Pick<PortForwarding, 'algorithm'>,
  mode: BackendName,
): string | undefined {
  return algorithm === 'least-connection'
    ? `algorithm "least-connection" is not possible in ${mode} mode; endpoints are chosen at random`
    : undefined
}
