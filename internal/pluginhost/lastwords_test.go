package pluginhost

import (
	"io"
	"strings"
	"testing"
)

func TestLastWords(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"nothing":    {"", ""},
		"one":        {"boom", "boom"},
		"a trace":    {"Traceback:\n  File\nSyntaxError: x\n\n", "SyntaxError: x"},
		"more":       {strings.Repeat("line\n", lastWordsSize) + "end\n", "end"},
		"endless":    {strings.Repeat("x", 2*lastWordsSize), strings.Repeat("x", lastWordsShown) + "..."},
		"cut a rune": {strings.Repeat("x", lastWordsShown-1) + "\u00fc", strings.Repeat("x", lastWordsShown-1) + "..."},
	} {
		l := newLastWords(io.NopCloser(strings.NewReader(test.in)))
		got, err := io.ReadAll(l)
		if err != nil || string(got) != test.in {
			t.Errorf("%s: %d octets pass, %v", name, len(got), err)
		}
		if line := l.line(); line != test.want {
			t.Errorf("%s: the last line is %q, want %q", name, line, test.want)
		}
	}
}
