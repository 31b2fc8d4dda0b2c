/** A small HTTP client for the tests of the embedded API server. */
import { type ApiObject, type ObjectMeta } from '../../../../src/lab/api-server/api-object.ts'
import { type ApiServer } from '../../../../src/lab/api-server/api-server.ts'

/** An object, a list or a Status: whoever asks knows which. */
export type AnswerBody = ApiObject & {
  readonly metadata: ObjectMeta & { readonly continue?: string; readonly remainingItemCount?: number }
  readonly items: readonly ApiObject[]
}

export interface Answer {
  readonly code: number
  readonly headers: Headers
  readonly body: AnswerBody
}

export async function ask(
  server: ApiServer,
  path: string,
  options: { method?: string; body?: unknown; type?: string; accept?: string; token?: string } = {},
): Promise<Answer> {
  const { method = 'GET', body, type = 'application/json', accept, token } = options
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': type }),
      ...(accept === undefined ? {} : { accept }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { code: response.status, headers: response.headers, body: parsed(text) as AnswerBody }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export interface WatchedEvent {
  readonly type: string
  readonly object: ApiObject
}

/** An open watch whose events are taken one after another. */
export class TestWatch {
  readonly #abort = new AbortController()
  readonly #events: WatchedEvent[] = []
  readonly #waiting: (() => void)[] = []
  #code = 0
  #error: unknown
  #ended = false
  raw = ''

  static async open(server: ApiServer, path: string): Promise<TestWatch> {
    const watch = new TestWatch()
    const response = await fetch(`${server.url}${path}`, { signal: watch.#abort.signal })
    watch.#code = response.status
    void watch.#read(response)
    return watch
  }

  get code(): number {
    return this.#code
  }

  /** The next event; rejects when the watch ends before one arrives. */
  async next(): Promise<WatchedEvent> {
    for (;;) {
      const event = this.#events.shift()
      if (event !== undefined) return event
      if (this.#ended) throw new Error(`the watch has ended: ${String(this.#error)}; received: ${this.raw}`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** Resolves at the end of the answer, with the error that cut it off or `undefined`. */
  async end(): Promise<unknown> {
    while (!this.#ended) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.#error
  }

  close(): void {
    this.#abort.abort()
  }

  async #read(response: Response): Promise<void> {
    let rest = ''
    try {
      const decoder = new TextDecoder()
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        const text = decoder.decode(chunk, { stream: true })
        this.raw += text
        rest += text
        const lines = rest.split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) this.#events.push(JSON.parse(line) as WatchedEvent)
        this.#wake()
      }
    } catch (error) {
      this.#error = error
    }
    this.#ended = true
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
