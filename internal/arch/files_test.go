package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) { report(t)(checkFiles(repository(t))) }

// longest is where a file wants to be two, in lines.
const longest = 500

// The words are put together here, so that this file does not hold them.
var (
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	suspicious = []string{"DO", "ME", "XX", "/work", "/root", "/Users", "/home", unverified}
	unverified = "Insecure" + "SkipVerify"
	machine    = regexp.MustCompile(`(^|[\s"'=(` + "`" + `])/(work|root|Users|home/[a-z]+)/`)
	generated  = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
)

func checkFiles(tree fs.FS) ([]string, error) {
	var problems []string
	err := walk(tree, func(name string) error {
		if !text(name) || strings.Contains(name, "/dist/") {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		made := generated.Match(src)
		if n := bytes.Count(src, []byte("\n")); strings.HasSuffix(name, ".go") && !made && n > longest {
			problems = append(problems, fmt.Sprintf("%s has %d lines: past %d a file wants to be two, each named after what it holds", name, n, longest))
		}
		for i, line := range strings.Split(string(src), "\n") {
			if !slices.ContainsFunc(suspicious, func(s string) bool { return strings.Contains(line, s) }) {
				continue // without the patterns, which are slow
			}
			switch {
			case !made && unfinished.MatchString(line):
				problems = append(problems, fmt.Sprintf("%s:%d: %s: finish it, or write an issue", name, i+1, unfinished.FindString(line)))
			case strings.Contains(line, unverified):
				problems = append(problems, fmt.Sprintf("%s:%d: certificates are always checked: trust a further authority with a CA file", name, i+1))
			case machine.MatchString(line):
				problems = append(problems, fmt.Sprintf("%s:%d: %q is a path of one machine: find it from the working directory", name, i+1, strings.TrimSpace(machine.FindString(line))))
			}
		}
		if strings.HasSuffix(name, "_test.go") {
			return sleeps(name, src, func(p string) { problems = append(problems, p) })
		}
		return nil
	})
	return problems, err
}

// sleeps finds tests that wait for time to pass instead of for what they want
// to see. In a synctest bubble time costs nothing, and a loop that looks every
// few milliseconds is the way to see what nobody tells.
func sleeps(name string, src []byte, add func(string)) error {
	if !bytes.Contains(src, []byte("time.Sleep")) || bytes.Contains(src, []byte(`"testing/synctest"`)) {
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	loops := 0
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForStmt:
			loops++
			ast.Inspect(n.Body, visit)
			if n.Post != nil {
				ast.Inspect(n.Post, visit)
			}
			loops--
			return false
		case *ast.CallExpr:
			if selects(n.Fun, "Sleep") && (loops == 0 || !moment(n.Args)) {
				add(fmt.Sprintf("%s:%d: a test sleeps: wait for what it wants to see, or run it in testing/synctest", name, set.Position(n.Pos()).Line))
			}
		}
		return true
	}
	ast.Inspect(file, visit)
	return nil
}

// moment reports whether an argument is time.Millisecond or a few of them.
func moment(args []ast.Expr) bool {
	const most = 20
	if len(args) != 1 {
		return false
	}
	if selects(args[0], "Millisecond") {
		return true
	}
	product, ok := args[0].(*ast.BinaryExpr)
	if !ok || product.Op != token.MUL || !selects(product.Y, "Millisecond") {
		return false
	}
	n, ok := product.X.(*ast.BasicLit)
	if !ok {
		return false
	}
	value, err := strconv.Atoi(n.Value)
	return err == nil && value <= most
}

// selects reports whether an expression is time.NAME.
func selects(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "time"
}
