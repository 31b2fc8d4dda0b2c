/** The example of the nftables README: what is planned, and how much of the printed table is shown. */

/** The table as `nft list table` printed it, without the sets and maps that are empty. */
export function printedTable(text: string): string {
  const blocks = text.split('\n\n').map((block) => block.replace(/^table ip kube-proxy \{\n/, ''))
  const shown = blocks.filter((block) => !/^\t(?:set|map) /.test(block) || block.includes('elements = {'))
  return `table ip kube-proxy {\n${shown.join('\n\n')}`
}
