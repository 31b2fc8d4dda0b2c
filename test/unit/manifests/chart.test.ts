import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import Ajv from 'ajv'
import { parse } from 'yaml'
import { decodeConfigFile } from '../../../src/config/config-file.ts'
import { unknownFields } from './kubernetes-models.ts'
import {
  type Json,
  type Manifest,
  MANIFESTS,
  at,
  ofKind,
  parseManifests,
  readManifest,
} from './read-manifests.ts'
import { renderChart } from './render-chart.ts'

const CHART = join(MANIFESTS, 'helm/fairlead')
const SERVER = 'https://10.0.0.10:6443'

function read(file: string): Json {
  return parse(readFileSync(join(CHART, file), 'utf8')) as Json
}

const defaults = read('values.yaml')
const chart = read('Chart.yaml')
const validate = new Ajv({ allErrors: true }).compile(read('values.schema.json'))

/** What is wrong with values, as paths. */
function problems(values: Json): string[] {
  validate(values)
  return (validate.errors ?? []).map(({ dataPath, keyword }) => `${dataPath} ${keyword}`)
}

/** The chart's objects, as `helm template --namespace kube-system` makes them; `values` replace the top level. */
function rendered(values: Json): Manifest[] {
  const templates = Object.fromEntries(
    readdirSync(join(CHART, 'templates')).map((file) => [
      file,
      readFileSync(join(CHART, 'templates', file), 'utf8'),
    ]),
  )
  const texts = renderChart({
    templates,
    root: {
      Values: { ...defaults, ...values },
      Release: { Name: 'fairlead', Namespace: 'kube-system', Service: 'Helm' },
      Chart: { AppVersion: chart['appVersion'] },
    },
  })
  return Object.entries(texts)
    .filter(([file]) => file.endsWith('.yaml'))
    .flatMap(([file, text]) => parseManifests(text, file))
}

/** Our own labels and image aside, everything that a pod consists of. */
function podSpec(daemonSet: Manifest): unknown {
  const text = JSON.stringify(at(daemonSet, 'spec.template.spec'))
  return JSON.parse(
    text
      .replaceAll(/"image":"[^"]*"/g, '"image":"fairlead"')
      .replaceAll('"imagePullPolicy":"IfNotPresent",', ''),
  )
}

describe('chart fairlead', () => {
  const objects = rendered({ apiServer: SERVER })

  test('its objects have only fields that Kubernetes knows', () => {
    expect(objects.map(({ kind }) => kind).sort()).toEqual([
      'ClusterRole',
      'ClusterRoleBinding',
      'ConfigMap',
      'DaemonSet',
      'ServiceAccount',
    ])
    expect(objects.flatMap(unknownFields)).toEqual([])
  })

  test('its pods are those of the kustomize base', () => {
    expect(podSpec(ofKind(objects, 'DaemonSet'))).toEqual(
      podSpec(readManifest('base/daemon-set.yaml', 'DaemonSet')),
    )
    expect(at(ofKind(objects, 'DaemonSet'), 'spec.updateStrategy')).toEqual(
      at(readManifest('base/daemon-set.yaml', 'DaemonSet'), 'spec.updateStrategy'),
    )
  })

  test('its role and binding are those of the kustomize base', () => {
    const role = readManifest('base/cluster-role.yaml', 'ClusterRole')
    const binding = readManifest('base/cluster-role-binding.yaml', 'ClusterRoleBinding')
    expect(at(ofKind(objects, 'ClusterRole'), 'rules')).toEqual(at(role, 'rules'))
    expect(at(ofKind(objects, 'ClusterRoleBinding'), 'subjects')).toEqual(at(binding, 'subjects'))
    expect(at(ofKind(objects, 'ClusterRoleBinding'), 'roleRef')).toEqual(at(binding, 'roleRef'))
  })

  test('its configuration is that of the kustomize base and parses', () => {
    const { 'config.conf': config = '' } = at(ofKind(objects, 'ConfigMap'), 'data') as Record<string, string>
    expect(parse(config)).toEqual(parse(readFileSync(join(MANIFESTS, 'base/config.conf'), 'utf8')))
    const { notes, errors, refused } = decodeConfigFile(config, 'config.conf')
    expect({ notes, errors, refused }).toEqual({ notes: [], errors: [], refused: [] })
  })

  test('its kubeconfig names the API server that was asked for', () => {
    const { 'kubeconfig.conf': text = '' } = at(ofKind(objects, 'ConfigMap'), 'data') as Record<
      string,
      string
    >
    const base = parse(readFileSync(join(MANIFESTS, 'base/kubeconfig.conf'), 'utf8')) as Json
    const kubeconfig = parse(text) as Json
    expect(at(kubeconfig, 'clusters.0.cluster.server')).toBe(SERVER)
    expect(at(kubeconfig, 'users')).toEqual(at(base, 'users'))
    expect(at(kubeconfig, 'contexts')).toEqual(at(base, 'contexts'))
  })

  test('it refuses to be rendered without an API server', () => {
    expect(() => rendered({})).toThrow('Set apiServer')
  })

  test('with an existing ConfigMap it makes none and mounts that one where its paths point', () => {
    const adopted = rendered({ existingConfigMap: 'kube-proxy', configDirectory: '/var/lib/kube-proxy' })
    const pod = at(ofKind(adopted, 'DaemonSet'), 'spec.template.spec')
    expect(adopted.filter(({ kind }) => kind === 'ConfigMap')).toEqual([])
    expect(at(pod, 'volumes.0.configMap.name')).toBe('kube-proxy')
    expect(at(pod, 'containers.0.volumeMounts.0.mountPath')).toBe('/var/lib/kube-proxy')
    expect(at(pod, 'containers.0.args.0')).toBe('--config=/var/lib/kube-proxy/config.conf')
  })

  test('optional values come out where they belong', () => {
    const daemonSet = ofKind(
      rendered({
        apiServer: SERVER,
        seLinuxOptions: { type: 'spc_t' },
        podAnnotations: { a: 'b' },
        imagePullSecrets: [{ name: 'pull' }],
      }),
      'DaemonSet',
    )
    expect(unknownFields(daemonSet)).toEqual([])
    expect(at(daemonSet, 'spec.template.spec.securityContext')).toEqual({ seLinuxOptions: { type: 'spc_t' } })
    expect(at(daemonSet, 'spec.template.metadata.annotations')).toEqual({ a: 'b' })
    expect(at(daemonSet, 'spec.template.spec.imagePullSecrets')).toEqual([{ name: 'pull' }])
  })
})

