#!/bin/bash
# Makes the cached Debian 13 roots that hold BIRD 2.17 and 3.1, beside the BIRD 2.0.12 of Debian 12 itself; prints their paths.
set -eu
cache=${BIRDCTL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/birdctl}
mkdir -p "$cache"
for package in bird2 bird3; do
    root=$cache/trixie-$package
    if [ ! -x "$root/usr/sbin/bird" ]; then
        echo "installing $package of Debian 13 in $root (once, about 90 seconds) ..." >&2
        rm -rf "$root.new"
        debootstrap --variant=minbase --include="$package" trixie "$root.new" > "$cache/debootstrap-$package.log" 2>&1 ||
            { tail -3 "$cache/debootstrap-$package.log" >&2; exit 1; }
        rm -rf "$root" "$root.new/var/cache/apt/archives" "$root.new/var/lib/apt/lists"
        mv "$root.new" "$root"
    fi
    echo "$root"
done
