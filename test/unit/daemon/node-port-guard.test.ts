import { NodePortGuard } from '../../../src/daemon/node-port-guard.ts'
import { type PortName, readHostListeners } from '../../../src/kernel/host-listeners.ts'
import { formatPortRanges, parsePortRanges } from '../../../src/netfilter/port-ranges.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { aForwarding, aPort } from '../../support/forwarding-builder.ts'

const web = aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80')

function setUp(host: { listeners?: PortName[]; reserved?: string; refuses?: boolean } = {}) {
  const sysctls = new Map([
    ['net/ipv4/ip_local_port_range', '32768\t60999'],
    ['net/ipv4/ip_local_reserved_ports', host.reserved ?? ''],
  ])
  const told: string[] = []
  const warnings: string[] = []
  const guard = new NodePortGuard({
    listeners: async () => Promise.resolve(new Set(host.listeners ?? [])),
    sysctls: {
      read: async (key) => Promise.resolve(sysctls.get(key)),
      ensure: async (key, value) => {
        if (host.refuses === true) throw new Error('read-only')
        sysctls.set(key, value)
        return Promise.resolve(true)
      },
    },
    onTaken: (port, what) => told.push(`${port.service}: ${what}`),
    log: { ...silentLogger, warn: (_facts, sentence) => void warnings.push(sentence) },
    signal: new AbortController().signal,
  })
  return { guard, told, warnings, reserved: () => sysctls.get('net/ipv4/ip_local_reserved_ports') }
}

test('NodePortGuard tells once of a program that listens on a NodePort, and again when the NodePort is new', async () => {
  const { guard, told } = setUp({ listeners: ['TCP 30080', 'UDP 30081'] })
  const taken = aForwarding([web.nodePort(30080), aPort('ns/other').nodePort(30081)])
  await guard.synced(taken)
  await guard.synced(aForwarding([web.nodePort(30080).endpoints('10.0.0.2:80')]))
  expect(told).toEqual([
    'ns/web: a program of this host listens on TCP 30080, which is the NodePort: on the addresses that NodePorts are accepted on the port goes to the Service now; give one of the two another port',
  ])
  await guard.synced(aForwarding([]))
  await guard.synced(taken)
  expect(told).toHaveLength(2)
})

test('NodePortGuard reserves NodePorts that outgoing connections might be given, beside those of the admin', async () => {
  const { guard, reserved } = setUp({ reserved: '8080,40000-40002' })
  await guard.synced(aForwarding([web.nodePort(30080)]))
  expect(reserved()).toBe('8080,40000-40002')
  await guard.synced(aForwarding([web.nodePort(40003), aPort('ns/other').nodePort(50000)]))
  expect(reserved()).toBe('8080,40000-40003,50000')
})

test('NodePortGuard goes on when the kernel refuses', async () => {
  const { guard, told, warnings } = setUp({ listeners: ['TCP 40000'], refuses: true })
  await guard.synced(aForwarding([web.nodePort(40000)]))
  expect(warnings).toEqual(['Cannot keep NodePorts apart from the programs of this host'])
  expect(told).toHaveLength(1)
})

test('readHostListeners() knows listening sockets of both families and protocols, and no others', async () => {
  const head = '  sl  local_address rem_address   st tx_queue rx_queue\n'
  const files: Readonly<Record<string, string>> = {
    tcp: `${head}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000\n`,
    tcp6: `${head}   0: 00000000000000000000000000000000:7580 00000000000000000000000000000000:0000 0A 00000000\n`,
    udp: `${head} 12: 00000000:0035 00000000:0000 07 00000000:00000000\n`,
  }
  const listeners = await readHostListeners(async (name) => {
    const text = files[name]
    return text === undefined ? Promise.reject(new Error('no such file')) : Promise.resolve(text)
  })
  expect([...listeners].sort()).toEqual(['TCP 30080', 'TCP 8080', 'UDP 53'])
})

test('formatPortRanges() writes what parsePortRanges() reads', () => {
  expect(formatPortRanges(parsePortRanges('7,5-6,65534-65540, 9 ,x'))).toBe('5-7,9,65534-65535')
  expect(formatPortRanges(parsePortRanges(''))).toBe('')
})