describe('values.schema.json', () => {
  const config = at(defaults, 'config') as Json

  test('it accepts the defaults', () => {
    expect(problems(defaults)).toEqual([])
  })

  test.each<[string, Json, string]>([
    ['a mode that does not exist', { config: { ...config, mode: 'ebpf' } }, '.config.mode enum'],
    ['a value that does not exist', { replicas: 3 }, ' additionalProperties'],
    ['an API server without a scheme', { apiServer: '10.0.0.10:6443' }, '.apiServer pattern'],
    [
      'an address without a port',
      { config: { ...config, healthzBindAddress: '0.0.0.0' } },
      '.config.healthzBindAddress pattern',
    ],
    ['a kind of configuration', { config: { ...config, kind: 'X' } }, '.config.kind false schema'],
    ['a port that does not exist', { healthzPort: 70000 }, '.healthzPort maximum'],
  ])('it refuses %s', (_, values, problem) => {
    expect(problems({ ...defaults, ...values })).toContain(problem)
  })

  test('every value has its line in the schema', () => {
    const described = at(read('values.schema.json'), 'properties') as Json
    expect(Object.keys(defaults).filter((key) => !(key in described))).toEqual([])
  })
})

describe('renderChart()', () => {
  const render = (template: string, values: Json = {}) =>
    renderChart({ templates: { t: template }, root: { Values: values } })['t']

  test.each<[string, Json, string]>([
    ['a: {{ .Values.x }}', { x: 1 }, 'a: 1'],
    ['a: {{ .Values.x | quote }}', { x: 'y' }, 'a: "y"'],
    ['a: {{ default "z" .Values.x }}', { x: '' }, 'a: z'],
    ['a:\n  {{- toYaml .Values.x | nindent 2 }}\nb', { x: { k: [1] } }, 'a:\n  k:\n    - 1\nb'],
    ['a\n{{- with .Values.x }}\n{{ toYaml . }}\n{{- end }}\nb', { x: {} }, 'a\nb'],
    ['a\n{{- if not .Values.x }}\nno\n{{- end }}\nb', { x: 'y' }, 'a\nb'],
    ['{{- define "n" -}}\nv: {{ .Values.x }}\n{{- end -}}\n{{ include "n" . }}', { x: 2 }, 'v: 2'],
  ])('renders %j', (template, values, want) => {
    expect(render(template, values)).toBe(want)
  })

  test.each([
    '{{ range .Values.x }}{{ end }}',
    '{{ tpl "x" . }}',
    '{{ .Values.none }}',
    '{{ if .Values.x }}',
  ])('refuses %j', (template) => {
    expect(() => render(template)).toThrow()
  })
})
