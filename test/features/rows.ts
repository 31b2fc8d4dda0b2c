/** All features by number. The titles say what holds; what a mode answers otherwise stands in docs/differences.md. */
import type { Feature } from './feature.ts'
import { HOST, KERNEL, OPERATION } from './program-rows.ts'
import { ADDRESSES, CONNECTIONS, WATCHED } from './traffic-rows.ts'

export const FEATURES: readonly Feature[] = [
  ...WATCHED,
  ...ADDRESSES,
  ...CONNECTIONS,
  ...KERNEL,
  ...HOST,
  ...OPERATION,
].sort((a, b) => a.number - b.number)
