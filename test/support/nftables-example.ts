/** The example of the nftables README: what is planned, and how much of the printed table is shown. */

/** The table as `nft list table` printed it, without the sets and maps that are empty. */
export function printedTable(text: string): string {
  const blocks = text.split('\n\n').map((block) => block.replace(/^table ip kube-proxy \{\n/, ''))
  const shown = blocks.filter((block) => !/^\t(?:set|map) /.test(block) || block.includes('elements = {'))
  return `table ip kube-proxy {\n${shown.join('\n\n')}`
}

/** As versions after 1.0.6 print it: they name priorities in every hook, and write flags as they were given. */
export function inNewSpelling(text: string): string {
  return text
    .replaceAll('hook output priority -110;', 'hook output priority dstnat - 10;')
    .replaceAll('hook output priority -100;', 'hook output priority dstnat;')
    .replaceAll('tcp flags != syn / fin,syn,rst,ack', 'tcp flags & (fin | syn | rst | ack) != syn')
}
