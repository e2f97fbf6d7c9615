package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChoose: ONLY and SKIP name programs that there are, and leave one.
func TestChoose(t *testing.T) {
	all := []client{{name: "curl"}, {name: "mbsync"}, {name: "aerc"}}
	for _, c := range []struct{ only, skip, want, err string }{
		{"", "", "curl mbsync aerc", ""},
		{"mbsync, aerc", "", "mbsync aerc", ""},
		{"", "curl,aerc", "mbsync", ""},
		{"curl aerc", "aerc", "curl", ""},
		{"bogus", "", "", `ONLY: there is no program "bogus" here; there are curl, mbsync, aerc`},
		{"", "curl,Aerc", "", `SKIP: there is no program "Aerc" here; there are curl, mbsync, aerc`},
		{"curl", "curl", "", "ONLY and SKIP leave no program of curl, mbsync, aerc"},
	} {
		chosen, err := choose(all, words(c.only), words(c.skip))
		var names []string
		for _, one := range chosen {
			names = append(names, one.name)
		}
		if strings.Join(names, " ") != c.want || (err != nil) != (c.err != "") || err != nil && err.Error() != c.err {
			t.Errorf("ONLY=%s SKIP=%s: %q, %v", c.only, c.skip, names, err)
		}
	}
	if d := cmp.Diff([]string{"x", "y"}, distinct([]string{"x", "y", "x"})); d != "" {
		t.Error(d)
	}
}
