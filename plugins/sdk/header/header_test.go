package header

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForEnvelope(t *testing.T) {
	const rest = "Subject: s\r\n\r\nbody\r\n.\r\n"
	for _, tc := range []struct {
		name, header string
		rcpts        []string
		want         string
	}{
		{"as it is", "To: A <a@x>, b@x\r\nCc: c@x\r\n", []string{"a@x", "b@x", "C@X"}, "To: A <a@x>, b@x\r\nCc: c@x\r\n" + rest},
		{"no envelope", "To: a@x\r\nBcc: b@x\r\n", nil, "To: a@x\r\nBcc: b@x\r\n" + rest},
		{"hidden", "To: a@x\r\n", []string{"a@x", "h@x", "H@x", "i@x"}, "To: a@x\r\nSubject: s\r\nBcc: <h@x>,\r\n <i@x>\r\n\r\nbody\r\n.\r\n"},
		{"header only", "To: A <a@x>,\r\n B <b@x>\r\nCc: c@x\r\n", []string{"a@x"}, "To: \"A\" <a@x>\r\n" + rest},
		{"Bcc of the header", "To: a@x\r\nBcc: b@x, c@x\r\n", []string{"a@x", "c@x"}, "To: a@x\r\nSubject: s\r\nBcc: <c@x>\r\n\r\nbody\r\n.\r\n"},
		{"undisclosed", "To: undisclosed-recipients:;\r\n", []string{"a@x"}, "To: undisclosed-recipients:;\r\nSubject: s\r\nBcc: <a@x>\r\n\r\nbody\r\n.\r\n"},
		{"undisclosed and disclosed", "To: b@x, undisclosed-recipients:;\r\n", []string{"a@x"}, "Subject: s\r\nBcc: <a@x>\r\n\r\nbody\r\n.\r\n"},
		{"a group before none", "To: some: b@x;, none:;\r\n", []string{"a@x"}, "Subject: s\r\nBcc: <a@x>\r\n\r\nbody\r\n.\r\n"},
		{"unreadable", "To: a@x b@x <<>>\r\n", []string{"a@x"}, "Subject: s\r\nBcc: <a@x>\r\n\r\nbody\r\n.\r\n"},
		{"encoded name", "To: =?utf-8?q?J=C3=BCrgen?= <a@x>\r\nX: y\r\n z\r\n", []string{"a@x"}, "To: =?utf-8?q?J=C3=BCrgen?= <a@x>\r\nX: y\r\n z\r\n" + rest},
	} {
		got := string(ForEnvelope([]byte(tc.header+rest), tc.rcpts))
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	if got := string(ForEnvelope([]byte("To: a@x\n\nbody\n"), []string{"a@x"})); got != "To: a@x\n\nbody\n" {
		t.Errorf("bare line ends: %q", got)
	}
}

func TestMessageIDs(t *testing.T) {
	for v, want := range map[string][]string{
		"":                            nil,
		"a@x":                         nil,
		"<a@x>":                       {"a@x"},
		"<a@x> (said)\r\n <b\r\n @y>": {"a@x", "b@y"},
		"your mail <a@x>, <>, <cut@o": {"a@x"},
	} {
		if diff := cmp.Diff(want, MessageIDs(v)); diff != "" {
			t.Errorf("%q: %s", v, diff)
		}
	}
	if id := BareID(" <a@x> "); id != "a@x" {
		t.Errorf("bare id %q", id)
	}
}

func TestPreviewIsShortAndOnOneLine(t *testing.T) {
	if got := Preview("a\r\n\tb  c"); got != "a b c" {
		t.Errorf("preview %q", got)
	}
	if got := Preview(strings.Repeat("ä", 300)); got != strings.Repeat("ä", 256) {
		t.Errorf("%d runes", len([]rune(got)))
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("To: a@x\r\nContent-Type: text/plain\r\n\r\nx\r\n")
	f.Add(" folded first\n\nbody")
	f.Fuzz(func(t *testing.T, s string) {
		fields, body := Split([]byte(s))
		var whole strings.Builder
		for _, fl := range fields {
			whole.Write(fl.Raw)
		}
		whole.Write(body)
		if whole.String() != s {
			t.Errorf("%q came back as %q", s, whole.String())
		}
		ForEnvelope([]byte(s), []string{"a@x"})
		MessageIDs(s)
	})
}
