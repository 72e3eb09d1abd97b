package caddymcpauth

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// metadataObserver judges an issuer's metadata by what MCP clients need, and says
// what an operator should fix, who would otherwise learn of it from users whose
// client can't sign in. It gets new and changed metadata only, and that survives
// reloads, so each finding is one line. It looks up the logger each time because
// it outlives the configuration that made it.
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
