import { type ApiObject } from '../../../../src/lab/api-server/api-object.ts'
import { parseSelectors } from '../../../../src/lab/api-server/selectors.ts'
import { ApiError } from '../../../../src/lab/api-server/status-errors.ts'

const object: ApiObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop', labels: { app: 'web', tier: 'front', empty: '' } },
  spec: { clusterIP: 'None', type: 'ClusterIP', ready: true },
}
const selectableFields = ['spec.clusterIP', 'spec.type', 'spec.nodeName', 'spec.ready']

describe('parseSelectors()', () => {
  test.each([
    { labelSelector: 'app=web', want: true },
    { labelSelector: 'app==web,tier=front', want: true },
    { labelSelector: 'app = web , tier = back', want: false },
    { labelSelector: 'app!=web', want: false },
    { labelSelector: 'missing!=web', want: true },
    { labelSelector: 'app in (api, web)', want: true },
    { labelSelector: 'missing in (api,web)', want: false },
    { labelSelector: 'app notin (api,web)', want: false },
    { labelSelector: 'missing notin (api)', want: true },
    { labelSelector: 'app in (api,web),tier notin (back)', want: true },
    { labelSelector: 'tier', want: true },
    { labelSelector: '!tier', want: false },
    { labelSelector: '!service.kubernetes.io/service-proxy-name', want: true },
    { labelSelector: 'empty=', want: true },
    { labelSelector: '', want: true },
  ])('judges the label selector "$labelSelector" as the API server does', ({ labelSelector, want }) => {
    expect(parseSelectors({ labelSelector, selectableFields })(object)).toBe(want)
  })

  test.each([
    { fieldSelector: 'spec.clusterIP!=None', want: false },
    { fieldSelector: 'spec.clusterIP=None', want: true },
    { fieldSelector: 'metadata.name=web,metadata.namespace=shop', want: true },
    { fieldSelector: 'metadata.name==other', want: false },
    { fieldSelector: 'spec.nodeName=', want: true },
    { fieldSelector: 'spec.nodeName!=', want: false },
    { fieldSelector: 'spec.ready=true', want: true },
    { fieldSelector: String.raw`metadata.name=a\,b`, want: false },
  ])('judges the field selector "$fieldSelector" as the API server does', ({ fieldSelector, want }) => {
    expect(parseSelectors({ fieldSelector, selectableFields })(object)).toBe(want)
  })

  test.each([
    { labelSelector: 'a in x' },
    { labelSelector: 'a=b=c' },
    { fieldSelector: 'nothing' },
    { fieldSelector: 'spec.replicas=1' },
  ])('refuses %j with 400', (texts) => {
    const parse = () => parseSelectors({ ...texts, selectableFields })
    expect(parse).toThrow(ApiError)
    expect(parse).toThrow(expect.objectContaining({ code: 400 }))
  })
})
