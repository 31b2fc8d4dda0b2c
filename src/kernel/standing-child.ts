import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import type { StandingAnswer, StandingProgram } from './exec.ts'
import { KernelError } from './kernel-error.ts'

/** Longer than a program waits for locks. */
const ANSWER_MS = 15_000

/** A child process that is asked many times. It does not keep us alive, and ends when we do: its input is then closed. */
export class StandingChild implements StandingProgram {
  readonly #command: readonly string[]
  readonly #child: ChildProcess
  readonly #answerMs: number
  #said = ''
  #exitCode: number | null | undefined
  #heard: () => void = () => undefined
  /** Ends when nobody before has a question any more. */
  #turn: Promise<unknown> = Promise.resolve()

  /** `child`: with pipes for its input and output. `answerMs`: how long it may be silent. */
  constructor(child: ChildProcess, command: readonly string[], answerMs = ANSWER_MS) {
    this.#command = command
    this.#child = child
    this.#answerMs = answerMs
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      this.#said += piece
      this.#heard()
    })
    child.on('close', (exitCode) => this.#end(exitCode))
    child.on('error', () => this.#end(null))
    // A program that has ended closes the pipe; that it has is seen anyway.
    child.stdin?.on('error', () => undefined)
    for (const handle of [child, child.stdin as Socket | null, child.stdout as Socket | null]) handle?.unref()
  }

  get ended(): boolean {
    return this.#exitCode !== undefined
  }

  async ask(question: string, lastLine: string): Promise<StandingAnswer> {
    const answer = this.#turn.then(async () => this.#askNow(question, lastLine))
    this.#turn = answer.catch(() => undefined)
    return answer
  }

  async #askNow(question: string, lastLine: string): Promise<StandingAnswer> {
    this.#said = ''
    this.#child.stdin?.write(question)
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(this.#silence())
          this.#child.kill('SIGKILL')
          this.#end(null)
        }, this.#answerMs)
        this.#heard = () => {
          if (this.ended || this.#said.endsWith(`${lastLine}\n`)) resolve()
        }
        this.#heard()
      })
    } finally {
      clearTimeout(timer)
    }
    return { text: this.#said, exitCode: this.#exitCode }
  }

  #end(exitCode: number | null): void {
    this.#exitCode ??= exitCode
    this.#heard()
  }

  #silence(): KernelError {
    const [file = ''] = this.#command
    const remedy = 'look for an overloaded machine'
    return new KernelError(`Cannot ask ${file}: no answer within ${this.#answerMs} ms; ${remedy}`, {
      ...{ code: 'timeout', command: this.#command, exitCode: undefined, stderr: '' },
      ...{ script: '', line: undefined, remedy },
    })
  }
}
