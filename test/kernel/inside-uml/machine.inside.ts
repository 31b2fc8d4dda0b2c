import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { NetNamespace } from '../../support/net-namespace.ts'

const run = (file: string, ...args: readonly string[]) => execFileSync(file, args, { encoding: 'utf8' })

test('the guest is another kernel than the host', () => {
  expect(run('uname', '-r')).toMatch(/^\d+\.\d+/)
  expect(readFileSync('/proc/cmdline', 'utf8')).toContain('rootfstype=hostfs')
})

test('the guest loads kernel modules on demand, although /lib/modules lacks them', () => {
  run('ipvsadm', '-A', '-t', '192.0.2.1:80', '-s', 'mh')
  expect(run('ipvsadm', '-S', '-n')).toContain('-A -t 192.0.2.1:80 -s mh')
  run('ipvsadm', '-C')
  expect(existsSync('/proc/sys/net/ipv4/vs/conntrack')).toBe(true)
})

test('the guest has legacy iptables with nat and ipset matches', () => {
  run('ipset', 'create', 'fairlead-try', 'hash:ip,port')
  const rule = ['-m', 'set', '--match-set', 'fairlead-try', 'dst,dst', '-j', 'ACCEPT']
  run('iptables-legacy', '-t', 'nat', '-A', 'PREROUTING', ...rule)
  expect(run('iptables-legacy', '-t', 'nat', '-S')).toContain('--match-set fairlead-try dst,dst')
  run('iptables-legacy', '-t', 'nat', '-D', 'PREROUTING', ...rule)
  run('ipset', 'destroy', 'fairlead-try')
})

test('the guest makes network namespaces', async () => {
  const namespace = await NetNamespace.create()
  expect(await namespace.run('ip', ['-o', 'link'])).toContain('lo')
  await namespace.close()
})
