/** The part of pino's interface that the code uses: facts first, then a constant sentence (docs/operations.md). */
export interface Logger {
  error(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  info(facts: object, sentence: string): void
  debug(facts: object, sentence: string): void
  trace(facts: object, sentence: string): void
  child(facts: object): Logger
}

/** Says nothing: for tests and for tools that print their own answer. */
export const silentLogger: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  trace: () => undefined,
  child: () => silentLogger,
}
