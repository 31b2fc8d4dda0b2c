/** What a process has cost so far, read from /proc; its tools (programs that it ran) are counted apart. */
import { readFileSync } from 'node:fs'

/** Linux counts in hundredths of a second in /proc, whatever the kernel's own tick is. */
const MS_PER_TICK = 10

export interface CpuMs {
  /** The process itself, all threads. */
  readonly own: number
  /** Programs that it ran, whether they have ended or not. */
  readonly tools: number
}

export interface MemoryMb {
  readonly resident: number
  readonly peak: number
}

/** Throws when there is no such process. */
export function cpuOf(pid: number): CpuMs {
  const { own, tools } = parseCpu(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The kernel books a program with its parent when it ends; some stay.
  return { own, tools: childrenOf(pid).reduce((sum, child) => sum + wholeCpuOf(child), tools) }
}

function wholeCpuOf(pid: number): number {
  try {
    const { own, tools } = cpuOf(pid)
    return own + tools
  } catch {
    // It ended between the two reads.
    return 0
  }
}

export function memoryOf(pid: number): MemoryMb {
  return parseMemory(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

/** `text` as in /proc/PID/stat; the name of the program in parentheses may hold anything. */
export function parseCpu(text: string): CpuMs {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = (field: number): number => Number(fields[field - 3] ?? 0) * MS_PER_TICK
  return { own: ticks(14) + ticks(15), tools: ticks(16) + ticks(17) }
}

export function parseMemory(text: string): MemoryMb {
  const mb = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024
  return { resident: mb('VmRSS'), peak: mb('VmHWM') }
}

export function cpuSince(before: CpuMs, now: CpuMs): CpuMs {
  return { own: now.own - before.own, tools: now.tools - before.tools }
}

/** Watches the largest memory that any child of the process ever had, until `stop` is called. */
export function watchTools(pid: number): { stop: () => number } {
  let peak = 0
  const look = (): void => {
    for (const child of childrenOf(pid)) {
      try {
        peak = Math.max(peak, memoryOf(child).peak)
      } catch {
        // It ended between the two reads.
      }
    }
  }
  const timer = setInterval(look, 50)
  return {
    stop: () => {
      clearInterval(timer)
      return peak
    },
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text.split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
