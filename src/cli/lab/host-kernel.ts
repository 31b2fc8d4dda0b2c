import type { BackendName } from '../../backends/backend.ts'
import { ProgramRunner } from '../../kernel/program-runner.ts'
import type { PodNetworkName } from '../../lab/networks/pod-network.ts'
import { networkProblem } from '../../lab/networks/kernel-needs.ts'
import { POD_NETWORKS } from '../../lab/networks/pod-networks.ts'

/** Commands that succeed in a fresh network namespace exactly where the kernel can carry the mode. */
const PROBES: Readonly<Record<BackendName, string>> = {
  iptables: 'iptables -w -t nat -S',
  nftables: 'nft add table ip probe && nft "add chain ip probe c { type nat hook output priority -100; }"',
  ipvs: 'ipvsadm -Ln || { modprobe ip_vs && ipvsadm -Ln; }',
}

export interface LabWish {
  readonly mode: BackendName
  readonly network: PodNetworkName
}

/** Why this machine's own kernel cannot carry such a lab, in words; `undefined`: it can. */
export async function obstacleOnHost({ mode, network }: LabWish): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'Not root'
  const exec = new ProgramRunner()
  const result = await exec.run({ file: 'unshare', args: ['--net', 'sh', '-c', PROBES[mode]] })
  if (result.exitCode === 0) return networkProblem(POD_NETWORKS[network])
  const [reason = ''] = result.stderr.trim().split('\n')
  return `This kernel cannot carry ${mode} mode (${reason})`
}
