#!/usr/bin/env bash
# Builds the Dockerfile without an engine and without a registry of images, and tries the result. The two bases are made
# here: Debian by debootstrap, and the same with this machine's node and npm in place of the official Node image. What
# this does not show: that the official bases, which differ in what else they hold, do as well.
# Needs root, and the Debian packages buildah and debootstrap; leaves nothing behind but the cache in IMAGE_CACHE.
set -euo pipefail
cd "$(dirname -- "$0")/.."
cache=${IMAGE_CACHE:-/var/tmp/fairlead-image}
for program in buildah debootstrap node npm unshare; do
  command -v "$program" >/dev/null || { echo "Cannot check the image: no $program; run apt-get install buildah debootstrap" >&2; exit 1; }
done
export BUILDAH_ISOLATION=chroot
b() { buildah --root "$cache/root" --runroot "$cache/run" "$@"; }
certificates=/etc/ssl/certs/ca-certificates.crt

if ! b inspect --type image docker.io/library/debian:bookworm-slim >/dev/null 2>&1; then
  echo '· making a base in place of debian:bookworm-slim'
  container=$(b from scratch)
  debootstrap --variant=minbase bookworm "$(b mount "$container")" >/dev/null
  b run "$container" -- sh -c 'rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*'
  b commit -q --rm "$container" docker.io/library/debian:bookworm-slim
fi
if ! b inspect --type image docker.io/library/node:24-bookworm-slim >/dev/null 2>&1; then
  echo '· making a base in place of node:24-bookworm-slim'
  container=$(b from --pull-never docker.io/library/debian:bookworm-slim)
  tree=$(b mount "$container")
  # What this machine trusts must be trusted inside, or a registry behind a proxy cannot be reached.
  mkdir -p "$tree/etc/ssl/certs" "$tree/usr/local/lib/node_modules" "$tree/usr/local/etc"
  if [ -f "$certificates" ]; then
    cp "$certificates" "$tree$certificates"
    echo "cafile = \"$certificates\"" >"$tree/usr/local/etc/npmrc"
    b config --env NODE_EXTRA_CA_CERTS="$certificates" "$container"
  fi
  cp "$(readlink -f -- "$(command -v node)")" "$tree/usr/local/bin/node"
  cp -r "$(npm root --global)/npm" "$tree/usr/local/lib/node_modules/"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tree/usr/local/bin/npm"
  b commit -q --rm "$container" docker.io/library/node:24-bookworm-slim
fi

echo '· building the Dockerfile'
if ! b bud --layers --pull-never --format=docker --tag localhost/fairlead:check . >"$cache/build.log" 2>&1; then
  tail -n 40 "$cache/build.log" >&2
  echo "Cannot build the Dockerfile: see $cache/build.log" >&2
  exit 1
fi
container=$(b from --pull-never localhost/fairlead:check)
trap 'b rm "$container" >/dev/null' EXIT
tree=$(b mount "$container")
echo '· trying what is inside'
b run "$container" -- /usr/local/bin/kube-proxy --version
cp manifests/base/config.conf "$tree/tmp/config.conf"
b run "$container" -- fairlead --config=/tmp/config.conf --write-config-to=/tmp/complete.conf
grep -q '^mode: iptables$' "$tree/tmp/complete.conf"
# In a network namespace of its own, with the capabilities that the DaemonSet gives and no others.
capabilities=-all,+net_admin,+net_raw
unshare --net chroot "$tree" setpriv --bounding-set="$capabilities" --inh-caps="$capabilities" -- sh -eu -c '
  for base in iptables ip6tables; do for variant in legacy nft; do
    "$base-$variant" -t nat -A OUTPUT -j ACCEPT || echo "note: $base-$variant does not work on this kernel"
  done; done
  nft add table ip t
  ipset create s hash:ip
  conntrack -L >/dev/null 2>&1
  ip link set lo up
'
b images --format '{{.Size}}' localhost/fairlead:check
