import { type Attempt, classifyAnswer, printable } from '../../../src/watch/watch-error.ts'

const LIST: Attempt = { verb: 'list', resource: 'endpointslices.discovery.k8s.io' }

describe('classifyAnswer', () => {
  test.each([
    [302, 'protocol'],
    [400, 'unsupported'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'missing'],
    [410, 'gone'],
    [418, 'server'],
    [422, 'unsupported'],
    [429, 'throttled'],
    [500, 'server'],
    [503, 'server'],
    [504, 'server'],
  ])('classifyAnswer takes %i for %s', (status, code) => {
    expect(classifyAnswer(LIST, { status, body: undefined })).toMatchObject({ code, status })
  })

  test.each([
    ['get', '"get"'],
    ['create', '"create"'],
    ['list', '"list" and "watch"'],
    ['watch', '"list" and "watch"'],
  ] as const)('classifyAnswer names the permission that %s lacks', (verb, verbs) => {
    const body = { message: 'x is forbidden: User "system:node:n1" cannot' }
    expect(classifyAnswer({ ...LIST, verb }, { status: 403, body }).message).toBe(
      `Cannot ${verb} endpointslices.discovery.k8s.io: forbidden by the API server (x is forbidden: User "system:node:n1" cannot); grant ${verbs} on "endpointslices.discovery.k8s.io" to "system:node:n1"`,
    )
  })

  test('classifyAnswer names the remedy when a 403 does not say who we are', () => {
    expect(classifyAnswer(LIST, { status: 403, body: '<html>' }).message).toMatch(
      /to the user of the credentials$/,
    )
  })

  test.each([
    ['7', {}, 7000],
    [undefined, { details: { retryAfterSeconds: 3 } }, 3000],
    ['2', { details: { retryAfterSeconds: 3 } }, 2000],
    ['Wed, 21 Oct 2015 07:28:00 GMT', {}, undefined],
    ['-1', {}, undefined],
    [undefined, { details: { retryAfterSeconds: 'soon' } }, undefined],
  ])('classifyAnswer reads Retry-After %j with Status %j as %j ms', (retryAfter, body, expected) => {
    expect(classifyAnswer(LIST, { status: 429, body, retryAfter }).retryAfterMs).toBe(expected)
  })
})

describe('printable', () => {
  test.each([
    ['plain', 'plain'],
    ['two\nlines\r\n', 'two lines'],
    ['\u001b[2J\u0000\u202eevil', '[2J evil'],
    ['', 'no message'],
    ['x'.repeat(500), 'x'.repeat(300)],
  ])('printable turns %j into %j', (text, expected) => {
    expect(printable(text)).toBe(expected)
  })
})
