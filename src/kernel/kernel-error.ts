/** Why a tool refused, as far as the caller must act differently. */
export type KernelErrorCode =
  | 'busy'
  | 'rejected'
  | 'missing-object'
  | 'already-exists'
  | 'permission'
  | 'missing-tool'
  | 'unsupported'
  | 'timeout'

export interface KernelFailure {
  readonly code: KernelErrorCode
  /** Program and arguments. */
  readonly command: readonly string[]
  /** `undefined` when the program was never started or was ended by us. */
  readonly exitCode: number | undefined
  readonly stderr: string
  /** The exact standard input. */
  readonly script: string
  /** Line of `script`, from 1, that the tool blamed. */
  readonly line: number | undefined
  /** What an operator can do about it; one clause. */
  readonly remedy: string
}

/** A tool refused. Classified once, in `classifyFailure`; no other code looks at error text. */
export class KernelError extends Error implements KernelFailure {
  override readonly name = 'KernelError'
  readonly code: KernelErrorCode
  readonly command: readonly string[]
  readonly exitCode: number | undefined
  readonly stderr: string
  readonly script: string
  readonly line: number | undefined
  readonly remedy: string

  constructor(message: string, failure: KernelFailure, options?: ErrorOptions) {
    super(message, options)
    this.code = failure.code
    this.command = failure.command
    this.exitCode = failure.exitCode
    this.stderr = failure.stderr
    this.script = failure.script
    this.line = failure.line
    this.remedy = failure.remedy
  }
}
