# Postern as a container: static programs and nothing else to run.
#
#   docker build -t postern .                   the gateway (the last stage)
#   docker build -t postern:demo --target demo .
#   docker build -t postern --build-arg VERSION=$(git describe --tags --always) .
#
# Both bases can be given by digest: --build-arg BASE=...@sha256:...
ARG GO=golang:1.26.0-bookworm
ARG BASE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Static, so that they run where there is no C library.
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.built=${VERSION}" -o /out/bin/ \
      ./cmd/postern ./cmd/postern-provider-* ./cmd/postern-sandbox \
 && mkdir -m 0700 /out/data

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="Postern" \
      org.opencontainers.image.description="A self-hosted mail gateway: mailboxes behind GraphQL and webhooks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/postern-mail/postern"
# Plugins are looked for beside the gateway.
COPY --from=build /out/bin/postern /out/bin/postern-provider-* /usr/local/bin/
COPY --from=build --chown=65532:65532 /out/data /var/lib/postern
# Every setting with its default; mount yours over it.
COPY postern.example.yaml /etc/postern/postern.yaml
# By number, so that an engine can tell that it is not root.
USER 65532:65532

# Everything on one machine with the sandbox, on the host's network:
#   docker run --rm --network host postern:demo
FROM runtime AS demo
COPY --from=build /out/bin/postern-sandbox /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/postern"]
CMD ["demo", "--dir", "/var/lib/postern/demo"]

FROM runtime AS gateway
ENV POSTERN_DATA_DIR=/var/lib/postern \
    POSTERN_HTTP_LISTEN=0.0.0.0:8080 \
    POSTERN_IMAP_LISTEN=0.0.0.0:1143 \
    POSTERN_SMTP_LISTEN=0.0.0.0:1587
VOLUME /var/lib/postern
EXPOSE 8080 1143 1587
STOPSIGNAL SIGTERM
# Whether the gateway answers; what ails its providers or its disk is /readyz's.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/postern", "-c", "/etc/postern/postern.yaml", "health"]
ENTRYPOINT ["/usr/local/bin/postern", "-c", "/etc/postern/postern.yaml"]
CMD ["serve"]
