# The image of Fairlead, in two stages: one with npm that builds, one with the programs that the proxy runs.
#
# Bases are pinned by tag. To pin what is in them as well, hand over digests:
#   --build-arg BUILD_BASE=docker.io/library/node@sha256:… --build-arg BASE=docker.io/library/debian@sha256:…
# Both must be the same Debian release. Node itself comes from the npm package "node" of the lockfile, so that the image
# runs the very version that the tests ran with; the build stage's own only starts npm.
ARG BUILD_BASE=docker.io/library/node:24-bookworm-slim
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_BASE} AS build
WORKDIR /opt/fairlead
COPY package.json package-lock.json .npmrc ./
# npm may be told not to run install scripts; the one of the package "node" is what brings the program.
RUN npm ci --no-audit --no-fund --loglevel=error \
  && { [ -x node_modules/node/bin/node ] || (cd node_modules/node && node installArchSpecificPackage.js); }
COPY tsconfig.json ./
COPY scripts/build.ts scripts/tsconfig.build.json scripts/
COPY bin bin
COPY src src
# Type declarations and source maps are for developers; every package.json stays, for whoever lists what is inside.
RUN npm run --silent build \
  && npm prune --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete \
  && node_modules/node/bin/node --version \
  && bin/fairlead --version

FROM ${BASE}
# iptables brings both variants, legacy and nft: the program follows the kubelet's choice on each node. iproute2, ipset,
# ipvsadm and conntrack are run by the program; kmod by iptables, ipvsadm and --init-only; libstdc++6 is Node's.
# The package database stays: tools that list what is inside read it.
RUN apt-get update -qq \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    conntrack iproute2 ipset iptables ipvsadm kmod libstdc++6 nftables \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/apt /var/log/*.log
COPY --from=build /opt/fairlead/package.json /opt/fairlead/package-lock.json /opt/fairlead/
COPY --from=build /opt/fairlead/node_modules /opt/fairlead/node_modules
COPY --from=build /opt/fairlead/bin /opt/fairlead/bin
COPY --from=build /opt/fairlead/dist /opt/fairlead/dist
# Under kube-proxy's name too, so that in an existing DaemonSet only the image has to change. Every program must be
# there: an image that lacks one would only say so on a node. (ipset, ipvsadm and conntrack cannot be started here: they
# ask the kernel first, and a build may not.)
RUN ln -s /opt/fairlead/bin/fairlead /usr/local/bin/fairlead \
  && ln -s fairlead /usr/local/bin/kube-proxy \
  && for variant in legacy nft; do for base in iptables ip6tables; do \
    "$base-$variant" --version && command -v "$base-$variant-save" "$base-$variant-restore" || exit 1; done; done \
  && nft --version && ip -V \
  && for program in ipset ipvsadm conntrack modprobe cat grep tee; do command -v "$program" || exit 1; done \
  && /usr/local/bin/kube-proxy --version

ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Fairlead" \
  org.opencontainers.image.description="A Kubernetes service proxy that replaces kube-proxy: iptables, IPVS and nftables" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"

# There is no USER line: the xtables lock is root's file, legacy iptables and ipset refuse everybody else, and Kubernetes
# gives capabilities to root only. What root may do is decided by the DaemonSet: NET_ADMIN and NET_RAW, and no writable
# root file system.
ENTRYPOINT ["/usr/local/bin/fairlead"]
