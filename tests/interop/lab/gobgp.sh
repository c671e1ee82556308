#!/bin/sh
set -eu
mkdir -p /run/gobgp
setsid gobgpd -t toml -f /router.conf --api-hosts 127.0.0.1:50051 > /run/gobgp/log 2>&1 < /dev/null &
until gobgp global > /dev/null 2>&1; do sleep 0.05; done
if [ "$(hostname)" = near ]; then
    for prefix in 198.51.100.0/24 192.0.2.0/24 0.0.0.0/0; do gobgp global rib add "$prefix" nexthop 172.31.0.2; done
    for prefix in 2001:db8:100::/64 2001:db8:bad::/64; do
        gobgp global rib add -a ipv6 "$prefix" nexthop fd00:31::2
    done
fi
