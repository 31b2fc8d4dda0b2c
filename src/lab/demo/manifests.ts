/** What the demo puts into its cluster: what one would write for `kubectl apply`. */
import type { ApiObject } from '../api-server/api-object.ts'
import { WEB_PORT } from '../pod-sandbox.ts'

export const NODE_PORT = 30080
export const SERVICE_PORT = 80

const LABELS = { app: 'web' }

/** `preStopSeconds`: how long a pod serves on after it was asked to go; longer than the slowest node takes to hear of it. */
export function webDeployment(replicas: number, preStopSeconds = 1): ApiObject {
  const containers = [
    {
      name: 'web',
      image: 'web',
      ports: [{ containerPort: WEB_PORT }],
      // A pod that is asked to go serves on for a moment: everybody has to hear of it before it may stop.
      lifecycle: { preStop: { sleep: { seconds: preStopSeconds } } },
    },
    { name: 'sidecar', image: 'sidecar' },
  ]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: LABELS },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: LABELS },
        spec: { terminationGracePeriodSeconds: 3 + 2 * preStopSeconds, containers },
      },
    },
  }
}

export function webService(): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      type: 'NodePort',
      selector: LABELS,
      ports: [{ name: 'http', port: SERVICE_PORT, targetPort: WEB_PORT, nodePort: NODE_PORT }],
    },
  }
}
