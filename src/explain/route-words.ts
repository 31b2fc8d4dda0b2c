/** Routes, frontends and endpoints in few words, for tables. */
import type { Frontend, Route } from '../forwarding/forwarding.ts'
import type { Endpoint } from '../model/endpoint.ts'
import { hostPort } from '../net/ip.ts'
import type { Protocol } from '../net/protocol.ts'

/** `cluster`, `local+masquerade`, `reject`, `drop`. */
export function routeWord(route: Route): string {
  if (route.action !== 'forward') return route.action
  return route.masquerade ? `${route.pool}+masquerade` : route.pool
}

/** `10.96.0.1:443/TCP`, `*:30080/TCP` for a NodePort, `10.96.0.9:5000-5010/UDP` for a range. */
export function frontendAddress(
  { ip, port, lastPort }: Pick<Frontend, 'ip' | 'port' | 'lastPort'>,
  protocol: Protocol,
): string {
  const start = ip === undefined ? `*:${port}` : hostPort(ip, port)
  return `${start}${lastPort === undefined ? '' : `-${lastPort}`}/${protocol}`
}

/** `ready`, `terminating, serving`, `not ready`. */
export function endpointState({ ready, serving, terminating }: Endpoint): string {
  if (terminating) return serving ? 'terminating, serving' : 'terminating'
  return ready ? 'ready' : 'not ready'
}
