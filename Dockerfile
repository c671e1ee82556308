# docker build --target agent -t birdctl/agent:0.1.0 .     docker build --target bird -t birdctl/bird:0.1.0 .
# docker build --target lab -t birdctl/lab:0.1.0 .         (agent, BIRD and tools, for containerlab)

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
COPY . /src
RUN python3 -m venv /opt/birdctl && /opt/birdctl/bin/pip install --no-cache-dir --compile /src
# Compiles the templates too: the agent cannot write into its image.
RUN /opt/birdctl/bin/birdctl render --manifests /src/containerlab/full-mesh/manifests --all-nodes --output-dir /tmp

FROM debian:trixie-slim AS agent
RUN apt-get update && \
    apt-get install -y --no-install-recommends python3 iptables ipset conntrack && \
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
    apt-get install -y --no-install-recommends bird2 iproute2 iptables iputils-ping tcpdump && \
    rm -rf /var/lib/apt/lists/*
COPY manifests/sidecar/start-bird /usr/local/bin/start-bird
COPY bird-templates/bootstrap.conf /usr/share/birdctl/bootstrap.conf
ENTRYPOINT []
CMD ["sleep", "infinity"]
