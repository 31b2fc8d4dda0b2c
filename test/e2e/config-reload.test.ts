/** A configuration file that changes while the proxy runs: what is refused and what is applied, and how that is told. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { describeKernel } from '../support/skip-reasons.ts'
import { TestLab } from '../support/test-lab.ts'

jest.setTimeout(90_000)

let folder: string
let file: string
let test: TestLab

function write(more: string): void {
  writeFileSync(
    file,
    `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection:
  kubeconfig: ${test.lab.directory}/kubeconfig-inside
clusterCIDR: 10.244.0.0/16
${more}`,
  )
}

describeKernel('on a node', ['namespaces'], () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fairlead-config-'))
    file = join(folder, 'config.conf')
    test = await TestLab.up({ flags: [`--config=${file}`] })
    write('mode: iptables\n')
    test.lab.startProxy(test.node)
    await test.untilAnswered(test.clusterIp())
  }, 60_000)
  afterAll(async () => {
    await test.down()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Polls the metrics; a proxy that starts over does not answer for a moment. */
  async function untilCounted(outcome: string, count: number): Promise<void> {
    const line = `fairlead_config_reloads_total{outcome="${outcome}"} ${count}`
    await test.until(line, async () => {
      const args = ['-s', '-m', '2', 'http://127.0.0.1:10249/metrics']
      const { stdout } = await test.node.host.exec.run({ file: 'curl', args })
      return stdout.split('\n').includes(line)
    })
  }

  describe('a changed configuration file', () => {
    it('is refused as a whole when it is wrong, and counted', async () => {
      write('mode: iptables\nconntrack:\n  min: many\n')
      await untilCounted('refused', 1)
      expect(readFileSync(test.lab.proxyLog(test.node), 'utf8')).toMatch(/conntrack\.min/)
      expect(await test.ask(test.clusterIp())).not.toContain('exit')
    })

    it('is applied when it is right, and both counts go on', async () => {
      write('mode: nftables\n')
      await untilCounted('applied', 1)
      await untilCounted('refused', 1)
      await test.until('the mode has changed', async () => {
        const args = ['-s', '-m', '2', 'http://127.0.0.1:10249/proxyMode']
        return (await test.node.host.exec.run({ file: 'curl', args })).stdout === 'nftables'
      })
      expect(await test.ask(test.clusterIp())).not.toContain('exit')
    })
  })
})
