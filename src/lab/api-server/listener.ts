/** The listening socket and its connections; the address survives a pause of listening. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type Socket } from 'node:net'
import { type FaultyTransport } from './faults.ts'
import { type ServingCertificate } from './certificates.ts'

export interface ListenerOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly certificate: ServingCertificate | undefined
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void
}

export class Listener implements FaultyTransport {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #host: string
  #port: number

  constructor(options: ListenerOptions) {
    const { certificate, handle } = options
    this.#host = options.host
    this.#port = options.port
    this.#server =
      certificate === undefined
        ? createServer(handle)
        : createTlsServer({ key: certificate.key, cert: certificate.certificate }, handle)
    // Go's clients keep idle connections for 90 s; closing earlier would race with their next request.
    this.#server.keepAliveTimeout = 120_000
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => socket.destroy())
    })
  }

  get port(): number {
    return this.#port
  }

  /** Resolves when connections are accepted; rejects when the address is taken. */
  listenAgain(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port, this.#host, () => {
        this.#server.off('error', reject)
        const address = this.#server.address()
        if (address !== null && typeof address === 'object') this.#port = address.port
        resolve()
      })
    })
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  stopListening(): void {
    this.#server.close()
    this.dropConnections()
  }

  /** Resolves when nothing is open any more. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#server.listening) {
        this.#server.close(() => {
          resolve()
        })
      } else resolve()
      this.dropConnections()
    })
  }
}
