#!/bin/sh
# Makes a Python base out of Debian packages, as a tar on stdout, for engines that reach no image
# registry:
#
#   sh make-base.sh | docker import --change 'CMD ["python3"]' - my-python-base
#
# Needs mmdebstrap, and root or unprivileged user namespaces. Packages come from mmdebstrap's
# default mirror, fetched the way this machine's apt is set up (proxies, caches).
set -eu

suite=bookworm
hooks=/usr/share/mmdebstrap/hooks/merged-usr

# usr-is-merged stands in for usrmerge, which would pull in all of Perl (50 MB).
# tzdata: zoneinfo finds time zones, and needs no second and third copy of them.
# ca-certificates: TLS in a setup step.
# resolv.conf and hostname are copies of this machine's and nobody's business.
exec mmdebstrap \
  --variant=apt \
  --include=python3,ca-certificates,tzdata,usr-is-merged \
  --hook-dir="$hooks" \
  --aptopt='APT::Install-Recommends "false"' \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/bash-completion/*' \
  --dpkgopt='path-exclude=/usr/share/lintian/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook='ln -s python3 "$1/usr/bin/python"' \
  --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
  --customize-hook='rm -rf "$1/usr/share/zoneinfo/right" "$1/usr/share/zoneinfo/posix"' \
  --customize-hook='rm -f "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old' \
  "$suite" -
