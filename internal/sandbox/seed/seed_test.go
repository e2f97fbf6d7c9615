package seed

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

var (
	ada   = Person{"Ada Lovelace", "ada@contoso.example"}
	grace = Person{"Grace Hopper", "grace@contoso.example"}
	now   = time.Date(2026, 3, 4, 15, 30, 0, 0, time.UTC)
)

func mailbox(t *testing.T, seed uint64, owner, peer Person) []cloud.Delivery {
	t.Helper()
	got, err := Mailbox(seed, owner, peer, now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheSameSeedGivesTheSameMail(t *testing.T) {
	a, b := mailbox(t, 7, ada, grace), mailbox(t, 7, ada, grace)
	if len(a) != len(b) {
		t.Fatalf("%d and %d messages", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i].Raw, b[i].Raw) || !a[i].Date.Equal(b[i].Date) || a[i].Mailbox != b[i].Mailbox {
			t.Fatalf("message %d differs", i)
		}
	}
	if c := mailbox(t, 8, ada, grace); bytes.Equal(a[0].Raw, c[0].Raw) {
		t.Error("another seed gives the same mail")
	}
	if c := mailbox(t, 7, grace, ada); bytes.Equal(a[0].Raw, c[0].Raw) {
		t.Error("another owner has the same mail")
	}
}

// An independent parser reads every message without a complaint and finds what
// was meant.
func TestEveryMessageIsSound(t *testing.T) {
	for _, owner := range []Person{ada, grace} {
		ids := map[string]bool{}
		for i, d := range mailbox(t, 1, owner, grace) {
			if bytes.Count(d.Raw, []byte("\n")) != bytes.Count(d.Raw, []byte("\r\n")) {
				t.Errorf("message %d has bare line ends", i)
			}
			for line := range bytes.SplitSeq(d.Raw, []byte("\r\n")) {
				if len(line) > 998 {
					t.Errorf("message %d has a line of %d bytes", i, len(line))
				}
			}
			env, err := enmime.ReadEnvelope(bytes.NewReader(d.Raw))
			if err != nil {
				t.Fatalf("message %d: %v\n%s", i, err, d.Raw)
			}
			for _, e := range env.Errors {
				// Its guess at a charset is wrong for short texts.
				if e.Severe || e.Name != "Plain Text from HTML" && e.Name != "Character Set Declaration Mismatch" {
					t.Errorf("message %d: %v", i, e)
				}
			}
			if id := env.GetHeader("Message-ID"); id == "" || ids[id] {
				t.Errorf("message %d: Message-ID %q is missing or used twice", i, id)
			} else {
				ids[id] = true
			}
			if from, err := env.AddressList("From"); err != nil || len(from) != 1 {
				t.Errorf("message %d: From %v, %v", i, from, err)
			}
			if strings.ContainsRune(env.Text+env.GetHeader("Subject"), '\ufffd') {
				t.Errorf("message %d: a character got lost: %q %q", i, env.GetHeader("Subject"), env.Text)
			}
			if d.Date.After(now) || d.Date.Before(now.AddDate(0, 0, -120)) {
				t.Errorf("message %d: date %v", i, d.Date)
			}
		}
	}
}

func TestVariety(t *testing.T) {
	all := mailbox(t, 1, ada, grace)
	if len(all) < 55 || len(all) > 75 {
		t.Errorf("%d messages, want about 60", len(all))
	}
	folders, keywords := map[string]int{}, map[string]int{}
	var charsets = map[string]int{}
	attachments, inline, html, unread, replies := 0, 0, 0, 0, 0
	found := false
	for _, d := range all {
		folders[d.Mailbox]++
		seen := false
		for _, k := range d.Keywords {
			keywords[k]++
			seen = seen || k == "$seen"
		}
		if !seen {
			unread++
		}
		env, err := enmime.ReadEnvelope(bytes.NewReader(d.Raw))
		if err != nil {
			t.Fatal(err)
		}
		attachments += len(env.Attachments)
		inline += len(env.Inlines)
		if env.HTML != "" {
			html++
		}
		if env.GetHeader("In-Reply-To") != "" {
			replies++
		}
		for _, c := range []string{"iso-2022-jp", "windows-1252", "iso-8859-1", "koi8-r", "utf-8"} {
			if bytes.Contains(d.Raw, []byte("charset="+c)) {
				charsets[c]++
			}
		}
		found = found || env.GetHeader("Subject") == "海水中の二酸化炭素の測定について"
	}
	for _, f := range []string{"", "sentitems", "archive", "drafts", "junkemail", "deleteditems", FolderEngine, FolderTravel, FolderReceipt} {
		if folders[f] == 0 {
			t.Errorf("nothing in %q: %v", f, folders)
		}
	}
	for _, k := range []string{"$seen", "$flagged", "$answered", "$draft"} {
		if keywords[k] == 0 {
			t.Errorf("nothing is %s", k)
		}
	}
	if len(charsets) != 5 || attachments < 8 || inline < 5 || html < 15 || unread < 5 || replies < 10 || !found {
		t.Errorf("charsets %v, %d attachments, %d inline, %d html, %d unread, %d replies, japanese %v", charsets, attachments, inline, html, unread, replies, found)
	}
}
