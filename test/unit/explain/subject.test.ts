import { parseSubject } from '../../../src/explain/subject.ts'

test.each([
  ['10.96.0.1:443', { by: 'address', ip: '10.96.0.1', port: 443 }],
  ['[fd00:0::1]:80', { by: 'address', ip: 'fd00::1', port: 80 }],
  ['shop/web', { by: 'service', namespace: 'shop', name: 'web', port: undefined }],
  ['web:http', { by: 'service', namespace: undefined, name: 'web', port: 'http' }],
  ['shop/web:8080', { by: 'service', namespace: 'shop', name: 'web', port: '8080' }],
])('parseSubject() reads %s', (text, subject) => {
  expect(parseSubject(text)).toEqual(subject)
})

test.each([
  '',
  '10.96.0.1',
  'fd00::1',
  '10.96.0.1:0',
  '10.96.0.1:70000',
  'a/b/c',
  'web;reboot',
  'Shop/web',
  '[x]:1',
])('parseSubject() refuses "%s"', (text) => {
  expect(parseSubject(text)).toBeUndefined()
})
