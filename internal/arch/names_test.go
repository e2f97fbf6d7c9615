package arch

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNoProviderNames: what a provider is called is the business of its
// plugin. A core that knows a name soon has a switch over names.
func TestNoProviderNames(t *testing.T) { report(t)(checkNames(repository(t))) }

// hints are what providerName begins with: most files hold none of it, and to
// know that without the pattern is faster.
var hints = []string{"outlook", "gmail", "microsoft", "google", "office", "msgraph", "azuread"}

var (
	providerName = regexp.MustCompile(`(?i)outlook|gmail|microsoft|google|office ?365|msgraph|azuread`)
	// notProvider are paths that bear a maker's name and say nothing of mail.
	notProvider = regexp.MustCompile(`(?:google\.golang\.org|github\.com/google|google/protobuf|google\.protobuf|googleapis/(?:api|rpc))\b`)
)

// nameable are the places where providers may be named: their own code, the
// stand-in, the programs and the demo, documents.
var nameable = []string{
	"plugins/outlook", "internal/sandbox",
	"cmd/postern-provider-outlook", "cmd/postern-sandbox", "cmd/postern",
	"internal/e2e", "internal/bench", "internal/arch", "docs", "Makefile", "Dockerfile", "compose.yaml", "go.mod", "go.sum", "internal/tools/go.mod", "internal/tools/go.sum",
}

func checkNames(tree fs.FS) ([]string, error) {
	var problems []string
	err := walk(tree, func(name string) error {
		switch {
		case slices.ContainsFunc(nameable, func(n string) bool { return below(name, n) }),
			strings.HasSuffix(name, "_test.go"), strings.Contains("/"+name, "/testdata/"), strings.Contains(name, "/dist/"),
			path.Ext(name) == ".md", !text(name):
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		lower := strings.ToLower(string(src))
		if !slices.ContainsFunc(hints, func(h string) bool { return strings.Contains(lower, h) }) {
			return nil
		}
		for i, line := range strings.Split(string(src), "\n") {
			if strings.HasSuffix(name, ".yaml") {
				line, _, _ = strings.Cut(line, "#") // comments give examples
			}
			if found := providerName.FindString(notProvider.ReplaceAllString(line, "")); found != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: the core names a provider (%q): what differs between providers is data in provider.Info, or code in the plugin", name, i+1, found))
			}
		}
		return nil
	})
	return problems, err
}

// text reports whether a file is read by people.
func text(name string) bool {
	switch path.Ext(name) {
	case ".go", ".md", ".proto", ".graphqls", ".yml", ".yaml", ".mod", ".sum", ".html", ".js", ".ts", ".py", ".css", ".sh", ".txt", ".txtar", ".json":
		return true
	}
	return slices.Contains([]string{"Makefile", "run", "Dockerfile", ".gitignore", ".gitattributes"}, path.Base(name))
}
