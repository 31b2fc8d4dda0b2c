#!/usr/bin/env bash
# The whole test command. As root on a fresh Debian machine it installs what it needs and runs everything; without
# root it runs what it can and says what it left out and why.
set -euo pipefail
# shellcheck source=scripts/set-up.sh
. "$(dirname -- "$0")/set-up.sh"
set_up_npm
set_up_debian ip iptables nft ipset ipvsadm conntrack modprobe linux.uml curl unshare ps busybox wrk iperf3

npm run --silent format:check
npm run --silent lint
npm run --silent typecheck
npm run --silent build

projects=(unit e2e)
if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then
  projects+=(kernel)
  export KERNEL_TESTS="${KERNEL_TESTS:-require}"
else
  echo '· left out: the kernel tests, because network namespaces need root'
fi
# Much of the time is spent waiting for kernels and clients, so a file for every processor; but memory is limited.
workers=$(nproc)
exec node --disable-warning=ExperimentalWarning --experimental-vm-modules node_modules/jest/bin/jest.js \
  --selectProjects "${projects[@]}" --config test/jest.config.js --maxWorkers=$((workers < 4 ? workers : 4)) "$@"
