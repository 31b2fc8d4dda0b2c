/** Whether this kernel can carry a pod network: it is asked to make the devices, in a namespace that is then gone. */
import { ProgramRunner } from '../../kernel/program-runner.ts'
import type { PodNetwork } from './pod-network.ts'

/** Why not, with what the kernel said; `undefined`: it can. Needs root. */
export async function networkProblem({ name, probe }: PodNetwork): Promise<string | undefined> {
  const result = await new ProgramRunner().run({
    file: 'unshare',
    args: ['--net', 'ip', '-batch', '-'],
    stdin: `${probe.join('\n')}\n`,
  })
  if (result.exitCode === 0) return undefined
  const [reason = ''] = result.stderr.trim().split('\n')
  return `This kernel cannot carry the pod network "${name}" (${reason})`
}

/** Throws when this kernel cannot carry the network. */
export async function requireNetwork(network: PodNetwork): Promise<void> {
  const problem = await networkProblem(network)
  if (problem === undefined) return
  const kind = network.probe.at(-1)?.match(/ type (\w+)/)?.[1] ?? network.name
  throw new Error(`${problem}; load its module with "modprobe ${kind}" or choose another network`)
}
