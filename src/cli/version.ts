import { readFileSync } from 'node:fs'

export interface Version {
  /** `0.1.0`. */
  readonly number: string
  /** What `process.version` says, for reports. */
  readonly runtime: string
  readonly platform: string
}

/** Reads the package's own manifest, which lies two levels above both `src/cli` and `dist/cli`. */
export function readVersion(): Version {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return {
    number: manifest.version,
    runtime: process.version,
    platform: `${process.platform}/${process.arch}`,
  }
}

/** `style` as after `--version=`: `true`, `raw`, or another version to report. */
export function versionText(version: Version, style: string): string {
  if (style === 'raw') return `${JSON.stringify(version)}\n`
  return `Fairlead ${style.startsWith('v') ? style : `v${version.number}`}\n`
}
