# The image that you build yourself: `docker build -t caddy-mcp-auth .`
# Releases use Dockerfile.release, which has the same last stage.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /caddy ./cmd/caddy
# Folders that a user without privileges may write to.
RUN mkdir -p /root-fs/data /root-fs/config /root-fs/etc/caddy && chown -R 65532:65532 /root-fs/data /root-fs/config

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /root-fs/ /
COPY --from=build /caddy /usr/bin/caddy
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config HOME=/data
USER 65532:65532
VOLUME ["/data", "/config"]
EXPOSE 8080 8443 8443/udp
ENTRYPOINT ["/usr/bin/caddy"]
CMD ["run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
