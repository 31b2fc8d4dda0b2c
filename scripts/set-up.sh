# shellcheck shell=bash
# Sourced by the README's commands: brings what is missing on a fresh Debian machine. npm packages always; Debian
# packages when we are root. Prints what it does, and what it had to leave out.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

# program → Debian package that brings it
declare -A packages=(
  [ip]=iproute2 [iptables]=iptables [nft]=nftables [ipset]=ipset [ipvsadm]=ipvsadm [conntrack]=conntrack
  [modprobe]=kmod [linux.uml]=user-mode-linux [curl]=curl [unshare]=util-linux [ps]=procps [busybox]=busybox [wrk]=wrk [iperf3]=iperf3
)

# Installs the npm packages unless those of the lockfile are there already.
set_up_npm() {
  if [ ! -x node_modules/node/bin/node ] || ! cmp -s package-lock.json node_modules/.fairlead-lock; then
    echo '· installing npm packages'
    npm ci --no-audit --no-fund --loglevel=error
    # npm may have been told not to run install scripts; the script of the package "node" is what brings Node 24.
    [ -x node_modules/node/bin/node ] || (cd node_modules/node && node installArchSpecificPackage.js)
    cp package-lock.json node_modules/.fairlead-lock
  fi
  PATH="$root/node_modules/.bin:$PATH"
  export PATH
}

# Installs the Debian packages whose programs are missing; without root says what is missing.
set_up_debian() {
  local missing=() program
  PATH="$PATH:/usr/sbin:/sbin"
  export PATH
  for program in "$@"; do command -v "$program" >/dev/null || missing+=("${packages[$program]}"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "· not root: left out what needs the Debian packages: ${missing[*]} (apt-get install ${missing[*]})"
    return 0
  fi
  echo "· installing Debian packages: ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >/dev/null || { echo "Cannot install the Debian packages ${missing[*]}; run apt-get install by hand" >&2; exit 1; }
}
