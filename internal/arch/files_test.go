package arch

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
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
	tests := map[string][]string{} // by folder
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
		if strings.HasSuffix(name, "_test.go") && bytes.Contains(src, []byte("time.")) {
			tests[path.Dir(name)] = append(tests[path.Dir(name)], name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, dir := range slices.Sorted(maps.Keys(tests)) {
		found, err := sleeps(tree, tests[dir])
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return problems, nil
}
