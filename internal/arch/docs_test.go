package arch

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// What the documents say is held to what is there.

func read(t *testing.T, tree fs.FS, name string) string {
	t.Helper()
	b, err := fs.ReadFile(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadmeSamples: the samples that people copy are the files that tests of
// internal/webhook run, to the letter.
func TestReadmeSamples(t *testing.T) {
	tree := repository(t)
	readme := read(t, tree, "README.md")
	samples := []string{"internal/webhook/testdata/bodies/message.created.thin.json"}
	err := fs.WalkDir(tree, "internal/webhook/testdata/verify", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			samples = append(samples, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) < 4 {
		t.Errorf("only %v: want samples in Go, TypeScript and Python", samples)
	}
	for _, name := range samples {
		if sample := strings.TrimSpace(read(t, tree, name)); !strings.Contains(readme, "\n"+sample+"\n```\n") {
			t.Errorf("README.md does not show %s as it is: copy it there", name)
		}
	}
}

var fenced = regexp.MustCompile("(?ms)^```graphql\n(.*?)^```$")

// TestReadmeGraphQL: every query in the README is valid by the schema.
func TestReadmeGraphQL(t *testing.T) {
	tree := repository(t)
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: read(t, tree, "schema.graphqls")})
	if err != nil {
		t.Fatal(err)
	}
	blocks := fenced.FindAllStringSubmatch(read(t, tree, "README.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md shows no GraphQL")
	}
	for _, b := range blocks {
		if _, errs := gqlparser.LoadQueryWithRules(schema, b[1], rules.NewDefaultRules()); len(errs) > 0 {
			t.Errorf("%v in\n%s", errs, b[1])
		}
	}
}

// TestReadmeLists: metrics, error codes and kinds of event are listed as they
// are.
func TestReadmeLists(t *testing.T) {
	tree := repository(t)
	readme, schema := read(t, tree, "README.md"), read(t, tree, "schema.graphqls")
	metric := regexp.MustCompile("[\"`](postern_[a-z_]+)[\"`]")
	defined := map[string]bool{}
	err := walk(tree, func(name string) error {
		if !source(name) || strings.HasSuffix(name, "_test.go") || !below(name, "internal") && !below(name, "graph") && !below(name, "store") && !below(name, "bridge") {
			return nil
		}
		b, err := fs.ReadFile(tree, name)
		for _, m := range metric.FindAllStringSubmatch(string(b), -1) {
			defined[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range metric.FindAllStringSubmatch(readme, -1) {
		listed[m[1]] = true
	}
	same(t, "metrics", listed, defined)
	// What alert rules ask for is among them.
	for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(readme, -1) {
		for _, name := range regexp.MustCompile(`\bpostern_[a-z_]+`).FindAllString(block[1], -1) {
			if !defined[name] {
				t.Errorf("README.md has a rule about %s, which is no metric", name)
			}
		}
	}

	codes := words(t, schema, "enum ErrorCode {", func(s string) string { return s })
	kinds := words(t, schema, "enum EventType {", func(s string) string { return strings.ToLower(strings.Replace(s, "_", ".", 1)) })
	for what, want := range map[string]map[string]bool{"error code": codes, "event type": kinds} {
		for _, w := range slices.Sorted(maps.Keys(want)) {
			if !strings.Contains(readme, "`"+w+"`") {
				t.Errorf("README.md lacks the %s %s", what, w)
			}
		}
	}
}

// words lists the values of an enum of the schema.
func words(t *testing.T, schema, head string, as func(string) string) map[string]bool {
	t.Helper()
	_, rest, ok := strings.Cut(schema, head)
	if !ok {
		t.Fatalf("schema.graphqls has no %s", head)
	}
	body, _, _ := strings.Cut(rest, "\n}")
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  ([A-Z_]+)$`).FindAllStringSubmatch(body, -1) {
		out[as(m[1])] = true
	}
	return out
}

func same(t *testing.T, what string, listed, defined map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if !listed[name] {
			t.Errorf("%s: %s is in the code and not in README.md", what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if !defined[name] {
			t.Errorf("%s: %s is in README.md and not in the code", what, name)
		}
	}
}

// TestArchitectureNamesPackages: whoever looks for a package finds its line.
func TestArchitectureNamesPackages(t *testing.T) {
	doc := read(t, repository(t), "ARCHITECTURE.md")
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if !strings.Contains(doc, "`"+dir+"`") {
			t.Errorf("ARCHITECTURE.md has no line for `%s`", dir)
		}
	}
}

func TestDocuments(t *testing.T) { report(t)(checkDocuments(repository(t))) }

var (
	link   = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	target = regexp.MustCompile("(?m)(?:`|^)make ([a-z]+)")
)

// checkDocuments looks for links that lead nowhere and make targets that are
// not there.
func checkDocuments(tree fs.FS) ([]string, error) {
	makefile, err := fs.ReadFile(tree, "Makefile")
	if err != nil {
		return nil, err
	}
	var problems []string
	err = walk(tree, func(name string) error {
		if path.Ext(name) != ".md" || strings.Contains(name, "/dist/") {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(src), -1) {
			if strings.Contains(m[1], ":") {
				continue
			}
			if _, err := fs.Stat(tree, path.Join(path.Dir(name), m[1])); err != nil {
				problems = append(problems, fmt.Sprintf("%s: the link to %s leads nowhere", name, m[1]))
			}
		}
		for _, m := range target.FindAllStringSubmatch(string(src), -1) {
			if !strings.Contains("\n"+string(makefile), "\n"+m[1]+": ") {
				problems = append(problems, fmt.Sprintf("%s: there is no `make %s`", name, m[1]))
			}
		}
		return nil
	})
	return problems, err
}
