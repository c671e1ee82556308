#!/bin/sh
# A router that is not ours: plain BIRD with the configuration in /bird.conf.
set -eu
mkdir -p /run/bird
setsid bird -f -s /run/bird/bird.ctl -c /bird.conf > /run/bird/bird.log 2>&1 < /dev/null &
