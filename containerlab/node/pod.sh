#!/bin/sh
# pod.sh ADDRESS/LENGTH GATEWAY...: one pod, a network namespace behind a bridge that has the gateway's address;
# a pair for each family. It serves HTTP on port 80: one line, the name of its node.
set -eu
in_pod() { nsenter --net=/run/netns/pod "$@"; }

ip link add pods type bridge
ip link set pods up
ip netns add pod
ip link add veth0 master pods type veth peer name eth0 netns pod
ip link set veth0 up
in_pod ip link set lo up
in_pod ip link set eth0 up
while test $# -gt 0; do
    case $1 in *:*) flags=nodad ;; *) flags= ;; esac
    ip address add "$2/${1#*/}" dev pods $flags
    in_pod ip address add "$1" dev eth0 $flags
    in_pod ip route add default via "$2"
    shift 2
done
mkdir -p /run/pod
hostname > /run/pod/index.html
cd /run/pod
in_pod setsid python3 -m http.server --bind :: 80 > http.log 2>&1 < /dev/null &
