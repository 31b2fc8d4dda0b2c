import { Conntrack } from '../../src/kernel/conntrack.ts'
import { NetNamespace } from '../support/net-namespace.ts'

test('Conntrack lists and deletes exactly the named flows of a real kernel', async () => {
  const namespace = await NetNamespace.create()
  try {
    const { signal } = new AbortController()
    // A rule that looks at states makes the kernel track; the flows are UDP packets that nobody answers.
    await namespace.run('iptables', [
      '-w',
      '-A',
      'OUTPUT',
      '-m',
      'conntrack',
      '--ctstate',
      'INVALID',
      '-j',
      'DROP',
    ])
    for (const port of [5001, 5002, 5003])
      await namespace.run('bash', ['-c', `echo hello > /dev/udp/127.0.0.1/${port}`]).catch(() => '')
    const conntrack = new Conntrack(namespace.exec)
    const portsNow = async (): Promise<number[]> => {
      const flows = await conntrack.list({ family: 'IPv4', protocol: 'UDP' }, signal)
      return flows.map(({ destinationPort }) => destinationPort).sort()
    }
    expect(await portsNow()).toEqual([5001, 5002, 5003])
    const flows = await conntrack.list({ family: 'IPv4', protocol: 'UDP' }, signal)
    const doomed = flows.filter(({ destinationPort }) => destinationPort !== 5002)
    await conntrack.delete(doomed, signal)
    expect(await portsNow()).toEqual([5002])
    await conntrack.delete(doomed, signal)
    expect(await portsNow()).toEqual([5002])
  } finally {
    await namespace.close()
  }
}, 30_000)
