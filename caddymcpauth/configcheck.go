package caddymcpauth

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// metadataObserver checks that an issuer's metadata has what MCP clients need, and
// logs what the operator should fix. Otherwise the operator would learn of it from
// users whose client can't sign in. It gets only new and changed metadata, and
// metadata survives reloads, so each finding is logged once. It looks up the
// logger each time because it outlives the configuration that made it.
func metadataObserver(issuer string) func(*discovery.Metadata) {
	return func(m *discovery.Metadata) {
		logger := caddy.Log().Named("http.handlers.mcp_auth")
		for _, finding := range m.Check(issuer) {
			level := zapcore.WarnLevel
			switch finding.Level {
			case discovery.OK:
				continue
			case discovery.Error:
				level = zapcore.ErrorLevel
			}
			if c := logger.Check(level, "MCP clients will have trouble with the authorization server"); c != nil {
				c.Write(
					zap.String("issuer", issuer),
					zap.String("code", finding.Code),
					zap.String("finding", finding.Message),
					zap.String("cure", finding.Cure),
				)
			}
		}
	}
}
