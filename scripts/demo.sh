#!/usr/bin/env bash
# The demo, from nothing: brings what is missing, builds when the sources are newer than the program, and shows it.
set -euo pipefail
# shellcheck source=scripts/set-up.sh
. "$(dirname -- "$0")/set-up.sh"
set_up_npm
set_up_debian ip iptables nft ipset ipvsadm conntrack modprobe linux.uml curl unshare busybox
if [ ! -f dist/main.js ] || [ -n "$(find src package.json -newer dist/main.js -print -quit)" ]; then
  echo '· building'
  npm run --silent build
fi
exec bin/fairlead lab demo "$@"
