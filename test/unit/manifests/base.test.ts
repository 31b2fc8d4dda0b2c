import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'
import { checkOnNode } from '../../../src/config/check-on-node.ts'
import { decodeConfigFile } from '../../../src/config/config-file.ts'
import { type Resolution, resolveConfig } from '../../../src/config/resolve-config.ts'
import { readKubeconfig } from '../../../src/watch/kubeconfig.ts'
import { type Permission, requiredPermissions } from '../../../src/watch/resources.ts'
import { unknownFields } from './kubernetes-models.ts'
import { type Container, type Json, type Manifest, MANIFESTS } from './read-manifests.ts'
import { at, manifestFiles, proxyCapabilities, readManifest, readManifests } from './read-manifests.ts'

const MODES = ['iptables', 'ipvs', 'nftables'] as const
const CONFIGS: Readonly<Record<(typeof MODES)[number], string>> = {
  iptables: 'base/config.conf',
  ipvs: 'overlays/ipvs/config.conf',
  nftables: 'overlays/nftables/config.conf',
}

/** Objects for the API server: what kustomize, Helm and Prometheus read is judged elsewhere. */
const objectFiles = manifestFiles('.yaml').filter(
  (path) => !/kustomization\.yaml$|^helm\/|^monitoring\//.test(path),
)

const daemonSet = readManifest('base/daemon-set.yaml', 'DaemonSet')
const pod = at(daemonSet, 'spec.template.spec') as Json
const [proxy] = at(pod, 'containers') as [Container]
const [init] = at(pod, 'initContainers') as [Container]

function readText(path: string): string {
  return readFileSync(join(MANIFESTS, path), 'utf8')
}

/** What the program makes of a container's arguments, with the ConfigMap of a mode mounted where the pod has it. */
function resolvedIn(container: Container, config: string): Resolution {
  const argv = (container.args ?? []).map((arg) => arg.replace('$(NODE_NAME)', 'node-1'))
  const readFile = (path: string): string => {
    if (path !== '/etc/fairlead/config.conf') throw new Error(`${path} is not mounted`)
    return config
  }
  return resolveConfig(argv, { readFile })
}

describe('manifests', () => {
  test('there are objects to judge', () => {
    expect(objectFiles).toEqual(
      expect.arrayContaining(['base/daemon-set.yaml', 'base/cluster-role.yaml', 'cleanup/daemon-set.yaml']),
    )
  })

  test.each(objectFiles)('%s has only fields that Kubernetes knows', (path) => {
    expect(readManifests(path).flatMap(unknownFields)).toEqual([])
  })

  test('unknownFields() names a field that does not exist and a value of the wrong type', () => {
    const broken = {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      spec: { template: { spec: { hostNetwork: 'yes', conteiners: [], containers: [{ imige: 'x' }] } } },
    }
    expect(unknownFields(broken)).toEqual([
      'DaemonSet.spec.template.spec.hostNetwork is not a boolean',
      'DaemonSet.spec.template.spec.conteiners is unknown',
      'DaemonSet.spec.template.spec.containers[0].imige is unknown',
    ])
  })
})

describe('ClusterRole', () => {
  function granted(manifest: Manifest): Permission[] {
    const rules = at(manifest, 'rules') as readonly {
      apiGroups: string[]
      resources: string[]
      verbs: string[]
    }[]
    return rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.map((resource) => ({ group, resource, verbs }))),
    )
  }

  test('ClusterRole grants exactly the permissions that the proxy asks for', () => {
    expect(granted(readManifest('base/cluster-role.yaml', 'ClusterRole'))).toEqual(requiredPermissions)
  })

  test('ClusterRoleBinding gives them to the account of the pods', () => {
    const binding = readManifest('base/cluster-role-binding.yaml', 'ClusterRoleBinding')
    const account = readManifest('base/service-account.yaml', 'ServiceAccount')
    expect(at(binding, 'roleRef.name')).toBe('fairlead')
    expect(at(binding, 'subjects')).toEqual([
      { kind: 'ServiceAccount', name: at(account, 'metadata.name'), namespace: 'kube-system' },
    ])
    expect(at(pod, 'serviceAccountName')).toBe(at(account, 'metadata.name'))
  })

  test('requiredPermissions are covered by the role system:node-proxier that kube-proxy has', () => {
    const nodeProxier: Readonly<Record<string, readonly string[]>> = {
      '/services': ['list', 'watch'],
      '/nodes': ['get', 'list', 'watch'],
      'discovery.k8s.io/endpointslices': ['list', 'watch'],
      'networking.k8s.io/servicecidrs': ['list', 'watch'],
      'events.k8s.io/events': ['create', 'update', 'patch'],
    }
    for (const { group, resource, verbs } of requiredPermissions)
      expect(nodeProxier[`${group}/${resource}`]).toEqual(expect.arrayContaining([...verbs]))
  })
})

