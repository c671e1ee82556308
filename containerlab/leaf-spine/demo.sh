#!/bin/sh
# demo.sh up | down | run COMMAND...
# Brings this scenario up as the lab `demo`, from a copy in build/demo, shows what birdctl does (tour.sh), and leaves the lab up.
# As root it runs on this machine; as another user on a machine of its own (machine.py), so nothing here is touched.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/build/demo
export LAB="$work/containerlab/leaf-spine/leaf-spine.clab.yml"
PATH=$root/.venv/bin:$PATH
export PATH

on_machine() {
    if [ "$(id -u)" = 0 ]; then "$@"; else python "$here/machine.py" run "$@"; fi
}

up() {
    down > /dev/null
    mkdir -p "$work"
    cp -a "$root/containerlab" "$work/"
    sed -i 's/^name: .*/name: demo/' "$LAB"
    cd "$root"
    if [ "$(id -u)" = 0 ]; then
        sh "$here/tour.sh" .venv/bin/
    else
        python "$here/machine.py" start
        on_machine sh "$here/tour.sh" "containerlab/leaf-spine/demo.sh run "
    fi
}

down() {
    if [ "$(id -u)" = 0 ]; then
        if [ -e "$LAB" ]; then birdctl lab down "$LAB"; fi
    else
        python "$here/machine.py" stop
    fi
    rm -rf "$work"
    echo "nothing of the demo is left"
}

case ${1:-} in
up) up ;;
down) down ;;
run) shift && on_machine "$@" ;;
*) echo "usage: demo.sh up | down | run COMMAND..." >&2 && exit 2 ;;
esac
