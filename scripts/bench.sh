#!/usr/bin/env bash
# The bench, from nothing: brings what is missing, builds when the sources are newer than the program, and measures.
set -euo pipefail
# shellcheck source=scripts/set-up.sh
. "$(dirname -- "$0")/set-up.sh"
set_up_npm
set_up_debian ip iptables nft ipset ipvsadm conntrack modprobe linux.uml unshare wrk iperf3
if [ ! -f dist/main.js ] || [ -n "$(find src package.json -newer dist/main.js -print -quit)" ]; then
  echo '· building'
  npm run --silent build
fi
exec node --disable-warning=ExperimentalWarning bench/main.ts "$@"
