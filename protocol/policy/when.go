package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// costLimit bounds one evaluation, in the units of cel-go: about one per operation,
// and one per ten characters of text that is looked at. 100,000 take a few
// milliseconds. An expression that would cost more isn't true.
const costLimit = 100_000

// The variables of expressions.
const (
	varName      = "name"
	varURI       = "uri"
	varArguments = "arguments"
	varClaims    = "claims"
	varScopes    = "scopes"
	varClientID  = "client_id"
	varUser      = "user"
	varIssuer    = "issuer"
)

// env returns the environment of expressions: those of resources have uri, all
// others name and arguments.
func env(kind string) (*cel.Env, error) {
	if kind == "resources" {
		return resourceEnv()
	}
	return callEnv()
}

var (
	resourceEnv = sync.OnceValues(func() (*cel.Env, error) { return newEnv(cel.Variable(varURI, cel.StringType)) })
	callEnv     = sync.OnceValues(func() (*cel.Env, error) {
		return newEnv(
			cel.Variable(varName, cel.StringType),
			cel.Variable(varArguments, cel.MapType(cel.StringType, cel.DynType)),
		)
	})
)

func newEnv(more ...cel.EnvOption) (*cel.Env, error) {
	return cel.NewEnv(append(more,
		cel.Variable(varClaims, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(varScopes, cel.ListType(cel.StringType)),
		cel.Variable(varClientID, cel.StringType),
		cel.Variable(varUser, cel.StringType),
		cel.Variable(varIssuer, cel.StringType),
		cel.CrossTypeNumericComparisons(true),
	)...)
}

// when is a compiled expression.
type when struct {
	program cel.Program
	// partial is for unknown arguments and URIs: whether the expression is true for
	// all of them.
	partial cel.Program
	// possible is for unknown values as well: whether the expression is true for some
	// of them.
	possible *branch
	reads    map[string]bool // variables
	// claims are the names of the claims that it reads; nil if it isn't known which.
	claims []string
	// arguments are what it looks up in them.
	arguments mcp.Lookup
}

// branch is a part of an expression: an operator and its operands, or a leaf, which
// has a program.
type branch struct {
	operator string
	operands []*branch
	program  cel.Program
}

// compileWhen compiles an expression. The error includes the position.
func compileWhen(kind, expression string) (*when, error) {
	e, err := env(kind)
	if err != nil {
		return nil, err
	}
	compiled, issues := e.Compile(expression)
	if errs := issues.Errors(); len(errs) > 0 {
		first := errs[0]
		return nil, fmt.Errorf("line %d, column %d: %s", first.Location.Line(), first.Location.Column()+1, first.Message)
	}
	if t := compiled.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("it is of type %s: it must be true or false, as a comparison is", t)
	}
	w := &when{reads: make(map[string]bool)}
	checked := compiled.NativeRep()
	for _, ident := range ast.MatchDescendants(ast.NavigateAST(checked), ast.KindMatcher(ast.IdentKind)) {
		w.reads[ident.AsIdent()] = true
	}
	w.claims, w.arguments = claimsRead(checked), argumentsRead(checked)
	// This finds regular expressions that don't compile.
	if w.program, err = e.Program(compiled, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit)); err != nil {
		return nil, err
	}
	if w.partial, err = partial(e, checked); err != nil {
		return nil, err
	}
	w.possible, err = newBranch(e, checked, checked.Expr())
	return w, err
}

// claimsRead returns the names of the claims that an expression reads, as in
// claims.tenant or claims["tenant"]; nil if it uses them in another way. Most tokens
// have many claims, and most expressions read one.
func claimsRead(checked *ast.AST) (names []string) {
	for _, ident := range ast.MatchDescendants(ast.NavigateAST(checked), ast.KindMatcher(ast.IdentKind)) {
		if ident.AsIdent() != varClaims {
			continue
		}
		parent, ok := ident.Parent()
		if !ok {
			return nil
		}
		name := ""
		switch parent.Kind() {
		case ast.SelectKind:
			name = parent.AsSelect().FieldName()
		case ast.CallKind:
			call := parent.AsCall()
			if call.FunctionName() != operators.Index || call.Args()[1].Kind() != ast.LiteralKind {
				return nil
			}
			literal, _ := call.Args()[1].AsLiteral().Value().(string)
			name = literal
		}
		// A dot would lead [Claims.Claim] into an object.
		if name == "" || strings.Contains(name, ".") {
			return nil
		}
		names = append(names, name)
	}
	return names
}

func partial(e *cel.Env, a *ast.AST) (cel.Program, error) {
	return e.PlanProgram(a, cel.EvalOptions(cel.OptOptimize, cel.OptPartialEval), cel.CostLimit(costLimit))
}

func newBranch(e *cel.Env, whole *ast.AST, expr ast.Expr) (*branch, error) {
	if expr.Kind() == ast.CallKind {
		switch call := expr.AsCall(); call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			b := &branch{operator: call.FunctionName()}
			for _, arg := range call.Args() {
				operand, err := newBranch(e, whole, arg)
				if err != nil {
					return nil, err
				}
				b.operands = append(b.operands, operand)
			}
			return b, nil
		}
	}
	leaf := ast.NewCheckedAST(ast.NewAST(expr, whole.SourceInfo()), whole.TypeMap(), whole.ReferenceMap())
	program, err := partial(e, leaf)
	return &branch{program: program}, err
}

