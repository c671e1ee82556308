#!/bin/sh
# What a newcomer sees: each step says what it does, shows the command, and runs it. $LAB is the topology file, $1 what
# to put before `birdctl` to reach the lab from a shell.
set -eu
folder=$(dirname "$LAB")
nodes="--node node1 --node node2 --node node3"

if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
note() { printf '# %s\n' "$*"; }
show() {
    printf '$ %s\n' "$*" | sed "s#$LAB#\$LAB#; s#$folder/##g"
    "$@"
}
node1() { show birdctl lab exec "$LAB" node1 -- "$@"; }
spine() { show birdctl lab exec "$LAB" spine -- "$@"; }
settle() { birdctl wait --for "$1" --lab demo $nodes; }
apply() { show cp "$folder/$1/bgp.yaml" "$folder/manifests/bgp.yaml"; }

# Whether this kernel takes all that a flag switches on, by these checks of the doctor: then the agents run with it. Else
# says what is missing.
can() {
    missing=$(birdctl doctor --no-headers --run-router=false "$1" | grep -E "^($2)  " | grep -v "  ok  " | head -n 1)
    if [ -n "$missing" ]; then echo "$missing" | awk -F '   +' '{ print $3 }' && return 1; fi
    sed -i "s#start.sh __clabNodeName__.*#& $1#" "$LAB"
}

# A client outside asks the pod on node1 until $1 answers in a row are right; says how long that took.
ask() {
    birdctl lab exec "$LAB" client -- sh -c "
        start=\$(date +%s%N) good=0 bad=0
        while [ \$good -lt $1 ] && [ \$bad -lt 60 ]; do
            if curl -s --max-time 0.3 http://10.244.1.2/ > /dev/null; then good=\$((good + 1)); else bad=\$((bad + 1)) good=0; fi
        done
        echo \"client: $1 answers in a row from the pod on node1, after \$bad failures, \$(((\$(date +%s%N) - start) / 1000000)) ms\""
}

step "1. A rack of three nodes, two ToR switches, a spine and a client, each a network namespace"
sed -n 's/^# \{0,1\}//; 3,4p' "$LAB"
note "LAB=$LAB"
firewall=$(can --run-firewall "policy rules") && firewall=yes
proxy=$(can --run-service-proxy "IPVS|VIP device|service rules") && proxy=yes
show birdctl lab up "$LAB"
settle converged
settle established
birdctl lab exec "$LAB" client -- curl -s -o /dev/null --retry 10 --retry-delay 1 --retry-all-errors http://10.244.1.2/

step "2. The agent on each node read the manifests and configured BIRD: a session with each ToR"
show birdctl show peers --lab demo $nodes

step "3. Routes: everything has two next hops, in BIRD and in the kernel"
show birdctl show routes --lab demo --node node1
node1 ip route show 198.51.100.0/24

step "4. The client, outside the cluster, reaches the pod on node1"
show birdctl lab exec "$LAB" client -- curl -s http://10.244.1.2/
spine ip route show 10.244.1.0/24

step "5. The link from node1 to tor1 is cut: BFD notices, traffic moves to tor2"
node1 ip link set eth1 down
ask 20
show birdctl show peers --lab demo --node node1
spine ip route show 10.244.1.0/24
note "and back"
node1 ip link set eth1 up
settle established

step "6. A change: tor2 is to be the longer way in. First the plan, then the change"
show diff "$folder/manifests/bgp.yaml" "$folder/changes/prefer-tor1/bgp.yaml" || true
node1 birdctl plan --manifests /changes/prefer-tor1
apply changes/prefer-tor1
show birdctl wait --for converged --lab demo $nodes
spine ip route show 10.244.1.0/24

step "7. A bad change: both peers are gone from the manifests. Every agent refuses"
apply changes/no-peers
birdctl wait --for converged --timeout 1s --lab demo --node node1 2> /dev/null || true
show birdctl show status --lab demo $nodes

step "8. A worse one, which only shows once it runs: a prefix limit that ends the session with tor1"
note "BIRD runs it on probation; the session does not come back, so BIRD goes back to what ran before"
apply changes/tight-limit
birdctl wait --for converged --timeout 1s --lab demo --node node1 2> /dev/null || true
for _ in $(seq 60); do
    if birdctl show status --lab demo --node node1 | grep -q undone; then break; fi
done
show birdctl show status --lab demo --node node1
apply changes/prefer-tor1
settle established
ask 5

step "9. Every configuration that was good is kept"
node1 birdctl history

step "10. A NetworkPolicy: only pods may ask pods"
if [ "$firewall" = yes ]; then
    show cp "$folder/changes/only-pods/policy.yaml" "$folder/manifests/policy.yaml"
    settle converged
    if show birdctl lab exec "$LAB" client -- curl -sS http://10.244.1.2/; then exit 1; fi
    show birdctl lab exec "$LAB" node2 -- nsenter --net=/run/netns/pod curl -s http://10.244.1.2/
    show birdctl show policies --lab demo --node node1
    show birdctl explain policy 198.51.100.10 default/web-1 80 --lab demo --manifests "$folder/manifests"
    show rm "$folder/manifests/policy.yaml"
else
    note "not in this kernel: $firewall"
fi

step "11. A Service: every node announces its address, and spreads connections over the pods"
if [ "$proxy" = yes ]; then
    show cp "$folder/changes/service/service.yaml" "$folder/manifests/service.yaml"
    settle converged
    birdctl lab exec "$LAB" client -- curl -s -o /dev/null --retry 10 --retry-delay 1 --retry-all-errors http://203.0.113.10/
    for _ in 1 2 3; do show birdctl lab exec "$LAB" client -- curl -s http://203.0.113.10/; done
    show birdctl show services --lab demo --node node1
    spine ip route show 203.0.113.10
else
    note "not in this kernel: $proxy"
fi

step "The lab is up. Try, from the folder of the project:"
cat <<END
  LAB=${LAB#"$PWD"/}
  ${1}birdctl show routes --lab demo
  ${1}birdctl lab exec \$LAB node1 -- birdctl explain route 198.51.100.0/24
  ${1}birdctl lab exec \$LAB tor2 -- ip link set rack down
  ${1}birdctl show peers --lab demo --failed
  ${1}birdctl lab exec \$LAB node1 -- birdctl rollback --to 1
  ${1}birdctl lab exec \$LAB node1 -- iptables -vnL FORWARD
and \`make demo-down\`, which removes all of it.
END
