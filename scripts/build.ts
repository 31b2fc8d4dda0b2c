/** Compiles src/ to dist/ as plain JavaScript: what `bin/fairlead` and the image run. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, rmSync } from 'node:fs'

const root = `${import.meta.dirname}/..`
rmSync(`${root}/dist`, { recursive: true, force: true })
const args = [`${root}/node_modules/typescript/bin/tsc`, '-p', `${root}/scripts/tsconfig.build.json`]
const result = spawnSync(process.execPath, args, { stdio: 'inherit' })
if (result.status !== 0) process.exit(1)
if (existsSync(`${root}/src/assets`)) cpSync(`${root}/src/assets`, `${root}/dist/assets`, { recursive: true })
