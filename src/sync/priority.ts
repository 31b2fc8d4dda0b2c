import type { PortForwarding } from '../forwarding/forwarding.ts'

/**
 * What everything else on a node waits for: the API server's own Service and cluster DNS. At a cold start these are
 * programmed before the other Services.
 */
export function isFirstNeeded(port: PortForwarding): boolean {
  if (port.service === 'default/kubernetes') return true
  return port.service.startsWith('kube-system/') && port.frontends.some((frontend) => frontend.port === 53)
}
