package sandbox

import (
	"os"
	"regexp"
	"testing"
)

// TestDocListsCalls: the package's documentation lists the calls of the control
// API that there are, and no other.
func TestDocListsCalls(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([A-Z]+) +(/control/\S+)`).FindAllStringSubmatch(read("doc.go"), -1) {
		listed[m[1]+" "+m[2]] = true
	}
	served := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([A-Z]+ /control/[^"]+)"`).FindAllStringSubmatch(read("control.go"), -1) {
		served[m[1]] = true
		if !listed[m[1]] {
			t.Errorf("doc.go lacks %s", m[1])
		}
	}
	for call := range listed {
		if !served[call] {
			t.Errorf("doc.go has %s, which is not served", call)
		}
	}
	if len(served) < 10 {
		t.Errorf("only %d calls found in control.go", len(served))
	}
}
