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
var hints = []string{"outlook", "microsoft", "msgraph", "office", "entra", "azure", "gmail", "google", "pubsub"}

var (
	// Two names begin words of plain English or end them: central, entrance.
	providerName = regexp.MustCompile(`(?i)outlook|microsoft|msgraph|azure|gmail|google|pubsub|\boffice|\bentra(?:\b|id)`)
	// notProvider are paths that bear a maker's name and say nothing of mail:
	// modules, imported packages, types of protobuf and of media.
	notProvider = regexp.MustCompile(`(?:google\.golang\.org|github\.com/google|google/protobuf|google\.protobuf|googleapis/(?:api|rpc)|type\.googleapis\.com|google\.rpc|vnd\.openxmlformats-officedocument)\b`)
)

// nameable are the places where providers may be named, beside documents:
// their own code, the stand-in, examples for people, and what can only be
// tested by name. A name ending in * stands for all that begin with it.
var nameable = []string{
	"plugins/outlook", "plugins/gmail", "cmd/postern-provider-*",
	"internal/sandbox",
	"postern.example.yaml", "compose.yaml", "docs",
	"go.mod", "go.sum", "internal/tools/go.mod", "internal/tools/go.sum", // modules by their paths
	"internal/testrun",          // packages by their paths
	"internal/arch",             // these words
	"internal/e2e",              // the built programs with the real plugins and the sandbox's clouds
	"internal/bench",            // the same, measured
	"store/bolt/sample_test.go", // rows of a store that an earlier version wrote
}

func checkNames(tree fs.FS) ([]string, error) {
	var problems []string
	err := walk(tree, func(name string) error {
		switch {
		case slices.ContainsFunc(nameable, func(n string) bool {
			begin, any := strings.CutSuffix(n, "*")
			return below(name, n) || any && strings.HasPrefix(name, begin)
		}), strings.Contains(name, "/dist/"), path.Ext(name) == ".md", !text(name):
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
	case ".go", ".md", ".proto", ".graphqls", ".yml", ".yaml", ".mod", ".sum", ".html", ".js", ".ts", ".py", ".css", ".sh", ".txt", ".txtar", ".json", ".pem", ".golden":
		return true
	}
	return slices.Contains([]string{"Makefile", "run", "runtimes", "Dockerfile", ".gitignore", ".gitattributes"}, path.Base(name))
}
