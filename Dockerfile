# docker build --target agent -t birdctl/agent:0.1.0 .     docker build --target bird -t birdctl/bird:0.1.0 .
# docker build --target lab -t birdctl-lab .               (agent, BIRD, FRR and tools: every node of containerlab/)

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3-venv
COPY . /src
# The model classes of `kubernetes`, which the agent never loads, would be a third of the bytecode.
RUN python3 -m venv /opt/birdctl && \
    /opt/birdctl/bin/pip install --no-cache-dir --no-compile /src && \
    /opt/birdctl/bin/pip uninstall --yes pip && \
    python3 -m compileall -q -x /models/ /opt/birdctl
# Compiles the templates too: the agent cannot write into its image.
RUN /opt/birdctl/bin/birdctl render --manifests /src/containerlab/full-mesh/manifests --all-nodes --output-dir /tmp

FROM debian:trixie-slim AS agent
RUN apt-get update && \
    apt-get install -y --no-install-recommends python3 iptables ipset ipvsadm conntrack && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/birdctl /opt/birdctl
ENV PATH=/opt/birdctl/bin:$PATH
ENTRYPOINT ["birdctl"]

FROM debian:trixie-slim AS bird
RUN apt-get update && apt-get install -y --no-install-recommends bird2 && rm -rf /var/lib/apt/lists/* /etc/bird
COPY manifests/sidecar/start-bird /usr/local/bin/start-bird
COPY bird-templates/bootstrap.conf /usr/share/birdctl/bootstrap.conf
ENTRYPOINT ["start-bird"]

FROM agent AS lab
RUN apt-get update && \
    apt-get install -y --no-install-recommends bird2 curl frr iproute2 iputils-ping procps tcpdump && \
    rm -rf /var/lib/apt/lists/* /etc/bird/bird.conf
ENTRYPOINT []
# The shell collects what the daemons of a node leave behind.
CMD ["sh", "-c", "sleep infinity & wait"]
