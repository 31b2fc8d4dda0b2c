/** An explanation for people. */
import type {
  ExplainedFrontend,
  ExplainedObject,
  ExplainedPort,
  Explanation,
  OpenConnections,
} from './explanation.ts'
import { textTable } from './text-table.ts'

export function explanationText(explanation: Explanation): string {
  const { subject, node, mode, remarks, ports, nothing } = explanation
  const parts = [`${subject}, on node ${node} in ${mode} mode\n`]
  for (const remark of remarks) parts.push(`Note: ${remark}\n`)
  for (const line of nothing) parts.push(`Nothing to explain: ${line}\n`)
  for (const port of ports) parts.push(portText(port))
  return parts.join('\n')
}

function portText(port: ExplainedPort): string {
  const parts = [`${port.servicePort} (${port.family})\n`]
  if (!port.programmed) parts.push('  It is known, but nothing of it is programmed yet.\n')
  for (const problem of port.problems) parts.push(`  Problem: ${problem}\n`)
  for (const frontend of port.frontends) parts.push(frontendText(frontend, port.connections))
  parts.push(indented('Endpoints', endpointTable(port)))
  parts.push(indented('In the kernel', port.kernelObjects.map(objectText).join('')))
  return parts.join('')
}

function frontendText(
  { kind, address, row, routes, sourceRanges, sender }: ExplainedFrontend,
  connections: OpenConnections | undefined,
): string {
  const open = connections?.byFrontend[address]
  const lines = [
    `${kind} ${address}: ${row}${open === undefined ? '' : `; open connections: ${open}`}`,
    `  from a pod: ${routes.pod}; from this node: ${routes.node}; from elsewhere: ${routes.external}`,
  ]
  if (sourceRanges.length > 0) lines.push(`  only senders in ${sourceRanges.join(', ')} are let in`)
  if (sender !== undefined) {
    lines.push(`  a connection from ${sender.ip} ${sender.result}`)
    for (const step of sender.trace) lines.push(`    because ${step}`)
  }
  return lines.map((line) => `  ${line}\n`).join('')
}

function endpointTable({ endpoints, connections }: ExplainedPort): string {
  const rows = endpoints.map(({ clusterPool, localPool, ...endpoint }) => ({
    ...endpoint,
    ...(connections === undefined ? {} : { connections: connections.byEndpoint[endpoint.address] ?? 0 }),
    clusterPool,
    localPool,
  }))
  const total =
    connections === undefined
      ? ''
      : `open connections: ${connections.total}; without an answer yet: ${connections.unanswered}\n`
  return textTable(rows, 'endpoints in any EndpointSlice') + total
}

function objectText({ kind, key, lines, inKernel, packets }: ExplainedObject): string {
  const state = inKernel === 'not checked' ? '' : ` (${inKernel})`
  const counted = (index: number): string =>
    packets?.[index] === undefined ? '' : `[${packets[index]} packets] `
  const shown = lines.map((line, index) => `  ${counted(index)}${line}`)
  return [`${kind} ${key}${state}`, ...shown].map((line) => `${line}\n`).join('')
}

function indented(title: string, text: string): string {
  const body = text === '' ? 'nothing\n' : text
  return `  ${title}:\n${body.replace(/^(?=.)/gm, '    ')}`
}
