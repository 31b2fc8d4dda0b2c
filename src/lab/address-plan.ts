/** Who has which address in the lab. Node numbers begin at 1. */
import type { Cidr } from '../net/cidr.ts'
import type { Ip } from '../net/ip.ts'

/** The wire between the nodes: 192.168.100.0/24. */
export const UNDERLAY_LENGTH = 24
export const POD_CIDR = '10.244.0.0/16' as Cidr
export const SERVICE_CIDR = '10.96.0.0/16' as Cidr
/** Second network of pods that have two. */
export const SECOND_POD_CIDR = '10.245.0.0/16' as Cidr

/** Holds all nodes, and nobody else. */
export const NODE_RANGE = '192.168.100.0/26' as Cidr

export function nodeIp(node: number): Ip {
  return `192.168.100.${node}` as Ip
}

/** Where the API server answers on the wire. */
export const API_SERVER_IP = '192.168.100.250' as Ip
/** The machine outside the cluster. */
export const EXTERNAL_CLIENT_IP = '192.168.100.240' as Ip

export function podCidr(node: number): Cidr {
  return `10.244.${node}.0/24` as Cidr
}

export function podGateway(node: number): Ip {
  return `10.244.${node}.1` as Ip
}

/** `index` from 0 to 252: the pods of one node. */
export function podIp(node: number, index: number): Ip {
  return `10.244.${node}.${index + 2}` as Ip
}

export function secondPodIp(node: number, index: number): Ip {
  return `10.245.${node}.${index + 2}` as Ip
}
