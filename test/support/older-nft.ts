/** An nft that says it is as old as the oldest this mode works with, so that it is told only what that one takes. */
import type { Exec } from '../../src/kernel/exec.ts'

export function asOlderNft(exec: Exec): Exec {
  return {
    run: async (request) => {
      const result = await exec.run(request)
      const isAsked = request.file === 'nft' && request.args[0] === '--version'
      return isAsked ? { ...result, stdout: 'nftables v1.0.1 (Fearless Fosdick #3)\n' } : result
    },
  }
}
