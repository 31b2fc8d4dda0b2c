/** The first three scenes: what a pod is, how pods meet, what a Service adds. */
import type { BackendName } from '../../backends/backend.ts'
import { specOf } from '../api-server/api-object.ts'
import type { NetHost } from '../net-host.ts'
import { WEB_PORT } from '../pod-sandbox.ts'
import type { DemoWorld } from './demo-world.ts'
import { barLines } from './terminal-view.ts'

/** Shows a command and what it printed, shortened to what fits on a screen. */
async function showCommand(world: DemoWorld, host: NetHost, command: readonly string[]): Promise<void> {
  const [file = '', ...args] = command
  const { stdout, stderr } = await host.exec.run({ file, args, signal: world.signal })
  const lines = `${stdout}${stderr}`.trimEnd().split('\n')
  const shown = lines.length > 14 ? [...lines.slice(0, 13), `… ${lines.length - 13} more lines`] : lines
  world.view.say(
    [`  ${host.name} $ ${command.join(' ')}`, ...shown.map((line) => `    ${line.slice(0, 150)}`)].join('\n'),
  )
}

function sandboxOf(world: DemoWorld, index: number): NetHost {
  const name = world.readyPods()[index]?.metadata.name ?? ''
  const sandbox = world.lab.kubelet.sandboxOf('default', name)
  if (sandbox === undefined) throw new Error(`Cannot show pod ${index}: it is not running`)
  return sandbox.host
}

export async function containersScene(world: DemoWorld): Promise<void> {
  world.view.say(
    [
      '1. Containers in a pod',
      '   A pod is a network namespace. Its containers are processes that share it: one address, one localhost.',
      '   The container "web" listens; its neighbour "sidecar" asks it over 127.0.0.1 and leaves the answer beside it.',
    ].join('\n'),
  )
  const pod = sandboxOf(world, 0)
  await showCommand(world, pod, ['ip', '-brief', 'address'])
  await showCommand(world, pod, [
    'curl',
    ...askWithin(world),
    '--retry',
    '5',
    '--retry-all-errors',
    '-f',
    `http://127.0.0.1:${WEB_PORT}/sidecar.txt`,
  ])
}

export async function podToPodScene(world: DemoWorld): Promise<void> {
  const [here, ...others] = world.readyPods()
  if (here === undefined) throw new Error('Cannot show pod to pod: no pod is ready')
  const nodeOf = (pod: typeof here): unknown => specOf(pod)['nodeName']
  const near = others.find((pod) => nodeOf(pod) === nodeOf(here))
  const far = others.find((pod) => nodeOf(pod) !== nodeOf(here))
  world.view.say(
    [
      '\n2. Pod to pod',
      '   Every pod reaches every other by its own address, without translation, on its node and across nodes.',
    ].join('\n'),
  )
  const pod = sandboxOf(world, 0)
  for (const [where, peer] of [
    ['the same node', near],
    ['another node', far],
  ] as const) {
    if (peer === undefined) continue
    world.view.say(`   To a pod on ${where}:`)
    await showCommand(world, pod, ['curl', ...askWithin(world), `http://${world.podIp(peer)}:${WEB_PORT}/`])
  }
  await showCommand(world, world.node, ['ip', 'route'])
}

interface KernelTools {
  readonly mode: BackendName
  /** The `iptables` program of the variant in use. */
  readonly iptables: string
}

/** What shows the Service in the kernel, by mode. */
function kernelView({ mode, iptables }: KernelTools, ip: string): readonly (readonly string[])[] {
  switch (mode) {
    case 'iptables':
      return [
        [iptables, '-t', 'nat', '-S', 'KUBE-SERVICES'],
        ['sh', '-c', `${iptables}-save -t nat | grep -- '${ip}'`],
      ]
    case 'nftables':
      return [['sh', '-c', `nft list table ip kube-proxy | grep -- '${ip}'`]]
    case 'ipvs':
      return [['ipvsadm', '-L', '-n', '-t', `${ip}:80`]]
  }
}

const TRIES = 120
/** Of one connection, in the words of `curl`. */
const askWithin = (world: DemoWorld): readonly string[] => ['-sS', '-m', String(world.pace.timeoutMs / 1000)]

export async function serviceScene(world: DemoWorld, tools: KernelTools): Promise<void> {
  const ip = world.clusterIp()
  world.view.say(
    [
      '\n3. A Service',
      `   Pods come and go; the Service's address ${ip} stays. No machine has it: the kernel of each node gives every`,
      '   new connection to it a pod. Fairlead wrote what the kernel needs for that:',
    ].join('\n'),
  )
  for (const command of kernelView(tools, ip)) await showCommand(world, world.node, command)
  // One program for all of them: on a slow kernel, starting 120 takes minutes.
  const ask = [...askWithin(world), '-H', 'Connection: close', `http://${ip}/?[1-${TRIES}]`]
  const answers = (await sandboxOf(world, 0).run('curl', ask)).trim().split('\n').sort()
  const counts = [...new Set(answers)].map(
    (pod) => [pod, answers.filter((answer) => answer === pod).length] as const,
  )
  world.view.say(`   ${TRIES} connections from a pod were answered by:\n${barLines(counts).join('\n')}`)
}
