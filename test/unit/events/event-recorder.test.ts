import { EventRecorder, type Occurrence, buildEvent } from '../../../src/events/event-recorder.ts'
import type { KubernetesEvent } from '../../../src/watch/kubernetes-event.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const START: Occurrence = {
  type: 'Normal',
  reason: 'Starting',
  action: 'StartKubeProxy',
  note: '',
  about: { kind: 'Node', name: 'node-1' },
}
const TAKEN: Occurrence = {
  type: 'Warning',
  reason: 'FailedToStartServiceHealthcheck',
  action: 'Listen',
  note: 'port 30000 is taken',
  about: { kind: 'Service', namespace: 'ns', name: 'web', uid: 'u-1' },
}

function aRecorder(fails = false) {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const sent: KubernetesEvent[] = []
  const outcomes: string[] = []
  const recorder = new EventRecorder({
    clock,
    host: 'host-1',
    sender: {
      createEvent: (event) => {
        sent.push(event)
        return fails ? Promise.reject(new Error('no')) : Promise.resolve()
      },
    },
    onOutcome: (outcome) => outcomes.push(outcome),
  })
  const record = (occurrence: Occurrence) => recorder.record(occurrence, new AbortController().signal)
  return { clock, sent, outcomes, record }
}

describe('buildEvent()', () => {
  const facts = { host: 'host-1', nowMs: Date.UTC(2026, 0, 1), repeats: 0, sequence: 5 }

  test('about a Node goes to the namespace default, from kube-proxy', () => {
    expect(buildEvent(START, facts)).toEqual({
      namespace: 'default',
      name: 'node-1.18867251edfa0005',
      type: 'Normal',
      reason: 'Starting',
      action: 'StartKubeProxy',
      note: '',
      regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'node-1' },
      reportingController: 'kube-proxy',
      reportingInstance: 'kube-proxy-host-1',
      timeMs: facts.nowMs,
    })
  })

  test('about a Service goes to its namespace, and says how often it was left out', () => {
    expect(buildEvent(TAKEN, { ...facts, repeats: 3 })).toMatchObject({
      namespace: 'ns',
      note: 'port 30000 is taken (and 3 more times since it was last reported)',
      regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'ns', name: 'web', uid: 'u-1' },
    })
  })
})

describe('EventRecorder', () => {
  test('sends the first, counts what is said again, and tells the count after ten minutes', async () => {
    const { clock, sent, record, outcomes } = aRecorder()
    for (let time = 0; time < 5; time++) record(TAKEN)
    await clock.advance(600_000)
    record(TAKEN)
    await clock.settle()
    expect(sent.map(({ note }) => note)).toEqual([
      'port 30000 is taken',
      'port 30000 is taken (and 4 more times since it was last reported)',
    ])
    expect(outcomes.filter((outcome) => outcome === 'left_out')).toHaveLength(4)
  })

  test('does not hold back another reason or another object', () => {
    const { sent, record } = aRecorder()
    record(TAKEN)
    record({ ...TAKEN, reason: 'InvalidObject' })
    record({ ...TAKEN, about: { kind: 'Service', namespace: 'ns', name: 'api' } })
    expect(sent).toHaveLength(3)
    expect(new Set(sent.map(({ name }) => name)).size).toBe(3)
  })

  test('limits an object that always says something new, and lets it speak again later', async () => {
    const { clock, sent, record } = aRecorder()
    for (let time = 0; time < 100; time++) record({ ...TAKEN, note: `attempt ${time}` })
    expect(sent).toHaveLength(10)
    await clock.advance(120_000)
    for (let time = 100; time < 200; time++) record({ ...TAKEN, note: `attempt ${time}` })
    expect(sent).toHaveLength(12)
  })

  test('limits all objects together', () => {
    const { sent, record } = aRecorder()
    for (let time = 0; time < 1000; time++)
      record({ ...TAKEN, about: { kind: 'Service', namespace: 'ns', name: `s${time}` } })
    expect(sent).toHaveLength(50)
  })

  test('drops what could not be sent', async () => {
    const { clock, record, outcomes, sent } = aRecorder(true)
    record(START)
    await clock.settle()
    expect([sent.length, outcomes]).toEqual([1, ['failed']])
  })
})
