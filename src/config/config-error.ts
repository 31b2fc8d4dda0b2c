/** Why a setting cannot be used, as far as the caller must act differently. */
export type ConfigErrorCode =
  /** A file that was named does not exist. */
  | 'missing-file'
  /** A file exists, but may not or cannot be read or written. */
  | 'unreadable'
  /** A file is not YAML or JSON, or is of a kind that we do not know. */
  | 'syntax'
  /** A flag, field, feature gate or argument that does not exist. */
  | 'unknown'
  /** A value of the wrong type or outside its limits. */
  | 'invalid'
  /** Two settings that do not go together. */
  | 'conflict'

/**
 * The operator asked for something that cannot be. The message is one line: what was refused, why, and the remedy
 * (`Cannot use "--cluster-cidr=10.0.0": not a CIDR; write it as 10.0.0.0/16`).
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code: ConfigErrorCode
  /** The setting or file concerned: `--cluster-cidr`, `conntrack.min`, `/etc/fairlead/kubeconfig`. */
  readonly path: string

  constructor(
    message: string,
    facts: { readonly code: ConfigErrorCode; readonly path: string; readonly cause?: unknown },
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.code = facts.code
    this.path = facts.path
  }
}
