/**
 * The only door to other programs. No shell is ever involved: arguments are passed as they are, and everything that
 * comes from the API travels on standard input in the tool's own syntax.
 */
export interface ExecRequest {
  readonly file: string
  readonly args: readonly string[]
  readonly stdin?: string
  /** Give standard input as a file: for programs that open `/dev/stdin`, which cannot be opened while it is a pipe of ours. */
  readonly stdinAsFile?: boolean
  /** Milliseconds after which the program is killed; default 60,000, and more for a long input. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface ExecResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly durationMs: number
}

export interface Exec {
  /** Runs a program to its end. A non-zero exit is a result; never started, killed or timed out throws KernelError. */
  run(request: ExecRequest): Promise<ExecResult>
  /** Starts a program that is asked again and again, until the signal is aborted or we end. Missing: none can be kept. */
  open?(request: Pick<ExecRequest, 'file' | 'args' | 'signal'>): StandingProgram
}

/** A program that stays: what it is asked goes to its standard input, what it answers comes from its standard output. */
export interface StandingProgram {
  /** It cannot be asked any more. */
  readonly ended: boolean
  /**
   * Resolves to all that it says up to this line, or until it ends; one question at a time. Rejects with KernelError when
   * it says neither in time; then it is ended.
   */
  ask(question: string, lastLine: string): Promise<StandingAnswer>
}

export interface StandingAnswer {
  readonly text: string
  /** `undefined`: it goes on. `null`: it never ran, or was killed. */
  readonly exitCode: number | null | undefined
}
