package caddymcpauth

import (
	"math"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// policyOption reads one of the options that are rules:
//
//	require  <conditions>
//	tools | prompts | resources | methods <names...> [need <conditions>] [when <expression>]
//	tools | prompts | resources | methods <names...> nobody | anonymous
//	anonymous
//	refuse   challenge | error | result [for <user agents...>]
//	security_schemes
//	max_body <size>
//
// It reports false for any other option.
func (p *Policy) policyOption(d *caddyfile.Dispenser) (bool, error) {
	switch word := d.Val(); word {
	case "tools":
		return true, rule(d, &p.Tools)
	case "prompts":
		return true, rule(d, &p.Prompts)
	case "resources":
		return true, rule(d, &p.Resources)
	case "methods":
		return true, rule(d, &p.Methods)
	case "require":
		need, err := policy.ParseNeed(ruleWords(d))
		if err != nil {
			return true, d.Errf("require: %v", err)
		}
		p.Require = append(p.Require, need)
		return true, nil
	case "anonymous":
		return true, option.Flag(d, &p.Anonymous)
	case "security_schemes":
		return true, option.Flag(d, &p.SecuritySchemes)
	case "refuse":
		args := d.RemainingArgs()
		switch {
		case len(args) == 1:
		case len(args) > 2 && args[1] == "for":
		default:
			return true, d.Err("refuse takes challenge, error or result, and then, if it isn't for every client, for and what their User-Agent is, as in: refuse result for openai-mcp*")
		}
		ref := Refusal{As: args[0]}
		if len(args) > 2 {
			ref.For = args[2:]
		}
		p.Refuse = append(p.Refuse, ref)
		if err := checkRefuse(p.Refuse); err != nil {
			return true, d.WrapErr(err)
		}
		return true, nil
	case "max_body":
		if p.MaxBody != 0 {
			return true, option.Twice(d, word)
		}
		var size string
		if !d.AllArgs(&size) {
			return true, d.Err("max_body takes a size such as 4MiB" + option.Unset)
		}
		bytes, err := humanize.ParseBytes(size)
		if err != nil || bytes == 0 || bytes > math.MaxInt64 {
			return true, d.Errf("max_body: %q is not a size such as 4MiB", size)
		}
		p.MaxBody = int64(bytes)
		return true, nil
	default:
		return false, nil
	}
}

func rule(d *caddyfile.Dispenser, lines *[]policy.Line) error {
	kind := d.Val()
	line, err := policy.ParseLine(ruleWords(d))
	if err != nil {
		return d.Errf("%s: %v", kind, err)
	}
	*lines = append(*lines, line)
	return nil
}

// ruleWords returns the rest of the line. A word in quotes is never a keyword.
func ruleWords(d *caddyfile.Dispenser) (words []policy.Word) {
	for d.NextArg() {
		words = append(words, policy.Word{Text: d.Val(), Quoted: d.ValRaw() != d.Val()})
	}
	return words
}
