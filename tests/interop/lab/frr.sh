#!/bin/sh
set -eu
install -d -o frr -g frr /run/frr
for daemon in zebra bfdd bgpd; do
    /usr/lib/frr/$daemon -d -A 127.0.0.1 -f /dev/null --log file:/run/frr/$daemon.log 2> /dev/null
done
cp /router.conf /run/frr/frr.conf
vtysh --inputfile /run/frr/frr.conf > /run/frr/vtysh.log
