package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strconv"
)

// sleeps finds the tests of a package that wait for time to pass instead of
// for what they want to see. In a synctest bubble time costs nothing, and a
// loop that looks every few milliseconds is the way to see what nobody tells.
func sleeps(tree fs.FS, names []string) ([]string, error) {
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// bubbles are the package's functions that run their argument in a bubble.
	bubbles := map[string]bool{}
	eachFunc(files, func(f *ast.FuncDecl) {
		if calls(f, "synctest", "Test") {
			bubbles[f.Name.Name] = true
		}
	})
	var problems []string
	eachFunc(files, func(f *ast.FuncDecl) {
		if calls(f, "synctest", "Wait") {
			return // it works in a bubble alone
		}
		s := &sleeper{bubbles: bubbles, add: func(p token.Pos) {
			at := set.Position(p)
			problems = append(problems, fmt.Sprintf("%s:%d: a test sleeps: wait for what it wants to see, or run it in testing/synctest", at.Filename, at.Line))
		}}
		ast.Inspect(f.Body, s.visit)
	})
	return problems, nil
}

func eachFunc(files []*ast.File, do func(*ast.FuncDecl)) {
	for _, file := range files {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				do(f)
			}
		}
	}
}

// calls reports whether a function calls PKG.NAME.
func calls(f *ast.FuncDecl, pkg, name string) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		found = found || ok && selects(c.Fun, pkg, name)
		return !found
	})
	return found
}

// sleeper looks for sleeps in one function.
type sleeper struct {
	bubbles map[string]bool
	loops   int
	add     func(token.Pos)
}

func (s *sleeper) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ForStmt:
		s.loops++
		ast.Inspect(n.Body, s.visit)
		if n.Post != nil {
			ast.Inspect(n.Post, s.visit)
		}
		s.loops--
		return false
	case *ast.CallExpr:
		if s.bubble(n.Fun) {
			return false
		}
		if selects(n.Fun, "time", "Sleep") && (s.loops == 0 || !moment(n.Args)) {
			s.add(n.Pos())
		}
	}
	return true
}

func (s *sleeper) bubble(fn ast.Expr) bool {
	if id, ok := fn.(*ast.Ident); ok {
		return s.bubbles[id.Name]
	}
	return selects(fn, "synctest", "Test")
}

// moment reports whether an argument is a millisecond or a few of them.
func moment(args []ast.Expr) bool {
	limits := map[string]int{"Millisecond": 20, "Microsecond": 1000}
	if len(args) != 1 {
		return false
	}
	if selects(args[0], "time", "Millisecond") {
		return true
	}
	product, ok := args[0].(*ast.BinaryExpr)
	if !ok || product.Op != token.MUL {
		return false
	}
	n, ok := product.X.(*ast.BasicLit)
	if !ok {
		return false
	}
	value, err := strconv.Atoi(n.Value)
	if err != nil {
		return false
	}
	for unit, most := range limits {
		if selects(product.Y, "time", unit) && value <= most {
			return true
		}
	}
	return false
}

// selects reports whether an expression is PKG.NAME.
func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}
