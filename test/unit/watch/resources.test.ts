import {
  endpointSlices,
  ownNode,
  qualifiedName,
  requiredPermissions,
  serviceCidrs,
  services,
} from '../../../src/watch/resources.ts'

const all = [services, endpointSlices, serviceCidrs, ownNode('n')]

test('requiredPermissions has list and watch for exactly what is watched', () => {
  const watched = requiredPermissions.filter(({ verbs }) => verbs.includes('watch'))
  expect(watched.map(({ group, resource }) => qualifiedName({ group, plural: resource })).sort()).toEqual(
    all.map(qualifiedName).sort(),
  )
  expect(watched.every(({ verbs }) => verbs.join() === 'list,watch')).toBe(true)
})

test('the path of a resource is that of its group', () => {
  for (const { group, path, plural } of all) {
    expect(path).toMatch(new RegExp(`^${group === '' ? '/api' : `/apis/${group}`}/v1/${plural}$`))
  }
})
