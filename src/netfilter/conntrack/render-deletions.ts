import type { Flow } from './flow.ts'

/**
 * One command a line for `conntrack -R -`: each deletes exactly this flow, named by both directions, so that a flow
 * that was replaced in the meantime by another one with the same original tuple is left alone.
 */
export function renderDeletions(flows: readonly Flow[]): string {
  return flows.map((flow) => `${deletion(flow).join(' ')}\n`).join('')
}

function deletion(flow: Flow): string[] {
  return [
    '-D',
    '-f',
    flow.family.toLowerCase(),
    '-p',
    flow.protocol.toLowerCase(),
    '--orig-src',
    flow.source,
    '--orig-dst',
    flow.destination,
    '--orig-port-src',
    String(flow.sourcePort),
    '--orig-port-dst',
    String(flow.destinationPort),
    '--reply-src',
    flow.replySource,
    '--reply-port-src',
    String(flow.replySourcePort),
  ]
}
