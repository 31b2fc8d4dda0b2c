/** A throw-away certificate authority and the serving certificate of the embedded API server (RFC 5280). */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { ipBytes, parseIp } from '../../net/ip.ts'
import * as der from './der.ts'

export interface ServingCertificate {
  /** PEM texts. */
  readonly ca: string
  readonly certificate: string
  readonly key: string
}

const ECDSA_WITH_SHA256 = der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2'))
const COMMON_NAME = '2.5.4.3'
const BASIC_CONSTRAINTS = '2.5.29.19'
const KEY_USAGE = '2.5.29.15'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17'
const SUBJECT_KEY_IDENTIFIER = '2.5.29.14'
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35'
const SERVER_AUTHENTICATION = '1.3.6.1.5.5.7.3.1'

const DAY_MS = 24 * 60 * 60 * 1000

interface Request {
  readonly subject: string
  readonly issuer: string
  readonly publicKey: KeyObject
  readonly signingKey: KeyObject
  readonly extensions: readonly Buffer[]
  readonly now: number
}

/** A new CA and a certificate for these host names and addresses, valid from yesterday for ten years. */
export function createServingCertificate(hosts: readonly string[], now: number): ServingCertificate {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = 'fairlead-lab-ca'
  const keyIdentifier = identifierOf(authority.publicKey)
  const ca = createCertificate({
    subject: issuer,
    issuer,
    publicKey: authority.publicKey,
    signingKey: authority.privateKey,
    now,
    extensions: [
      extension(BASIC_CONSTRAINTS, der.sequence(der.TRUE), { critical: true }),
      // keyCertSign and cRLSign are bits 5 and 6.
      extension(KEY_USAGE, der.bitString(Buffer.from([0b0000_0110]), 1), { critical: true }),
      extension(SUBJECT_KEY_IDENTIFIER, der.octetString(keyIdentifier)),
    ],
  })
  const certificate = createCertificate({
    subject: 'fairlead-lab-api-server',
    issuer,
    publicKey: server.publicKey,
    signingKey: authority.privateKey,
    now,
    extensions: [
      extension(BASIC_CONSTRAINTS, der.sequence(), { critical: true }),
      // digitalSignature is bit 0.
      extension(KEY_USAGE, der.bitString(Buffer.from([0b1000_0000]), 7), { critical: true }),
      extension(EXTENDED_KEY_USAGE, der.sequence(der.objectIdentifier(SERVER_AUTHENTICATION))),
      extension(AUTHORITY_KEY_IDENTIFIER, der.sequence(der.implicit(0, keyIdentifier))),
      extension(SUBJECT_ALTERNATIVE_NAME, der.sequence(...hosts.map(generalName))),
    ],
  })
  return { ca, certificate, key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

function createCertificate(request: Request): string {
  const { subject, issuer, publicKey, signingKey, extensions, now } = request
  const body = der.sequence(
    der.explicit(0, der.integer(Buffer.from([2]))),
    der.integer(randomBytes(16)),
    ECDSA_WITH_SHA256,
    distinguishedName(issuer),
    der.sequence(der.time(now - DAY_MS), der.time(now + 3650 * DAY_MS)),
    distinguishedName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der.explicit(3, der.sequence(...extensions)),
  )
  const certificate = der.sequence(body, ECDSA_WITH_SHA256, der.bitString(sign('sha256', body, signingKey)))
  const lines = certificate.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

function distinguishedName(commonName: string): Buffer {
  return der.sequence(der.set(der.sequence(der.objectIdentifier(COMMON_NAME), der.utf8String(commonName))))
}

function extension(identifier: string, value: Buffer, options: { critical?: boolean } = {}): Buffer {
  const critical = options.critical === true ? [der.TRUE] : []
  return der.sequence(der.objectIdentifier(identifier), ...critical, der.octetString(value))
}

/** dNSName is context tag 2, iPAddress context tag 7. */
function generalName(host: string): Buffer {
  const ip = parseIp(host)
  return ip === undefined ? der.implicit(2, Buffer.from(host)) : der.implicit(7, Buffer.from(ipBytes(ip)))
}

function identifierOf(publicKey: KeyObject): Buffer {
  return createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
}