describe('DaemonSet', () => {
  test('the proxy runs with two capabilities, a read-only root file system and no way to more', () => {
    expect(proxy.securityContext).toEqual({
      runAsUser: 0,
      runAsGroup: 0,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: 'RuntimeDefault' },
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
    })
    expect(proxyCapabilities()).toEqual(['NET_ADMIN', 'NET_RAW'])
  })

  test('only the container that prepares the node is privileged', () => {
    const containers = at(pod, 'containers') as readonly Container[]
    expect(init.securityContext.privileged).toBe(true)
    expect(init.args).toContain('--init-only')
    expect(containers.filter(({ securityContext }) => securityContext.privileged === true)).toEqual([])
  })

  test('the node cannot be changed through a mount that need not be written', () => {
    const readOnly = proxy.volumeMounts.filter((mount) => mount.readOnly === true).map(({ name }) => name)
    expect(readOnly).toEqual(['config', 'modules'])
  })

  test('it stands on every Linux node, in the network of the host, and is not evicted', () => {
    expect(pod).toMatchObject({
      hostNetwork: true,
      dnsPolicy: 'Default',
      priorityClassName: 'system-node-critical',
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ operator: 'Exists' }],
    })
  })

  test('both containers run the same program with the same configuration', () => {
    expect(init.args?.filter((arg) => arg !== '--init-only')).toEqual(proxy.args)
    expect(init.volumeMounts).toEqual(proxy.volumeMounts)
  })

  test('every volume is mounted and every mount has its volume', () => {
    const volumes = (at(pod, 'volumes') as readonly { name: string }[]).map(({ name }) => name)
    expect(proxy.volumeMounts.map(({ name }) => name).sort()).toEqual([...volumes].sort())
  })
})

describe.each(MODES)('configuration for mode %s', (mode) => {
  const config = readText(CONFIGS[mode])

  test.each([
    ['the proxy', proxy, 'run'],
    ['the container that prepares the node', init, 'init-only'],
  ] as const)('every flag of %s and every field parses', (_, container, action) => {
    const resolution = resolvedIn(container, config)
    expect(resolution.action === 'invalid' ? resolution.errors.map(String) : []).toEqual([])
    expect(resolution).toMatchObject({ action, notes: [], config: { mode, hostnameOverride: 'node-1' } })
  })

  test('no field is unknown, doubled or refused', () => {
    const file = decodeConfigFile(config, 'config.conf')
    expect({ notes: file.notes, errors: file.errors, refused: file.refused }).toEqual({
      notes: [],
      errors: [],
      refused: [],
    })
  })

  test('it differs from the others in the mode only', () => {
    const others = parse(readText(CONFIGS.iptables)) as Json
    expect(parse(config)).toEqual({ ...others, mode })
  })

  test('paths and ports are those of the pod', () => {
    const resolution = resolvedIn(proxy, config)
    if (resolution.action !== 'run') throw new Error(resolution.action)
    const mounts = proxy.volumeMounts.map(({ mountPath }) => mountPath)
    expect(mounts).toContain(resolution.values.stateDir)
    expect(mounts).toContain(resolution.values.explainSocket.replace(/\/[^/]*$/, ''))
    expect(mounts).toContain(resolution.values.kubeconfig.replace(/\/[^/]*$/, ''))
    const { livenessProbe, readinessProbe } = proxy as unknown as Record<string, Json>
    expect(resolution.config.healthzBindAddress?.port).toBe(at(livenessProbe, 'httpGet.port'))
    expect(resolution.config.healthzBindAddress?.port).toBe(at(readinessProbe, 'httpGet.port'))
    expect([at(livenessProbe, 'httpGet.path'), at(readinessProbe, 'httpGet.path')]).toEqual([
      '/livez',
      '/healthz',
    ])
  })

  test('an IPv4 node and a dual-stack node have nothing to object', () => {
    const resolution = resolvedIn(proxy, config)
    if (resolution.action !== 'run') throw new Error(resolution.action)
    for (const families of [['IPv4'], ['IPv4', 'IPv6']] as const)
      expect(checkOnNode(resolution.config, { families, podCidrs: [] })).toEqual([])
  })
})

describe('kustomizations', () => {
  const paths = manifestFiles('kustomization.yaml')

  test.each(paths)('%s names only what exists', (path) => {
    const kustomization = readManifests(path)[0] as unknown as {
      readonly resources?: readonly string[]
      readonly configMapGenerator?: readonly { readonly files: readonly string[] }[]
    }
    const files = (kustomization.configMapGenerator ?? []).flatMap((one) => one.files)
    const named = [...(kustomization.resources ?? []), ...files.map((file) => file.replace(/^.*=/, ''))]
    expect(named.filter((file) => !existsSync(join(MANIFESTS, dirname(path), file)))).toEqual([])
    expect(named).not.toEqual([])
  })

  test.each(MODES)('there is one for mode %s', (mode) => {
    expect(paths).toContain(`overlays/${mode}/kustomization.yaml`)
  })
})

describe('kubeconfig', () => {
  const path = join(MANIFESTS, 'base/kubeconfig.conf')

  test('its only flaw outside a pod is that the files of the service account are missing', () => {
    expect(() => readKubeconfig(path)).toThrow('/var/run/secrets/kubernetes.io/serviceaccount/')
  })

  test('its placeholder for the API server can never be somebody’s address', () => {
    const kubeconfig = parse(readFileSync(path, 'utf8')) as Json
    expect(at(kubeconfig, 'clusters.0.cluster.server')).toMatch(/^https:\/\/[a-z-]+\.invalid:6443$/)
  })
})

describe('cleanup DaemonSet', () => {
  const cleanup = readManifest('cleanup/daemon-set.yaml', 'DaemonSet')
  const [container] = at(cleanup, 'spec.template.spec.initContainers') as [Container]

  test('its arguments clean up', () => {
    expect(resolveConfig(container.args ?? []).action).toBe('cleanup')
  })

  test('it has the capabilities of the proxy and no token', () => {
    expect(container.securityContext.capabilities).toEqual(proxy.securityContext.capabilities)
    expect(at(cleanup, 'spec.template.spec.automountServiceAccountToken')).toBe(false)
  })
})
