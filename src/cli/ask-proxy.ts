/** Asks the running proxy through its unix socket. */
import { type IncomingMessage, request } from 'node:http'

/** The proxy cannot be asked, or cannot answer. One line with the remedy. */
export class AskError extends Error {
  override readonly name = 'AskError'
}

/** Resolves to the body of the answer. Throws AskError. */
export async function askProxy(
  socketPath: string,
  path: string,
  query: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const search = new URLSearchParams(query).toString()
  const { status, text } = await send(socketPath, search === '' ? path : `${path}?${search}`)
  const body = JSON.parse(text) as unknown
  if (status === 200) return body
  throw new AskError((body as { readonly error?: string }).error ?? `The proxy answered with ${status}`)
}

async function send(socketPath: string, path: string): Promise<{ status: number; text: string }> {
  let answer: IncomingMessage
  try {
    answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath, path }, resolve).once('error', reject).end()
    })
  } catch (cause) {
    throw unreachable(socketPath, cause as NodeJS.ErrnoException)
  }
  const parts: Buffer[] = []
  for await (const part of answer) parts.push(part as Buffer)
  return { status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') }
}

function unreachable(socketPath: string, cause: NodeJS.ErrnoException): AskError {
  const [why, remedy] =
    cause.code === 'EACCES' || cause.code === 'EPERM'
      ? ['only root may open it', 'run this as root']
      : [
          'no Fairlead answers there',
          'start it, run this inside its pod, name its socket with --explain-socket, or do without it with --kubeconfig',
        ]
  return new AskError(
    `Cannot ask the proxy on ${socketPath} (${cause.code ?? cause.message}): ${why}; ${remedy}`,
    {
      cause,
    },
  )
}
