import type { ApiObject } from '../../../src/lab/api-server/api-object.ts'
import { failedStatus, leavingStatus, type PodFacts, runningStatus } from '../../../src/lab/pod-status.ts'
import type { Ip } from '../../../src/net/ip.ts'

const FACTS: PodFacts = {
  ip: '10.244.1.2' as Ip,
  nodeIp: '192.168.100.1' as Ip,
  nowMs: 9_000,
  startedMs: 5_000,
  restarts: 2,
}

const POD: ApiObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    containers: [
      { name: 'web', image: 'web' },
      { name: 'sidecar', image: 'sidecar' },
    ],
  },
}

const RUNNING = { running: { startedAt: '1970-01-01T00:00:05Z' } }

describe('runningStatus()', () => {
  it('has a ready status for every container, beside the addresses of pod and node', () => {
    const status = runningStatus(POD, FACTS)
    expect(status).toMatchObject({ phase: 'Running', podIP: '10.244.1.2', hostIP: '192.168.100.1' })
    expect(status['containerStatuses']).toEqual(
      ['web', 'sidecar'].map((name) => ({
        ...{ name, image: name, imageID: name, ready: true, started: true, restartCount: 2 },
        state: RUNNING,
      })),
    )
    expect(status['conditions']).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }))
  })
})

describe('leavingStatus()', () => {
  it('is running but no longer ready', () => {
    const status = leavingStatus(POD, FACTS)
    expect(status['containerStatuses']).toContainEqual(
      expect.objectContaining({ ready: false, state: RUNNING }),
    )
    expect(status['conditions']).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'False' }))
    expect(status['conditions']).toContainEqual(
      expect.objectContaining({ type: 'PodScheduled', status: 'True' }),
    )
  })
})

describe('failedStatus()', () => {
  it('says when its containers ended and how, and keeps the address', () => {
    const status = failedStatus(POD, FACTS)
    expect(status).toMatchObject({ podIP: '10.244.1.2' })
    expect(status['containerStatuses']).toContainEqual(
      expect.objectContaining({
        ready: false,
        state: { terminated: expect.objectContaining({ exitCode: 137, finishedAt: '1970-01-01T00:00:09Z' }) },
      }),
    )
  })
})
