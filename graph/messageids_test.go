package graph

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMessageIDs(t *testing.T) {
	for value, want := range map[string][]string{
		"":                                     nil,
		"<a@x>":                                {"a@x"},
		"<a@x> <b@y>":                          {"a@x", "b@y"},
		"Your message of Monday <a@x>, <b @y>": {"a@x", "b@y"},
		"<a@x> <b@y":                           {"a@x"},
		"a@x":                                  nil,
		"<> <c@z>":                             {"c@z"},
	} {
		if got := parseMessageIDs(value); !cmp.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
