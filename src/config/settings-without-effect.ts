/** Rows of the settings table that kube-proxy knows and a file may hold, but that mean nothing here. */
import { setting } from './setting.ts'
import { type ValueType, Unusable, bool, duration, text } from './value-type.ts'

const QUANTITY = /^[+-]?(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?$/

/** An amount as Kubernetes writes it: `64Ki`; files may also hold plain numbers. */
const quantity: ValueType<string> = {
  ...text({ name: 'quantity', pattern: QUANTITY, remedy: 'a quantity; write it as 64Ki' }),
  decode: (value) => {
    if (typeof value === 'number') return String(value)
    if (typeof value === 'string' && QUANTITY.test(value)) return value
    return new Unusable('not a quantity; write it as 64Ki')
  },
}

const LOGS = 'log lines are never split or held back'
const WINDOWS = 'it concerns Windows only'

function ignored<T>(type: ValueType<T>, facts: { default: T; flag?: string; field?: string; why: string }) {
  return setting({
    type,
    default: facts.default,
    ...(facts.flag === undefined ? {} : { flag: facts.flag }),
    ...(facts.field === undefined ? {} : { field: facts.field }),
    group: 'Accepted for compatibility',
    help: 'Accepted, without effect.',
    change: 'none',
    note: facts.why,
  })
}

function ignoredLogging<T>(type: ValueType<T>, facts: { default: T; flag: string; field: string }) {
  return { ...ignored(type, { ...facts, why: LOGS }), beatsFile: true } as const
}

export const SETTINGS_WITHOUT_EFFECT = {
  logFlushFrequency: ignoredLogging(duration({ minMs: 1e-6, nanoseconds: true }), {
    default: 5000,
    flag: 'log-flush-frequency',
    field: 'logging.flushFrequency',
  }),
  logTextSplitStream: ignoredLogging(bool, {
    default: false,
    flag: 'log-text-split-stream',
    field: 'logging.options.text.splitStream',
  }),
  logTextInfoBufferSize: ignoredLogging(quantity, {
    default: '0',
    flag: 'log-text-info-buffer-size',
    field: 'logging.options.text.infoBufferSize',
  }),
  logJsonSplitStream: ignoredLogging(bool, {
    default: false,
    flag: 'log-json-split-stream',
    field: 'logging.options.json.splitStream',
  }),
  logJsonInfoBufferSize: ignoredLogging(quantity, {
    default: '0',
    flag: 'log-json-info-buffer-size',
    field: 'logging.options.json.infoBufferSize',
  }),
  bootIdFile: ignored(text({ name: 'file' }), {
    default: '/proc/sys/kernel/random/boot_id',
    flag: 'boot-id-file',
    why: 'it has no effect on proxying',
  }),
  showHiddenMetricsForVersion: ignored(
    text({ name: 'version', pattern: /^\d+\.\d+$/, remedy: 'a minor version; write it as 1.35' }),
    {
      default: '',
      flag: 'show-hidden-metrics-for-version',
      field: 'showHiddenMetricsForVersion',
      why: 'no metric is hidden',
    },
  ),
  portRange: {
    ...ignored(text(), { default: '', field: 'portRange', why: 'nothing uses it any more' }),
    v1alpha2: { field: null },
  },
  windowsRunAsService: {
    ...ignored(bool, { default: false, field: 'windowsRunAsService', why: WINDOWS }),
    v1alpha2: { field: 'windows.runAsService' },
  },
  winkernelNetworkName: ignored(text(), { default: '', field: 'winkernel.networkName', why: WINDOWS }),
  winkernelSourceVip: ignored(text(), { default: '', field: 'winkernel.sourceVip', why: WINDOWS }),
  winkernelEnableDsr: ignored(bool, { default: false, field: 'winkernel.enableDSR', why: WINDOWS }),
  winkernelRootHnsEndpointName: ignored(text(), {
    default: '',
    field: 'winkernel.rootHnsEndpointName',
    why: WINDOWS,
  }),
  winkernelForwardHealthCheckVip: ignored(bool, {
    default: false,
    field: 'winkernel.forwardHealthCheckVip',
    why: WINDOWS,
  }),
}