// input holds the values that expressions see. It is used for one decision.
type input struct {
	caller    *Caller
	name      string
	arguments json.RawMessage
	// scopes count as granted too, to find out what a caller could do once it has
	// them.
	scopes []string
	// unknown are the variables whose values aren't known.
	unknown []*cel.AttributePatternType

	decoded map[string]any
	rounded []string // see [decodeObject]
	err     error
	claims  map[string]any
}

// prepare makes the values that w reads. A value that can't be made is an error:
// `arguments.a > 1 || true` must not be true for arguments that can't be read.
func (in *input) prepare(w *when) error {
	if w.reads[varArguments] && in.decoded == nil && in.err == nil && len(in.unknown) == 0 {
		in.decoded = map[string]any{}
		if len(in.arguments) > 0 {
			in.decoded, in.rounded, in.err = decodeObject(in.arguments)
		}
	}
	if in.err != nil {
		return fmt.Errorf("arguments: %w", in.err)
	}
	if w.reads[varClaims] {
		claims, err := in.caller.claimValues(w)
		if err != nil {
			return fmt.Errorf("claims: %w", err)
		}
		in.claims = claims
	}
	return nil
}

// ResolveName implements [interpreter.Activation]. A value that the caller doesn't
// have, such as the client of an API key, isn't found, and an expression that reads
// it fails.
func (in *input) ResolveName(variable string) (any, bool) {
	switch variable {
	case varName, varURI:
		return in.name, true
	case varArguments:
		return in.decoded, in.decoded != nil
	case varClaims:
		return in.claims, !in.caller.Anonymous
	case varScopes:
		scopes := in.caller.Scopes
		if len(in.scopes) > 0 {
			scopes = slices.Concat(scopes, in.scopes)
		}
		if in.caller.Includes != nil {
			scopes = in.caller.Includes(scopes)
		}
		return scopes, true
	case varClientID:
		id := in.caller.clientID()
		return id, id != ""
	case varUser:
		return in.caller.Subject, in.caller.oauth() && in.caller.Subject != ""
	case varIssuer:
		return in.caller.Issuer, in.caller.Issuer != ""
	}
	return nil, false
}

// maxRounded bounds how many arguments are unknown by name: each takes time whenever an
// argument is read.
const maxRounded = 16

// roundedArguments returns the arguments with integers that some servers round. They
// count as unknown: the expression must be true whichever number the server takes them
// for.
func (in *input) roundedArguments() (unknown []*cel.AttributePatternType) {
	if len(in.rounded) > maxRounded {
		return unknownArguments
	}
	for _, name := range in.rounded {
		unknown = append(unknown, cel.AttributePattern(varArguments).QualString(name))
	}
	return unknown
}

// Parent implements [interpreter.Activation].
func (in *input) Parent() interpreter.Activation { return nil }

var errNotBoolean = errors.New("not a boolean")

// isTrue reports whether the expression is true for all unknown values. The error
// says why it could not be evaluated.
func (w *when) isTrue(in *input) (bool, error) {
	if err := in.prepare(w); err != nil {
		return false, err
	}
	program, vars := w.program, any(in)
	unknown := in.unknown
	if w.reads[varArguments] {
		unknown = append(unknown[:len(unknown):len(unknown)], in.roundedArguments()...)
	}
	if len(unknown) > 0 {
		partial, err := cel.PartialVars(in, unknown...)
		if err != nil {
			return false, err
		}
		program, vars = w.partial, partial
	}
	out, _, err := program.Eval(vars)
	if err != nil {
		return false, shorten(err)
	}
	if types.IsUnknown(out) {
		if len(in.rounded) > 0 {
			return false, errRounded
		}
		return false, nil
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, errNotBoolean
	}
	return bool(b), nil
}

// canBeTrue reports whether the expression is true for some unknown values.
func (w *when) canBeTrue(in *input) bool {
	if in.prepare(w) != nil {
		return false
	}
	vars, err := cel.PartialVars(in, in.unknown...)
	if err != nil {
		return false
	}
	can, _ := w.possible.possibilities(vars)
	return can
}

// possibilities reports whether the branch can be true, and whether it can be false.
// A branch that fails can be neither. cel-go can't tell that for a whole expression:
// there, unknown && error is unknown, although it is never true.
func (b *branch) possibilities(vars cel.PartialActivation) (canBeTrue, canBeFalse bool) {
	switch b.operator {
	case operators.LogicalNot:
		t, f := b.operands[0].possibilities(vars)
		return f, t
	case operators.LogicalAnd:
		canBeTrue = true
		for _, operand := range b.operands {
			t, f := operand.possibilities(vars)
			canBeTrue, canBeFalse = canBeTrue && t, canBeFalse || f
		}
		return canBeTrue, canBeFalse
	case operators.LogicalOr:
		canBeFalse = true
		for _, operand := range b.operands {
			t, f := operand.possibilities(vars)
			canBeTrue, canBeFalse = canBeTrue || t, canBeFalse && f
		}
		return canBeTrue, canBeFalse
	case operators.Conditional:
		t, f := b.operands[0].possibilities(vars)
		if t {
			canBeTrue, canBeFalse = b.operands[1].possibilities(vars)
		}
		if f {
			t, f := b.operands[2].possibilities(vars)
			canBeTrue, canBeFalse = canBeTrue || t, canBeFalse || f
		}
		return canBeTrue, canBeFalse
	}
	out, _, err := b.program.Eval(vars)
	switch {
	case err != nil:
		return false, false
	case types.IsUnknown(out):
		return true, true
	}
	is, ok := out.(types.Bool)
	return ok && bool(is), ok && !bool(is)
}

// shorten shortens the error of an evaluation, because its text goes to logs.
func shorten(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	const longest = 200
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "")
	}
	return errors.New(text)
}
