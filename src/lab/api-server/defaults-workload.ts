/** Defaults of Pods, Deployments and the other kinds that need some. */
import { type ApiObject, specOf, withMetadata } from './api-object.ts'
import { arrayOrEmpty, type Json, type JsonObject, objectOrEmpty } from './json.ts'

export function defaultPod(pod: ApiObject): ApiObject {
  const status = { phase: 'Pending', ...objectOrEmpty(pod['status']) }
  return { ...pod, spec: defaultPodSpec(specOf(pod)), status }
}

function defaultPodSpec(spec: JsonObject): JsonObject {
  return {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    schedulerName: 'default-scheduler',
    securityContext: {},
    ...spec,
    containers: arrayOrEmpty(spec['containers']).map((container) =>
      defaultContainer(objectOrEmpty(container)),
    ),
  }
}

function defaultContainer(container: JsonObject): JsonObject {
  const { image, ports } = container
  const isLatest = typeof image === 'string' && (!/:[^/]*$/.test(image) || image.endsWith(':latest'))
  return {
    imagePullPolicy: isLatest ? 'Always' : 'IfNotPresent',
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    ...container,
    ...(ports === undefined
      ? {}
      : { ports: arrayOrEmpty(ports).map((port): Json => ({ protocol: 'TCP', ...objectOrEmpty(port) })) }),
  }
}

export function defaultDeployment(deployment: ApiObject): ApiObject {
  const spec = specOf(deployment)
  const template = objectOrEmpty(spec['template'])
  return {
    ...deployment,
    spec: {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      ...spec,
      template: { ...template, spec: defaultPodSpec(objectOrEmpty(template['spec'])) },
    },
    status: objectOrEmpty(deployment['status']),
  }
}

export function defaultEndpointSlice(slice: ApiObject): ApiObject {
  const ports = arrayOrEmpty(slice['ports']).map((port): Json => ({
    name: '',
    protocol: 'TCP',
    ...objectOrEmpty(port),
  }))
  return { ...slice, endpoints: arrayOrEmpty(slice['endpoints']), ports }
}

export function defaultNamespace(namespace: ApiObject): ApiObject {
  const { name, labels } = namespace.metadata
  const labelled = withMetadata(namespace, { labels: { 'kubernetes.io/metadata.name': name, ...labels } })
  return {
    ...labelled,
    spec: { finalizers: ['kubernetes'], ...specOf(namespace) },
    status: { phase: 'Active', ...objectOrEmpty(namespace['status']) },
  }
}
