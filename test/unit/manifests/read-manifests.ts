/** The manifests of a folder as plain objects, and a path through them that fails with words. */
import { readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseAllDocuments } from 'yaml'

export const MANIFESTS = resolve(import.meta.dirname, '../../../manifests')

export type Json = Readonly<Record<string, unknown>>

/** One of Kubernetes' objects, or a kustomization. */
export interface Manifest extends Json {
  readonly apiVersion: string
  readonly kind: string
}

/** All documents of a YAML text. Throws at duplicate keys and everything else that is not clean YAML. */
export function parseManifests(text: string, from: string): Manifest[] {
  return parseAllDocuments(text, { strict: true, merge: false }).flatMap((document) => {
    const [problem] = [...document.errors, ...document.warnings]
    if (problem !== undefined) throw new Error(`Cannot read ${from}: ${problem.message}`)
    const value = document.toJS() as Manifest | null
    return value === null ? [] : [value]
  })
}

export function readManifests(path: string): Manifest[] {
  return parseManifests(readFileSync(join(MANIFESTS, path), 'utf8'), path)
}

/** The one object of a kind in a file. */
export function readManifest(path: string, kind: string): Manifest {
  return ofKind(readManifests(path), kind)
}

export function ofKind(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind)
  if (found.length !== 1) throw new Error(`There are ${found.length} objects of kind ${kind}, not one`)
  return found[0]!
}

/** Paths of all files of a kind below manifests/, relative to it. */
export function manifestFiles(extension: string): string[] {
  return readdirSync(MANIFESTS, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(extension))
    .sort()
}

/** The value at `spec.template.spec.containers.0.args`; throws when a step leads nowhere. */
export function at(value: unknown, path: string): unknown {
  let here = value
  for (const step of path.split('.')) {
    here = (here as Json | undefined)?.[step]
    if (here === undefined) throw new Error(`Nothing at ${step} of ${path}`)
  }
  return here
}

export interface Container {
  readonly name: string
  readonly args?: readonly string[]
  readonly securityContext: {
    readonly privileged?: boolean
    readonly allowPrivilegeEscalation?: boolean
    readonly readOnlyRootFilesystem?: boolean
    readonly seccompProfile?: { readonly type: string }
    readonly capabilities?: { readonly drop: readonly string[]; readonly add?: readonly string[] }
  }
  readonly volumeMounts: readonly {
    readonly name: string
    readonly mountPath: string
    readonly readOnly?: boolean
  }[]
}

/** The capabilities that the proxy itself runs with, as Kubernetes writes them. */
export function proxyCapabilities(): readonly string[] {
  const daemonSet = readManifest('base/daemon-set.yaml', 'DaemonSet')
  const [proxy] = at(daemonSet, 'spec.template.spec.containers') as readonly Container[]
  return proxy?.securityContext.capabilities?.add ?? []
}
