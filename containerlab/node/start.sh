#!/bin/sh
# start.sh NODE [FLAG...]: BIRD and the agent of one node, as the two containers of the DaemonSet run them.
# Logs: /run/bird/bird.log, /run/birdctl/agent.log.
set -eu
node=$1
shift
mkdir -p /run/bird /run/birdctl
test -s /etc/bird/bird.conf || cat > /etc/bird/bird.conf <<END
log stderr all;
router id 192.0.0.8;
protocol device {}
END
setsid bird -f -R -s /run/bird/bird.ctl -c /etc/bird/bird.conf > /run/bird/bird.log 2>&1 < /dev/null &
setsid birdctl agent --manifests /manifests --node "$node" "$@" > /run/birdctl/agent.log 2>&1 < /dev/null &
