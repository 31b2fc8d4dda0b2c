/** What each client has asked for and how much it was sent, by the first word of its user agent. */
export interface ClientCounts {
  requests: number
  watches: number
  bytesReceived: number
  bytesSent: number
  /** Requests by verb and resource, for instance `list services`. */
  readonly byVerb: Record<string, number>
}

export class ClientStats {
  readonly #clients = new Map<string, ClientCounts>()

  client(userAgent: string | undefined): ClientCounts {
    const name = userAgent?.split(' ')[0] ?? 'unknown'
    let counts = this.#clients.get(name)
    if (counts === undefined) {
      counts = { requests: 0, watches: 0, bytesReceived: 0, bytesSent: 0, byVerb: {} }
      this.#clients.set(name, counts)
    }
    return counts
  }

  /** A copy of the counts by client. */
  snapshot(): Readonly<Record<string, ClientCounts>> {
    return Object.fromEntries([...this.#clients].map(([name, counts]) => [name, structuredClone(counts)]))
  }

  reset(): void {
    this.#clients.clear()
  }
}
