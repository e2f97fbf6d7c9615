package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	// commented is an example in the comments of a configuration file.
	commented = regexp.MustCompile(`(?m)^#   providers:\n(?:#.*\n)+`)
)

// documentedProviders are the examples of providers' settings, by where they
// stand. Of a configuration file in a document the provider's part counts.
func documentedProviders(t *testing.T) map[string]settings {
	t.Helper()
	found := map[string]settings{}
	add := func(where, text string) {
		part := settings{}
		if err := yaml.Unmarshal([]byte(text), &part); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		for name, p := range part.section("providers") {
			found[where+": "+name] = p.(settings)
		}
	}
	docs, err := filepath.Glob(filepath.Join(root(), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(docs, filepath.Join(root(), "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains("\n"+m[1], "\nproviders:") {
				add(filepath.Base(name), m[1])
			}
		}
	}
	example, err := os.ReadFile(filepath.Join(root(), "postern.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	block := commented.FindString(string(example))
	if block == "" {
		t.Fatal("postern.example.yaml has no example of providers")
	}
	add("postern.example.yaml", regexp.MustCompile(`(?m)^#   `).ReplaceAllString(block, ""))
	return found
}

// TestDocumentedSettings: the providers in every example are such as the
// plugins know, with all that is required.
func TestDocumentedSettings(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(program("postern"), "--set", "plugins.dir="+bin, "plugins", "list", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	type plugin struct {
		Name     string
		Settings []struct {
			Name     string
			Required bool
		}
	}
	var listing struct{ Found []plugin }
	if err := json.Unmarshal(out, &listing); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	plugins := map[string]int{}
	for where, p := range documentedProviders(t) {
		i := slices.IndexFunc(listing.Found, func(f plugin) bool { return f.Name == p["plugin"] })
		if i < 0 {
			t.Errorf("%s: there is no plugin %v", where, p["plugin"])
			continue
		}
		plugins[listing.Found[i].Name]++
		for key := range p {
			if !slices.Contains([]string{"plugin", "push", "sha256", "settings"}, key) {
				t.Errorf("%s: there is no key %s", where, key)
			}
		}
		given, known := p.section("settings"), map[string]bool{}
		for _, s := range listing.Found[i].Settings {
			known[s.Name] = true
			if _, ok := given[s.Name]; s.Required && !ok {
				t.Errorf("%s: the setting %s is required", where, s.Name)
			}
		}
		for name := range given {
			if !known[name] {
				t.Errorf("%s: there is no setting %s", where, name)
			}
		}
	}
	for _, name := range []string{"outlook", "gmail"} {
		if plugins[name] < 3 {
			t.Errorf("%d examples of %s", plugins[name], name)
		}
	}
}
