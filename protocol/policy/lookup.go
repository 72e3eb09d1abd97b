package policy

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// argumentsRead returns the names that an expression looks up in arguments, as in
// arguments.force, arguments["force"] or "force" in arguments. Names that it looks up
// in anything else except claims count as members deeper down.
func argumentsRead(checked *ast.AST) mcp.Lookup {
	var outer, inner []string
	add := func(of ast.Expr, name string) {
		switch {
		case of.Kind() == ast.IdentKind && of.AsIdent() == varArguments:
			outer = append(outer, name)
		case rootOf(of) != varClaims:
			inner = append(inner, name)
		}
	}
	every := func(ast.NavigableExpr) bool { return true }
	for _, e := range ast.MatchDescendants(ast.NavigateAST(checked), every) {
		switch e.Kind() {
		case ast.SelectKind:
			add(e.AsSelect().Operand(), e.AsSelect().FieldName())
		case ast.CallKind:
			call := e.AsCall()
			args := call.Args()
			switch call.FunctionName() {
			case operators.Index:
				if name, ok := literal(args[1]); ok {
					add(args[0], name)
				}
			case operators.In, operators.OldIn:
				if name, ok := literal(args[0]); ok {
					add(args[1], name)
				}
			}
		}
	}
	return mcp.NewLookup(outer, inner)
}

// rootOf returns the variable that an expression such as claims.a["b"] begins with.
func rootOf(e ast.Expr) string {
	for {
		switch e.Kind() {
		case ast.IdentKind:
			return e.AsIdent()
		case ast.SelectKind:
			e = e.AsSelect().Operand()
		case ast.CallKind:
			if e.AsCall().FunctionName() != operators.Index {
				return ""
			}
			e = e.AsCall().Args()[0]
		default:
			return ""
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().Value().(string)
	return s, ok
}
