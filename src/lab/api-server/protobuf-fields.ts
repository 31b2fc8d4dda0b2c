/**
 * Field numbers of the messages that clients send in protobuf although the server would rather have JSON: what
 * `kubectl create` makes by itself, and the events of programs written in Go. Position n is field n + 1.
 */
const GAP = ''

export const FIELDS_BY_NUMBER: Readonly<Record<string, readonly string[]>> = {
  V1ObjectMeta: [
    ...['name', 'generateName', 'namespace', 'selfLink', 'uid', 'resourceVersion', 'generation'],
    ...['creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'labels', 'annotations'],
    ...['ownerReferences', 'finalizers'],
  ],
  V1OwnerReference: ['kind', GAP, 'name', 'uid', 'apiVersion', 'controller', 'blockOwnerDeletion'],
  V1Namespace: ['metadata', 'spec', 'status'],
  V1NamespaceSpec: ['finalizers'],
  V1NamespaceStatus: ['phase'],
  V1ConfigMap: ['metadata', 'data', GAP, 'immutable'],
  V1Service: ['metadata', 'spec', 'status'],
  V1ServiceSpec: [
    ...['ports', 'selector', 'clusterIP', 'type', 'externalIPs', GAP, 'sessionAffinity', 'loadBalancerIP'],
    ...['loadBalancerSourceRanges', 'externalName', 'externalTrafficPolicy', 'healthCheckNodePort'],
    ...['publishNotReadyAddresses', 'sessionAffinityConfig', GAP, GAP, 'ipFamilyPolicy', 'clusterIPs'],
    ...['ipFamilies', 'allocateLoadBalancerNodePorts', 'loadBalancerClass', 'internalTrafficPolicy'],
    'trafficDistribution',
  ],
  V1ServicePort: ['name', 'protocol', 'port', 'targetPort', 'nodePort', 'appProtocol'],
  V1SessionAffinityConfig: ['clientIP'],
  V1ClientIPConfig: ['timeoutSeconds'],
  V1ServiceStatus: ['loadBalancer'],
  V1LoadBalancerStatus: ['ingress'],
  V1LoadBalancerIngress: ['ip', 'hostname', 'ipMode'],
  V1Deployment: ['metadata', 'spec', 'status'],
  V1DeploymentSpec: [
    ...['replicas', 'selector', 'template', 'strategy', 'minReadySeconds', 'revisionHistoryLimit', 'paused'],
    ...[GAP, 'progressDeadlineSeconds'],
  ],
  V1DeploymentStrategy: ['type', 'rollingUpdate'],
  V1RollingUpdateDeployment: ['maxUnavailable', 'maxSurge'],
  V1DeploymentStatus: [],
  V1LabelSelector: ['matchLabels', 'matchExpressions'],
  V1LabelSelectorRequirement: ['key', 'operator', 'values'],
  V1PodTemplateSpec: ['metadata', 'spec'],
  V1PodSpec: [
    ...[GAP, 'containers', 'restartPolicy', 'terminationGracePeriodSeconds', 'activeDeadlineSeconds'],
    ...['dnsPolicy', 'nodeSelector', 'serviceAccountName', GAP, 'nodeName', 'hostNetwork'],
  ],
  V1Container: ['name', 'image', 'command', 'args', 'workingDir', 'ports', 'env', 'resources'],
  V1ContainerPort: ['name', 'hostPort', 'containerPort', 'protocol', 'hostIP'],
  V1EnvVar: ['name', 'value'],
  V1ResourceRequirements: [],
  V1ObjectReference: ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'],
  V1EventSource: ['component', 'host'],
  CoreV1Event: [
    ...['metadata', 'involvedObject', 'reason', 'message', 'source', 'firstTimestamp', 'lastTimestamp'],
    ...[
      'count',
      'type',
      'eventTime',
      'series',
      'action',
      'related',
      'reportingComponent',
      'reportingInstance',
    ],
  ],
  CoreV1EventSeries: ['count', 'lastObservedTime'],
  EventsV1Event: [
    ...['metadata', 'eventTime', 'series', 'reportingController', 'reportingInstance', 'action', 'reason'],
    ...['regarding', 'related', 'note', 'type', 'deprecatedSource', 'deprecatedFirstTimestamp'],
    ...['deprecatedLastTimestamp', 'deprecatedCount'],
  ],
  EventsV1EventSeries: ['count', 'lastObservedTime'],
}

/** Fields that are written only when they are set (pointers in Go), so that zero and false mean something. */
export const OPTIONAL_FIELDS: ReadonlySet<string> = new Set([
  ...['activeDeadlineSeconds', 'allocateLoadBalancerNodePorts', 'blockOwnerDeletion', 'controller'],
  ...['deletionGracePeriodSeconds', 'immutable', 'progressDeadlineSeconds', 'replicas'],
  ...['revisionHistoryLimit', 'terminationGracePeriodSeconds', 'timeoutSeconds'],
])
