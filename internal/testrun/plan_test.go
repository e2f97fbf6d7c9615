package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/postern-mail/postern/"

// Whatever is divided how, each test runs once, and all but the ones that are
// named run with the race detector.
func TestPlan(t *testing.T) {
	packages := []string{module + "store", module + "internal/mime", module + "store/bolt", module + "internal/e2e"}
	type test struct{ pkg, name string }
	names := []string{"TestStore", "TestPowerCuts", "TestPowerCutProducer", "TestCorpus"}
	for _, race := range []bool{false, true} {
		got := map[test][]bool{}
		for _, chain := range plan(packages, race) {
			for _, j := range chain {
				for _, pkg := range j.packages {
					for _, name := range names {
						if (j.run == "" || regexp.MustCompile(j.run).MatchString(name)) && (j.skip == "" || !regexp.MustCompile(j.skip).MatchString(name)) {
							got[test{pkg, name}] = append(got[test{pkg, name}], j.race)
						}
					}
				}
			}
		}
		for _, pkg := range packages {
			for _, name := range names {
				want := race && (pkg == module+"store" || pkg == module+"store/bolt" && name != "TestPowerCuts" && name != "TestCorpus")
				if diff := cmp.Diff([]bool{want}, got[test{pkg, name}]); diff != "" {
					t.Errorf("%s of %s with the race detector (%v) (-want +got):\n%s", name, pkg, race, diff)
				}
			}
		}
	}
	if got := plan([]string{module + "store"}, true); len(got) != 1 || len(got[0]) != 1 {
		t.Errorf("one package makes %v", got)
	}
}

// What is named is there.
func TestPlanNamesWhatIsThere(t *testing.T) {
	root := filepath.Join("..", "..")
	some, tests := sequential()
	for _, pkg := range slices.Concat(slow(), plain(), some) {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(pkg))); err != nil {
			t.Error(err)
		}
	}
	var sources strings.Builder
	for _, pkg := range some {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pkg), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(b)
		}
	}
	for _, name := range strings.Split(strings.Trim(tests, "^()$"), "|") {
		if !strings.Contains(sources.String(), "func "+name+"(t *testing.T)") {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestJob(t *testing.T) {
	args := job{race: true, run: "^A$", skip: "^B$", packages: []string{"p", "q"}}.args()
	for _, want := range []string{"-race", "-run=^A$", "-skip=^B$"} {
		if !slices.Contains(args, want) {
			t.Errorf("the arguments %v lack %s", args, want)
		}
	}
	if !slices.Equal(args[len(args)-2:], []string{"p", "q"}) || slices.Contains(job{}.args(), "-race") {
		t.Errorf("the arguments are %v", args)
	}
	for _, tc := range []struct {
		j    job
		race bool
		want []string
	}{
		{job{race: true}, true, []string{"CGO_ENABLED=1", "GORACE=atexit_sleep_ms=50"}},
		{job{}, true, []string{"CGO_ENABLED=0", "POSTERN_TEST_RACED=1", "GORACE=atexit_sleep_ms=50"}},
		{job{}, false, nil},
	} {
		if diff := cmp.Diff(tc.want, tc.j.env(tc.race, "")); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc.j, diff)
		}
	}
}
