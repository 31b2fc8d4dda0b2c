/**
 * Settings that are valid but cannot work, or are probably not meant, on this very node. Pure; kube-proxy
 * The caller says `warning` lines once and ends the process on `fatal` ones.
 */
import { type Cidr, cidrFamily } from '../net/cidr.ts'
import { type Family, familyOf } from '../net/ip.ts'
import type { Config } from './config.ts'

export interface NodeFacts {
  /** Families that this host can serve, the primary one first. */
  readonly families: readonly Family[]
  readonly podCidrs: readonly Cidr[]
}

export interface NodeRemark {
  readonly level: 'warning' | 'fatal'
  readonly text: string
}

export function checkOnNode(config: Config, node: NodeFacts): NodeRemark[] {
  const remarks = [...openNodePorts(config), ...clusterCidrs(config, node), ...podCidrs(config, node)]
  if (node.families.length === 1) remarks.push(...singleStack(config, node))
  remarks.push(...nodePortFamilies(config, node))
  return remarks.map((remark) =>
    config.configHardFail && remark.wrong ? fatal(remark) : { level: remark.level, text: remark.text },
  )
}

/** `wrong`: it cannot work, as opposed to being unusual. */
interface Judged extends NodeRemark {
  readonly wrong: boolean
}

function fatal(remark: Judged): NodeRemark {
  return { level: 'fatal', text: remark.text }
}

function openNodePorts(config: Config): Judged[] {
  if (config.nodePortAddresses !== 'all') return []
  const text =
    'NodePorts answer on every address of this node; name networks or "primary" in nodePortAddresses to limit them'
  return [{ level: 'warning', wrong: false, text }]
}

function clusterCidrs(config: Config, node: NodeFacts): Judged[] {
  const { mode, clusterCidrs: cidrs } = config.detectLocal
  if (
    mode !== 'ClusterCIDR' ||
    cidrs.length === 0 ||
    cidrs.some((cidr) => node.families.includes(cidrFamily(cidr)))
  )
    return []
  const level = node.families.length === 1 ? 'fatal' : 'warning'
  const text = `Cannot recognise pods: clusterCIDR ${cidrs.join(',')} has no ${node.families.join(' or ')} network; add the pods' ${node.families[0] ?? ''} network`
  return [{ level, wrong: true, text }]
}

function podCidrs(config: Config, node: NodeFacts): Judged[] {
  if (node.podCidrs.length === 0 || node.podCidrs.some((cidr) => node.families.includes(cidrFamily(cidr))))
    return []
  const level = config.detectLocal.mode === 'NodeCIDR' ? 'fatal' : 'warning'
  const text = `The node's pod networks ${node.podCidrs.join(',')} are of no family that this host serves (${node.families.join(', ')})`
  return [{ level, wrong: true, text }]
}

function singleStack(config: Config, node: NodeFacts): Judged[] {
  const isOther = (family: Family): boolean => !node.families.includes(family)
  const lines: string[] = []
  if (config.mode === 'ipvs' && config.ipvs.excludeCidrs.some((cidr) => isOther(cidrFamily(cidr))))
    lines.push(`ipvs.excludeCIDRs ${config.ipvs.excludeCidrs.join(',')}`)
  for (const [name, address] of [
    ['healthzBindAddress', config.healthzBindAddress],
    ['metricsBindAddress', config.metricsBindAddress],
  ] as const)
    if (address !== undefined && isOther(familyOf(address.ip))) lines.push(`${name} ${address.ip}`)
  return lines.map((what) => ({
    level: 'warning',
    wrong: true,
    text: `${what} is of a family that this host does not serve (it serves ${node.families.join(', ')})`,
  }))
}

function nodePortFamilies(config: Config, node: NodeFacts): Judged[] {
  if (typeof config.nodePortAddresses === 'string') return []
  const named = new Set(config.nodePortAddresses.map((cidr) => cidrFamily(cidr)))
  return node.families
    .filter((family) => !named.has(family))
    .map((family) => ({
      level: 'warning',
      wrong: false,
      text: `nodePortAddresses names no ${family} network: every ${family} address answers on NodePorts; add one to limit them`,
    }))
}
