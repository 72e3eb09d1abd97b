package caddymcpauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

// landingOff is the value of the option landing.
const landingOff = "off"

func (h *Handler) checkLanding() error {
	if h.Landing != "" && h.Landing != landingOff {
		return fmt.Errorf("landing is on unless it is `off`, so what is %q?", h.Landing)
	}
	return nil
}

// land answers a browser with a page for people, if the request was refused because
// it came without a token and nothing else, and reports whether it did. The status
// and the challenge stay, for a client of MCP could have sent it. Everything on the
// page is from the configuration: nothing of the request is, such as its Host.
func (h *Handler) land(w http.ResponseWriter, r *http.Request, ref *refusal) bool {
	if h.Landing == landingOff || ref.reason != reasonNoCredentials || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	w.Header().Add("Vary", "Accept")
	if !wantsPage(r.Header["Accept"]) {
		return false
	}
	page := pages.Landing{Server: pages.Server{URL: h.Resource}}
	if u, err := url.Parse(h.Resource); err == nil {
		page.Site = u.Host
	}
	page.Server.Name, _ = h.Metadata["resource_name"].(string)
	page.Documentation, _ = h.Metadata["resource_documentation"].(string)
	for _, iss := range h.Issuers {
		if page.Account = inprocess.AccountPage(iss.Issuer); page.Account != "" {
			break
		}
	}
	page.Write(w, ref.status)
	return true
}

// wantsPage reports whether a client that accepts these media types (RFC 9110,
// section 12.5.1) is a browser with a person before it: it names HTML, prefers
// nothing that a client of MCP asks for, and can't want a stream. `*/*` is no
// browser: most programs send it, or nothing.
func wantsPage(accept []string) bool {
	var html, mcp float64
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			mediaType, parameters, _ := strings.Cut(part, ";")
			q := quality(parameters)
			switch strings.ToLower(strings.TrimSpace(mediaType)) {
			case "text/html", "application/xhtml+xml":
				html = max(html, q)
			case "application/json":
				mcp = max(mcp, q)
			case "text/event-stream":
				return false
			}
		}
	}
	return html > 0 && html >= mcp
}

// quality returns the weight among the parameters of a media type: 1 if there is
// none, 0 if it can't be read.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		value = strings.TrimSpace(value)
		whole, thousandths, _ := strings.Cut(value, ".")
		if len(thousandths) > 3 || strings.Trim(thousandths, "0123456789") != "" {
			return 0
		}
		switch whole {
		case "1":
			if strings.Trim(thousandths, "0") == "" {
				return 1
			}
		case "0":
			var q float64
			for i, unit := 0, 0.1; i < len(thousandths); i, unit = i+1, unit/10 {
				q += unit * float64(thousandths[i]-'0')
			}
			return q
		}
		return 0
	}
	return 1
}
