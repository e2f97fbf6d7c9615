package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) { report(t)(checkFiles(repository(t))) }

// longest is where a file wants to be two, in lines.
const longest = 500

// The words are put together here, so that this file does not hold them.
var (
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
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
// to see. In a synctest bubble time costs nothing.
func sleeps(name string, src []byte, add func(string)) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, i := range file.Imports {
		if i.Path.Value == `"testing/synctest"` {
			return nil
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
				add(fmt.Sprintf("%s:%d: a test sleeps: wait for what it wants to see, or run it in testing/synctest", name, set.Position(n.Pos()).Line))
			}
		}
		return true
	})
	return nil
}
