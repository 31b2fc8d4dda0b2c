/** How fast things happen in the demo. A kernel on which each system call is 10–30 times slower needs calmer ones. */
export interface Pace {
  /** Each client opens a connection so often. */
  readonly connectEveryMs: number
  /** After so long a connection counts as failed. */
  readonly timeoutMs: number
  /** How long a pod serves on after it was asked to go. */
  readonly preStopSeconds: number
  /** A state that is not reached by then never will be. */
  readonly patienceMs: number
}

export const PACES: Readonly<Record<'host' | 'user-mode-linux', Pace>> = {
  host: { connectEveryMs: 8, timeoutMs: 2000, preStopSeconds: 1, patienceMs: 60_000 },
  'user-mode-linux': { connectEveryMs: 250, timeoutMs: 8000, preStopSeconds: 10, patienceMs: 180_000 },
}
