/** `fairlead lab` and the demo from their start to whatever ends them: nothing of them is left. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { jest } from '@jest/globals'
import { describeKernel } from '../support/skip-reasons.ts'

jest.setTimeout(120_000)

const FAIRLEAD = resolve(import.meta.dirname, '../../bin/fairlead')
/** Keeps the namespaces, and takes in processes whose parents have ended. */
const HOLD = 'mount -t tmpfs tmpfs /run && mkdir /run/tmp && while :; do sleep 0.2; done'
const SMALL = ['--nodes', '1', '--pods', '1', '--network', 'routed']

/** A machine of its own as far as processes and /run are concerned: what runs there is ours, and a person's lab is not touched. */
class Enclosure {
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess) {
    this.#holder = holder
  }

  static async create(): Promise<Enclosure> {
    const args = ['--pid', '--mount', '--fork', '--mount-proc', '--kill-child', '--', 'sh', '-c', HOLD]
    const enclosure = new Enclosure(spawn('unshare', args, { stdio: ['ignore', 'ignore', 'inherit'] }))
    await until('the enclosure is there', () => {
      if (enclosure.#holder.exitCode !== null) throw new Error('Cannot make an enclosure: unshare has ended')
      return enclosure.run('test', '-d', '/run/tmp').status === 0
    })
    return enclosure
  }

  /** Processes beside the one that keeps the enclosure. */
  processes(): string[] {
    const lines = this.run('ps', '-eo', 'args=').stdout.split('\n')
    return lines
      .map((line) => line.trim())
      .filter((line) => line !== '' && !/^(sh -c|sleep 0\.2|ps -eo)/.test(line))
  }

  run(...command: string[]) {
    return spawnSync('nsenter', [...this.#enter(), ...command], { encoding: 'utf8', env: this.#env })
  }

  start(...command: string[]): { readonly child: ChildProcess; readonly said: () => string } {
    const child = spawn('nsenter', [...this.#enter(), ...command], { stdio: 'pipe', env: this.#env })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said += text))
    return { child, said: () => said }
  }

  async end(): Promise<void> {
    const ended = once(this.#holder, 'exit')
    this.#holder.kill('SIGKILL')
    await ended
  }

  get #env() {
    return { ...process.env, TMPDIR: '/run/tmp' }
  }

  #enter(): string[] {
    // The first process of the new PID namespace is the child of `unshare`.
    const { stdout } = spawnSync('pgrep', ['-P', String(this.#holder.pid)], { encoding: 'utf8' })
    return ['-t', stdout.trim() === '' ? '0' : stdout.trim(), '-m', '-p', '-r', '--']
  }
}

async function until(what: string, holds: () => boolean, seconds = 60): Promise<void> {
  const deadline = Date.now() + seconds * 1000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`After ${seconds} s it is not true that ${what}`)
    await new Promise((next) => setTimeout(next, 50))
  }
}

describeKernel('fairlead lab', ['namespaces'], () => {
  let enclosure: Enclosure

  beforeEach(async () => {
    enclosure = await Enclosure.create()
  })

  afterEach(async () => enclosure.end())

  const signal = (name: string, command: string): void => {
    expect(enclosure.run('pkill', `-${name}`, '-o', '-f', `main.js ${command}`).status).toBe(0)
  }

  const expectNothingLeft = async (): Promise<void> => {
    await until('no process is left', () => enclosure.processes().length === 0)
    expect(enclosure.run('ls', '/run/tmp').stdout).toBe('')
    expect(enclosure.run(FAIRLEAD, 'lab', 'status')).toMatchObject({
      status: 1,
      stdout: 'No lab is running.\n',
    })
  }

  test('up tells how to reach it, refuses a second start, and leaves nothing after Ctrl-C', async () => {
    const lab = enclosure.start(FAIRLEAD, 'lab', 'up', ...SMALL)
    await until('the lab is up', () => lab.said().includes('Try: kubectl'))
    const status = enclosure.run(FAIRLEAD, 'lab', 'status')
    expect(status).toMatchObject({ status: 0 })
    expect(status.stdout).toMatch(
      /^1 nodes, 1 pods, iptables mode, routed network, process \d+\nkubeconfig: \/run\/tmp\//,
    )
    const second = enclosure.run(FAIRLEAD, 'lab', 'up', ...SMALL)
    expect(second).toMatchObject({ status: 1 })
    expect(second.stderr).toContain('one runs already')
    signal('INT', 'lab up')
    await expectNothingLeft()
  })

  test.each([100, 700, 1500])('up leaves nothing when it is ended %d ms after its start', async (ms) => {
    enclosure.start(FAIRLEAD, 'lab', 'up', ...SMALL)
    await until('it runs', () => enclosure.processes().some((line) => line.includes('main.js lab up')))
    await new Promise((next) => setTimeout(next, ms))
    signal('INT', 'lab up')
    await expectNothingLeft()
  })

  test('down removes what a killed lab has left', async () => {
    const lab = enclosure.start(FAIRLEAD, 'lab', 'up', ...SMALL)
    await until('the lab is up', () => lab.said().includes('Try: kubectl'))
    signal('KILL', 'lab up')
    await until('its processes went with it', () => enclosure.processes().length === 0)
    expect(enclosure.run(FAIRLEAD, 'lab', 'down').status).toBe(0)
    await expectNothingLeft()
  })

  test('down removes what a killed demo has left', async () => {
    const demo = enclosure.start(FAIRLEAD, 'lab', 'demo', ...SMALL)
    await until('it has begun', () => demo.said().length > 500)
    signal('KILL', 'lab demo')
    await until('its processes went with it', () => enclosure.processes().length === 0)
    expect(enclosure.run(FAIRLEAD, 'lab', 'down').status).toBe(0)
    await expectNothingLeft()
  })

  test('down ends a lab in the background', async () => {
    expect(enclosure.run(FAIRLEAD, 'lab', 'up', '--keep', ...SMALL)).toMatchObject({ status: 0 })
    expect(enclosure.run(FAIRLEAD, 'lab', 'status').status).toBe(0)
    expect(enclosure.run(FAIRLEAD, 'lab', 'down')).toMatchObject({ status: 0, stdout: 'The lab is gone.\n' })
    await expectNothingLeft()
  })

  test('the demo leaves nothing after Ctrl-C in the middle', async () => {
    const demo = enclosure.start(FAIRLEAD, 'lab', 'demo', ...SMALL)
    await until('it has begun', () => demo.said().length > 500)
    signal('INT', 'lab demo')
    await expectNothingLeft()
  })
})
