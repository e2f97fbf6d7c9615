package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, level string }{
		{"Work", "Work"}, {"a/b", "a=2Fb"}, {"", "="}, {"=", "=3D"}, {"=2F", "=3D2F"}, {"=41", "=41"}, {"x=", "x="},
		{"tab\there", "tab=09here"}, {"\x7f", "=7F"}, {"Büro & Söhne", "Büro & Söhne"}, {"bad\xff", "bad=FF"}, {"100%*", "100%*"},
		{"=3D", "=3D3D"}, {`quote"back\`, `quote"back\`}, {"日本語", "日本語"},
	} {
		if got := encodeName(tt.name); got != tt.level {
			t.Errorf("encodeName(%q) = %q, want %q", tt.name, got, tt.level)
		}
		if got := decodeName(tt.level); got != tt.name {
			t.Errorf("decodeName(%q) = %q, want %q", tt.level, got, tt.name)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a/b=2F")
	f.Add("=\xff/")
	f.Fuzz(func(t *testing.T, name string) {
		level := encodeName(name)
		if strings.ContainsAny(level, "/\r\n\x00") || level == "" {
			t.Fatalf("%q became %q", name, level)
		}
		if back := decodeName(level); back != name {
			t.Fatalf("%q became %q and then %q", name, level, back)
		}
	})
}

// boxes makes mailboxes of "id parent name" lines.
func boxes(lines ...string) []*store.Mailbox {
	var out []*store.Mailbox
	for i, l := range lines {
		f := strings.SplitN(l, " ", 3)
		m := &store.Mailbox{ID: f[0], Parent: strings.Trim(f[1], "-"), Name: f[2], CreatedAt: time.Unix(int64(i), 0)}
		switch role, isRole := strings.CutPrefix(f[0], "role:"); {
		case isRole:
			m.Role = mail.Role(role)
		case f[0] == "hidden":
			m.Hidden = true
		}
		out = append(out, m)
	}
	return out
}

func TestTreeNamesEachMailboxOnce(t *testing.T) {
	list := boxes("b1 - inbox", "role:inbox - Posteingang", "c1 role:inbox Kind", "w1111111112222222 - Work", "w3333333334444444 - Work",
		"s1 w3333333334444444 a/b", "ring1 ring2 R1", "ring2 ring1 R2", "orphan nobody Orphan", "e1 - ", "low - iNbOx/x")
	tree := newTree(list, nil)
	var names []string
	for _, n := range tree.nodes {
		names = append(names, n.name)
	}
	want := []string{"INBOX", "=", "INBOX/Kind", "INBOX=~b1", "Orphan", "R2", "R2/R1", "Work", "Work=~34444444", "Work=~34444444/a=2Fb", "iNbOx=2Fx"}
	slices.Sort(names)
	slices.Sort(want)
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	twice := boxes("role:inbox - A", "other - B")
	twice[1].Role = mail.RoleInbox
	if two := newTree(twice, nil); len(two.nodes) != 2 || two.byName["INBOX"].mailbox != twice[0] || two.byName["B"] == nil {
		t.Errorf("two inboxes: %v", two.byName)
	}
	if n, err := tree.find("inbox/Kind"); err != nil || n.mailbox.ID != "c1" {
		t.Errorf("inbox/Kind: %v, %v", n, err)
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no string
	}{
		{"*", "INBOX a a/b", ""},
		{"%", "INBOX a", "a/b"},
		{"a/%", "a/b", "a a/b/c"},
		{"a*", "a ab a/b a/b/c", "b"},
		{"%/%", "a/b", "a a/b/c"},
		{"*b", "b ab a/b", "bc"},
		{"inbox", "INBOX", "inbox2"},
		{"iNbOx/%", "INBOX/x", "INBOX"},
		{"%%%*%%*c", "c abc a/c", "d"},
		{"**", "a a/b", ""},
		{"ä%", "ä äb", "ä/b"},
	} {
		p := newPattern(tt.pattern)
		for _, name := range strings.Fields(tt.yes) {
			if !p.match(name) {
				t.Errorf("%s does not match %s", tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.no) {
			if p.match(name) {
				t.Errorf("%s matches %s", tt.pattern, name)
			}
		}
	}
}
