/** One try to reach a service from a namespace of the node bed: connect or send, and see who answers, or how not. */
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'

export interface AttemptRequest {
  readonly protocol: 'TCP' | 'UDP'
  readonly sourceIp: string
  /** A fresh one when absent. */
  readonly sourcePort?: number
  readonly destIp: string
  readonly destPort: number
  /** Silence of so many milliseconds ends the try. */
  readonly timeoutMs: number
}

export type Attempt =
  | {
      readonly kind: 'answer'
      /** The namespace in which the answering socket lives. */
      readonly place: string
      readonly ip: string
      readonly port: number
      /** The client as the answering socket saw it. */
      readonly seenIp: string
      readonly seenPort: number
      readonly ms: number
    }
  /** The kernel reported an error, e.g. ECONNREFUSED after an ICMP message. */
  | { readonly kind: 'error'; readonly code: string; readonly ms: number }
  | { readonly kind: 'silence' }

/** `::ffff:10.0.0.1` becomes `10.0.0.1`, a zone is cut off; other addresses stay as the kernel prints them. */
export function normalIp(text: string): string {
  const [ip = ''] = text.split('%')
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip
}

/** Never rejects. */
export async function attempt(request: AttemptRequest): Promise<Attempt> {
  return request.protocol === 'TCP' ? attemptTcp(request) : attemptUdp(request)
}

export function readGreeting(line: string, ms: number): Attempt {
  const [place = '', ip = '', port = '', seenIp = '', seenPort = ''] = line.trim().split(' ')
  return { kind: 'answer', place, ip, port: Number(port), seenIp, seenPort: Number(seenPort), ms }
}

async function attemptTcp(request: AttemptRequest): Promise<Attempt> {
  const startedMs = performance.now()
  return new Promise((resolve) => {
    const socket = connect({
      host: request.destIp,
      port: request.destPort,
      localAddress: request.sourceIp,
      ...(request.sourcePort === undefined ? {} : { localPort: request.sourcePort }),
      noDelay: true,
    })
    const finish = (result: Attempt): void => {
      clearTimeout(timer)
      // A reset leaves no TIME_WAIT socket behind; thousands of tries would otherwise run out of ports.
      socket.resetAndDestroy()
      resolve(result)
    }
    const timer = setTimeout(() => finish({ kind: 'silence' }), request.timeoutMs)
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.includes('\n')) finish(readGreeting(text, performance.now() - startedMs))
    })
    socket.on('error', (error: NodeJS.ErrnoException) =>
      finish({ kind: 'error', code: error.code ?? error.message, ms: performance.now() - startedMs }),
    )
    socket.on('end', () => finish({ kind: 'error', code: 'closed', ms: performance.now() - startedMs }))
  })
}

async function attemptUdp(request: AttemptRequest): Promise<Attempt> {
  const startedMs = performance.now()
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(request.destIp) ? 'udp6' : 'udp4')
    let done = false
    const finish = (result: Attempt): void => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.close()
      resolve(result)
    }
    const fail = (error: NodeJS.ErrnoException): void =>
      finish({ kind: 'error', code: error.code ?? error.message, ms: performance.now() - startedMs })
    const timer = setTimeout(() => finish({ kind: 'silence' }), request.timeoutMs)
    socket.on('error', fail)
    socket.on('message', (data) => finish(readGreeting(data.toString(), performance.now() - startedMs)))
    // Only a connected socket is told about ICMP errors.
    socket.bind({ address: request.sourceIp, port: request.sourcePort ?? 0 }, () => {
      socket.connect(request.destPort, request.destIp, () => {
        socket.send('who are you?\n', (error) => {
          if (error !== null) fail(error)
        })
      })
    })
  })
}
