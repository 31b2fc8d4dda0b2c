/** What is measured: Fairlead and its peers, each in its modes, as commands. */
import { accessSync, constants, mkdirSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Bed } from './bed.ts'
import { CLUSTER_CIDR, NODE_NAME } from './cluster.ts'

export type Mode = 'iptables-legacy' | 'iptables-nft' | 'nftables' | 'ipvs'
export const MODES: readonly Mode[] = ['iptables-legacy', 'iptables-nft', 'nftables', 'ipvs']

/** Where every subject tells its metrics, and its mode under `/proxyMode`. */
export const METRICS_ADDRESS = '127.0.0.1:10249'

export interface Peer {
  readonly name: string
  /** Of a binary that takes kube-proxy's flags. */
  readonly path: string
}

export interface Subject {
  /** For instance `fairlead nftables`. */
  readonly name: string
  readonly program: string
  readonly mode: Mode
  readonly command: (bed: Bed) => { readonly command: readonly string[]; readonly env: NodeJS.ProcessEnv }
}

const ROOT = join(import.meta.dirname, '..')

export function fairlead(mode: Mode, program = join(ROOT, 'bin/fairlead')): Subject {
  return {
    name: `fairlead ${mode}`,
    program: 'fairlead',
    mode,
    command: (bed) => ({
      command: [program, ...proxyFlags(mode, bed), ...variantFlag(mode), '--state-dir=', '--explain-socket='],
      env: bed.nodeEnv,
    }),
  }
}

/** Throws when the binary cannot be run. */
export function peerSubject(peer: Peer, mode: Mode): Subject {
  try {
    accessSync(peer.path, constants.X_OK)
  } catch (cause) {
    const { code = '?' } = cause as NodeJS.ErrnoException
    const message = `Cannot run the peer ${peer.name}: ${peer.path} is no program that can be run (${code}); correct --peer`
    throw new Error(message, { cause })
  }
  return {
    name: `${peer.name} ${mode}`,
    program: peer.name,
    mode,
    command: (bed) => ({
      command: [peer.path, ...proxyFlags(mode, bed), '--conntrack-max-per-core=0'],
      // A peer takes whichever "iptables" comes first in PATH.
      env: { ...bed.nodeEnv, PATH: `${variantFolder(mode, bed)}:${bed.nodeEnv['PATH'] ?? ''}` },
    }),
  }
}

/** `name=path`, as `--peer` takes it. */
export function parsePeer(text: string): Peer {
  const [name = '', ...path] = text.split('=')
  if (name === '' || path.join('=') === '')
    throw new Error(`Cannot use the peer "${text}"; write --peer kube-proxy=/path/to/kube-proxy`)
  return { name, path: resolve(path.join('=')) }
}

/** `legacy` or `nft`: what the mode programs iptables with; nftables mode needs none. */
export function variantOf(mode: Mode): 'legacy' | 'nft' {
  return mode === 'iptables-legacy' || mode === 'ipvs' ? 'legacy' : 'nft'
}

/** As the flag `--proxy-mode` and the endpoint `/proxyMode` say it. */
export function proxyModeOf(mode: Mode): 'iptables' | 'nftables' | 'ipvs' {
  return mode === 'iptables-legacy' || mode === 'iptables-nft' ? 'iptables' : mode
}

function proxyFlags(mode: Mode, bed: Bed): string[] {
  return [
    `--proxy-mode=${proxyModeOf(mode)}`,
    `--kubeconfig=${bed.kubeconfig}`,
    `--hostname-override=${NODE_NAME}`,
    `--cluster-cidr=${CLUSTER_CIDR}`,
    '--healthz-bind-address=127.0.0.1:10256',
    `--metrics-bind-address=${METRICS_ADDRESS}`,
  ]
}

function variantFlag(mode: Mode): string[] {
  return mode === 'nftables' ? [] : [`--iptables-variant=${variantOf(mode)}`]
}

function variantFolder(mode: Mode, bed: Bed): string {
  const folder = join(bed.directory, `bin-${mode}`)
  mkdirSync(folder, { recursive: true })
  const variant = variantOf(mode)
  for (const family of ['iptables', 'ip6tables'])
    for (const end of ['', '-save', '-restore'])
      symlinkSync(`/usr/sbin/xtables-${variant}-multi`, join(folder, `${family}${end}`))
  return folder
}
