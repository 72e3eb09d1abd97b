package caddymcp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Comments are the manual: everything exported has one.
func TestExportedIsDocumented(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && name != "." {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s has no comment", files.Position(name.Pos()), name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// undocumented returns the exported names of a declaration that have no comment.
func undocumented(decl ast.Decl) []*ast.Ident {
	var found []*ast.Ident
	check := func(comment *ast.CommentGroup, names ...*ast.Ident) {
		for _, name := range names {
			if name.IsExported() && strings.TrimSpace(comment.Text()) == "" {
				found = append(found, name)
			}
		}
	}
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if !ofUnexported(decl) && !wellKnown[decl.Name.Name] {
			check(decl.Doc, decl.Name)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				check(either(spec.Doc, decl.Doc), spec.Name)
				if spec.Name.IsExported() {
					members(spec.Type, check)
				}
			case *ast.ValueSpec:
				check(either(either(spec.Doc, spec.Comment), decl.Doc), spec.Names...)
			}
		}
	}
	return found
}

// members checks the fields of a struct and the methods of an interface.
func members(expr ast.Expr, check func(*ast.CommentGroup, ...*ast.Ident)) {
	var list *ast.FieldList
	switch typ := expr.(type) {
	case *ast.StructType:
		list = typ.Fields
	case *ast.InterfaceType:
		list = typ.Methods
	default:
		return
	}
	if len(list.List) == 1 && list.Opening+2 >= list.List[0].Pos() {
		return // on one line: the comment on the type is about it
	}
	before := ""
	for _, field := range list.List {
		comment := either(field.Doc, field.Comment)
		// A comment may be about several members, if it names them all.
		if strings.TrimSpace(comment.Text()) == "" && len(field.Names) == 1 &&
			regexp.MustCompile(`\b`+field.Names[0].Name+`\b`).MatchString(before) {
			continue
		}
		before += comment.Text()
		check(comment, field.Names...)
		members(field.Type, check)
	}
}

func either(a, b *ast.CommentGroup) *ast.CommentGroup {
	if strings.TrimSpace(a.Text()) != "" {
		return a
	}
	return b
}

// wellKnown are methods that say what they do by their interface.
var wellKnown = map[string]bool{"ServeHTTP": true, "Provision": true, "Validate": true, "String": true, "Error": true, "Unwrap": true, "Is": true}

// ofUnexported reports whether a function is the method of a type that is not
// exported.
func ofUnexported(decl *ast.FuncDecl) bool {
	if decl.Recv == nil {
		return false
	}
	typ := decl.Recv.List[0].Type
	if pointer, ok := typ.(*ast.StarExpr); ok {
		typ = pointer.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && !name.IsExported()
}
