package arch

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestImports(t *testing.T) { report(t)(checkImports(repository(t), packages)) }

func TestFloors(t *testing.T) { report(t)(checkFloors(packages)) }

// report fails with each problem on a line.
func report(t *testing.T) func(problems []string, err error) {
	return func(problems []string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Error(p)
		}
	}
}

// repository is the folder with go.mod above the working directory.
func repository(t *testing.T) fs.FS {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			// internal/tools is a module too, but not above this package.
			return os.DirFS(dir)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// walk calls fn for every file of ours: not for what is built, downloaded or
// hidden.
func walk(tree fs.FS, fn func(name string) error) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || d.Name() == "node_modules" || name != "." && name != ".ci" && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		return fn(name)
	})
}

// source reports whether a file is Go code of a package, as the go command
// sees it: what lies in testdata belongs to none.
func source(name string) bool {
	return path.Ext(name) == ".go" && !strings.Contains("/"+name, "/testdata/")
}

// checkImports compares what every file imports with the list. Build tags are
// ignored on purpose: a file that is built elsewhere counts too.
func checkImports(tree fs.FS, list map[string]pkg) ([]string, error) {
	var problems []string
	seen := map[string]bool{}
	set := token.NewFileSet()
	err := walk(tree, func(name string) error {
		if !source(name) {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		p, known := list[dir]
		if !known {
			if !seen[dir] {
				problems = append(problems, fmt.Sprintf("package %s is on no floor: declare it in internal/arch/floors_test.go with what it may import, and give it a line in ARCHITECTURE.md", dir))
			}
			seen[dir] = true
			return nil
		}
		seen[dir] = true
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if problem := judge(dir, p, imported, strings.HasSuffix(name, "_test.go")); problem != "" {
				problems = append(problems, name+": "+problem)
			}
		}
		return nil
	})
	for _, dir := range slices.Sorted(maps.Keys(list)) {
		if !seen[dir] {
			problems = append(problems, fmt.Sprintf("package %s does not exist: take it out of internal/arch/floors_test.go", dir))
		}
	}
	return problems, err
}

// judge says what is wrong with one import, "" when nothing is.
func judge(dir string, p pkg, imported string, test bool) string {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		switch {
		case slices.Contains(p.imports, ours), test && (ours == dir || slices.Contains(p.tests, ours)):
			return ""
		case test:
			return fmt.Sprintf("a test of %s may not import %s: if it should, list it under tests in internal/arch/floors_test.go", dir, ours)
		}
		return fmt.Sprintf("%s may not import %s: declare a small interface for what you need of it and let internal/gateway hand it in, or, if the import runs downwards, list it in internal/arch/floors_test.go", dir, ours)
	}
	if host, _, _ := strings.Cut(imported, "/"); !strings.Contains(host, ".") || test {
		return "" // the standard library; and a test may use what it likes of others
	}
	if slices.Contains(standardOnly, dir) {
		return fmt.Sprintf("%s may not import %s: it is made of the standard library alone", dir, imported)
	}
	for prefix, users := range external {
		if strings.HasPrefix(imported, prefix) && !slices.ContainsFunc(users, func(u string) bool { return below(dir, u) }) {
			return fmt.Sprintf("%s may not import %s: this dependency belongs to %s (external in internal/arch/floors_test.go)", dir, imported, strings.Join(append(users, "tests"), ", "))
		}
	}
	return ""
}

// below reports whether a path is in a folder, or the folder itself.
func below(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// checkFloors checks the list itself, so that a line added in haste cannot
// turn the house upside down.
func checkFloors(list map[string]pkg) ([]string, error) {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, dir := range slices.Sorted(maps.Keys(list)) {
		p := list[dir]
		for _, i := range p.imports {
			to, known := list[i]
			switch {
			case !known:
				add("%s lists %s, which is no package of ours", dir, i)
			case to.floor > p.floor:
				add("%s (floor %d) lists %s (floor %d): imports run downwards", dir, p.floor, i, to.floor)
			case to.floor == p.floor && !related(dir, i):
				add("%s lists %s on the same floor: neighbours do not know each other, take a small interface", dir, i)
			case below(i, "internal/sandbox") && !below(dir, "internal/sandbox") && !below(dir, "cmd"):
				add("%s lists %s: the sandbox is for cmd and tests alone", dir, i)
			case plugin(i) != "" && plugin(i) != plugin(dir) && !below(dir, "cmd"):
				add("%s lists %s: a plugin is a process of its own, only its cmd imports it", dir, i)
			case plugin(dir) != "" && plugin(i) == "" && !below(i, "plugins/sdk"):
				add("%s lists %s: a plugin knows plugins/sdk alone", dir, i)
			case below(dir, "internal/sandbox") && !below(i, "internal/sandbox") && i != "plugins/sdk/mail":
				add("%s lists %s: the sandbox shares nothing with the rest but plugins/sdk/mail", dir, i)
			}
		}
		for _, i := range p.tests {
			if _, known := list[i]; !known {
				add("%s lists %s for its tests, which is no package of ours", dir, i)
			}
			if slices.Contains(p.imports, i) || i == dir {
				add("%s lists %s for its tests, which may import it anyway", dir, i)
			}
		}
	}
	return problems, nil
}

// related reports whether two packages are parts of one thing.
func related(a, b string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return below(a, f) && below(b, f) })
}

// plugin gives the name of the plugin that a package is part of.
func plugin(dir string) string {
	rest, ok := strings.CutPrefix(dir, "plugins/")
	name, _, _ := strings.Cut(rest, "/")
	if !ok || name == "sdk" {
		return ""
	}
	return name
}
