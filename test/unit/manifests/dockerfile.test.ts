import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../../..')
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('!'))
  .map((line) => line.slice(1))

/** Programs that the proxy starts by name. Those of iptables are put together from family and variant. */
function programs(): string[] {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !/^(lab|cli\/lab)\//.test(path),
  )
  const names = sources.flatMap((path) =>
    [...readFileSync(join(ROOT, 'src', path), 'utf8').matchAll(/\bfile: '([\w-]+)'/g)].map(
      (match) => match[1] ?? '',
    ),
  )
  return [...new Set(names)].sort()
}

/** What is copied from the context, without `--from`. */
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
  (match[1] ?? '').split(' '),
)

describe('Dockerfile', () => {
  test('the build checks that every program which the proxy starts is in the image', () => {
    const checked = new Set(dockerfile.match(/[\w-]+/g))
    expect(programs()).toEqual(expect.arrayContaining(['conntrack', 'ip', 'ipset', 'tee']))
    expect(programs().filter((name) => !checked.has(name))).toEqual([])
  })

  test('everything that is copied exists and is let through by .dockerignore', () => {
    expect(copied).toContain('src')
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
    expect(copied.filter((path) => !allowed.includes(path))).toEqual([])
    expect(allowed.filter((path) => !copied.includes(path))).toEqual([])
  })

  test('its version is that of the package and of the chart', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    const chart = readFileSync(join(ROOT, 'manifests/helm/fairlead/Chart.yaml'), 'utf8')
    expect(dockerfile).toContain(`ARG VERSION=${version}\n`)
    expect(chart).toContain(`\nappVersion: ${version}\n`)
    for (const folder of ['base', 'cleanup'])
      expect(readFileSync(join(ROOT, 'manifests', folder, 'kustomization.yaml'), 'utf8')).toContain(
        `newTag: ${version}\n`,
      )
  })

  test('it offers the program under kube-proxy’s name, where kubeadm starts it', () => {
    expect(dockerfile).toContain('/usr/local/bin/kube-proxy')
  })
})
