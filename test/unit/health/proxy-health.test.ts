import { ProxyHealth } from '../../../src/health/proxy-health.ts'

function aHealth() {
  return new ProxyHealth({ families: ['IPv4', 'IPv6'], timeoutMs: 60_000 })
}

describe('ProxyHealth', () => {
  test('is healthy before the first run and with nothing waiting, however long ago the last run was', () => {
    const health = aHealth()
    expect(health.isHealthy(0)).toBe(true)
    health.updated('IPv4', 0)
    expect(health.isHealthy(1e9)).toBe(true)
  })

  test('is unhealthy once a change has waited for longer than the timeout, counted from the first one', () => {
    const health = aHealth()
    health.queued('IPv4', 0)
    health.queued('IPv4', 59_000)
    expect(health.isHealthy(60_000)).toBe(true)
    expect(health.isHealthy(60_001)).toBe(false)
    health.updated('IPv6', 60_001)
    expect(health.isHealthy(60_001)).toBe(false)
    health.updated('IPv4', 60_001)
    expect(health.isHealthy(60_001)).toBe(true)
  })

  test('leaves out families that are not proxied', () => {
    const health = new ProxyHealth({ families: ['IPv6'], timeoutMs: 1 })
    health.queued('IPv4', 0)
    expect([...health.report(100).families.keys()]).toEqual(['IPv6'])
    expect(health.isHealthy(100)).toBe(true)
  })

  test('follows a changed sync period', () => {
    const health = aHealth()
    health.queued('IPv4', 0)
    health.setTimeout(10)
    expect(health.isHealthy(11)).toBe(false)
  })

  test('is not eligible before the node is known', () => {
    const health = aHealth()
    expect(health.report(0).nodeEligible).toBe(false)
    health.setNodeEligible(true)
    expect(health.report(0).nodeEligible).toBe(true)
  })

  test('keeps the reasons for staleness by source, and stays healthy', () => {
    const health = aHealth()
    health.setStale('api', 'API server unreachable since noon')
    health.setStale('disk', 'from disk')
    health.setStale('api', undefined)
    expect(health.report(0)).toMatchObject({ stale: ['from disk'], healthy: true })
  })
})
