/** The health-check sequences recorded from kube-proxy's own tests, if they lie beside the project. */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type HealthPath, healthAnswer } from '../../../src/health/healthz-server.ts'
import { ProxyHealth } from '../../../src/health/proxy-health.ts'
import { ServiceHealth } from '../../../src/health/service-health.ts'
import type { ServiceKey } from '../../../src/model/service-port.ts'
import type { Family } from '../../../src/net/ip.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { skipTest } from '../../support/skip-reasons.ts'

const FILE = `${import.meta.dirname}/../../../../shared/conformance/healthcheck.json`

interface Node {
  metadata: { deletionTimestamp?: string }
  spec: { taints?: { key: string }[] }
}

interface Event {
  event: string
  healthCheckNodePorts: Record<string, number>
  listening: string[]
  localReadyEndpoints: Record<string, number>
  service: ServiceKey
  value: boolean
  status: number
  localEndpoints: number
  serviceProxyHealthy: boolean
  ipFamily: Family
  seconds: number
  path: HealthPath
  healthy: boolean
  lastUpdatedIsNow: boolean
  lastUpdatedAgeSeconds: number
  nodeEligible: boolean | null
  perFamilyHealthy: Record<Family, boolean>
  node: Node
}

interface Case {
  name: string
  events?: Event[]
  healthTimeoutSeconds?: number
}

function mapOf(record: Record<string, number>): ReadonlyMap<ServiceKey, number> {
  return new Map(Object.entries(record) as [ServiceKey, number][])
}

async function playServices(events: readonly Event[]): Promise<void> {
  let healthy = true
  const listened: string[] = []
  const services = new ServiceHealth({
    family: 'IPv4',
    isProxyHealthy: () => healthy,
    clock: new ManualClock(),
    logger: silentLogger,
    listen: (_handler, { ip, port }) => {
      listened.push(`${ip}:${port}`)
      return Promise.resolve(createServer())
    },
  })
  for (const event of events) {
    if (event.event === 'syncServices') {
      await services.syncServices(mapOf(event.healthCheckNodePorts))
      expect([...new Set(listened)].sort()).toEqual(event.listening)
      expect([...services.listening].sort()).toEqual(Object.keys(event.healthCheckNodePorts).sort())
    } else if (event.event === 'syncEndpoints') services.syncEndpoints(mapOf(event.localReadyEndpoints))
    else if (event.event === 'proxyHealthy') healthy = event.value
    else {
      const { status, headers, body } = services.answer(event.service)
      const [namespace, name] = event.service.split('/')
      expect({ status, ...(JSON.parse(body) as object) }).toEqual({
        status: event.status,
        service: { namespace, name },
        localEndpoints: event.localEndpoints,
        serviceProxyHealthy: event.serviceProxyHealthy,
      })
      expect(headers['X-Load-Balancing-Endpoint-Weight']).toBe(String(event.localEndpoints))
    }
  }
  await services.stop()
}

function playProxy(events: readonly Event[], timeoutSeconds: number): void {
  const health = new ProxyHealth({ families: ['IPv4', 'IPv6'], timeoutMs: timeoutSeconds * 1000 })
  let nowMs = Date.UTC(2026, 0, 1)
  for (const event of events) {
    if (event.event === 'Updated') health.updated(event.ipFamily, nowMs)
    else if (event.event === 'QueuedUpdate') health.queued(event.ipFamily, nowMs)
    else if (event.event === 'advanceClock') nowMs += event.seconds * 1000
    else if (event.event === 'node') health.setNodeEligible(isEligible(event.node))
    else judge(event, health, nowMs)
  }
}

function judge(event: Event, health: ProxyHealth, nowMs: number): void {
  const answer = healthAnswer(event.path, health.report(nowMs))
  const body = JSON.parse(answer.body) as {
    lastUpdated: string
    currentTime: string
    healthy: boolean
    nodeEligible?: boolean
    status: Record<Family, { healthy: boolean }>
  }
  const families = Object.entries(body.status).map(([family, { healthy }]) => [family, healthy])
  expect(answer.status).toBe(event.status)
  expect(body.healthy).toBe(event.healthy)
  expect(body.nodeEligible ?? null).toBe(event.nodeEligible)
  expect(Object.fromEntries(families)).toEqual(event.perFamilyHealthy)
  const ageMs = Date.parse(body.currentTime) - Date.parse(body.lastUpdated)
  expect([ageMs / 1000, ageMs === 0]).toEqual([event.lastUpdatedAgeSeconds, event.lastUpdatedIsNow])
}

function isEligible({ metadata, spec }: Node): boolean {
  const leaving = spec.taints?.some(({ key }) => key === 'ToBeDeletedByClusterAutoscaler') ?? false
  return metadata.deletionTimestamp === undefined && !leaving
}

if (!existsSync(FILE)) {
  skipTest('health-check sequences', `${FILE} is absent`)
} else {
  const { cases } = JSON.parse(readFileSync(FILE, 'utf8')) as { cases: Case[] }
  const sequences = cases.filter(({ events }) => events !== undefined)

  test.each(sequences.map((one) => [one.name, one] as const))(
    'ProxyHealth and ServiceHealth play %s',
    async (_, one) => {
      if (one.healthTimeoutSeconds === undefined) await playServices(one.events!)
      else playProxy(one.events!, one.healthTimeoutSeconds)
    },
  )
}
