import { stringify } from 'yaml'

export interface KubeconfigFacts {
  readonly url: string
  /** PEM; absent for plain HTTP. */
  readonly ca?: string | undefined
  readonly token?: string | undefined
}

/** The text of a kubeconfig file that kubectl and Fairlead can use as it is: CA and token are inside. */
export function renderKubeconfig({ url, ca, token }: KubeconfigFacts): string {
  const name = 'fairlead-lab'
  const trust = ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name, cluster: { server: url, ...trust } }],
      users: [{ name, user: token === undefined ? {} : { token } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name,
    },
    { lineWidth: 0 },
  )
}
