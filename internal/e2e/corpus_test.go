package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html"
	"golang.org/x/text/encoding/charmap"
)

// TestCorpus: every message of a folder of mail is listed with what an
// independent parser reads in it, and served as the bytes that the provider
// holds. The folders are the shared corpus of real mail, where it is present,
// and always one of generated mail.
func TestCorpus(t *testing.T) {
	t.Parallel()
	if real := filepath.Join(root(), "..", "shared", "corpus", "mail"); isDir(real) {
		t.Run("real", func(t *testing.T) {
			c := newComparison(t, real)
			if c.count < 1500 {
				t.Errorf("%d messages in %s, want 1,500", c.count, real)
			}
			c.run(startDemo(t, "--mail", real))
			c.limit(map[string]int{
				wrongCharset: 22, noBoundary: 2, separator: 1, sameName: 5, unreadFrom: 17, unreadDate: 8,
			})
		})
	}
	t.Run("generated", func(t *testing.T) {
		dir := t.TempDir()
		for i, raw := range uglyMail(240) {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("ugly-%03d.eml", i)), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := newComparison(t, dir)
		c.run(startDemo(t, "--mail", dir))
		c.limit(map[string]int{})
	})
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// comparison holds what the gateway lists against the files and against the
// sandbox. The gateway and enmime may differ where a message breaks the rules
// and both make the best of it: those differences are explained, counted and
// limited.
type comparison struct {
	t     *testing.T
	files map[string][]string // names by digest: some messages come twice
	raw   map[string][]byte   // by digest

	count int // of files

	mu        sync.Mutex
	explained map[string][]string // names of files by explanation
}

func newComparison(t *testing.T, dir string) *comparison {
	t.Helper()
	c := &comparison{t: t, files: map[string][]string{}, raw: map[string][]byte{}, explained: map[string][]string{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no mail in %s: %v", dir, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		raw = normalised(raw)
		sum := digest(raw)
		c.files[sum] = append(c.files[sum], filepath.Base(name))
		c.raw[sum] = raw
		c.count++
	}
	return c
}

// normalised is what a provider makes of a file when it takes it in: no mbox
// line in front, CRLF at the end of every line.
func normalised(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte(">From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// listed is a message as GraphQL lists it.
type listed struct {
	ProviderID string
	Subject    string
	From       []struct{ Name, Email string }
	SentAt     *time.Time
	Size       *int64
	Text, HTML *string
	Truncated  bool
	Raw        string
}

func (c *comparison) run(d *demo) {
	c.t.Helper()
	var truth []struct {
		ID     string
		Size   int64
		SHA256 string
	}
	d.control("GET", "/control/users/"+ada+"/messages", "", &truth)
	sums, sizes, missing := map[string]string{}, map[string]int64{}, map[string]int{}
	for sum, names := range c.files {
		missing[sum] = len(names)
	}
	for _, m := range truth {
		if len(c.files[m.SHA256]) > 0 {
			sums[m.ID], sizes[m.ID] = m.SHA256, m.Size
			missing[m.SHA256]--
		}
	}
	for sum, n := range missing {
		if n > 0 {
			c.t.Errorf("%v: the sandbox does not serve these bytes", c.files[sum])
		}
	}
	var group sync.WaitGroup
	work := make(chan listed)
	for range 8 {
		group.Go(func() {
			for m := range work {
				c.message(m, sums[m.ProviderID], sizes[m.ProviderID])
			}
		})
	}
	seen := map[string]int{}
	d.eachMessage(ada, 25, `providerId subject from { name email } sentAt text html truncated raw`, func(m listed) {
		if sum := sums[m.ProviderID]; sum != "" {
			seen[sum]++
			work <- m
		}
	})
	close(work)
	group.Wait()
	// Once the bytes are here, so is their number.
	d.eachMessage(ada, 200, `providerId size`, func(m listed) {
		if size, ours := sizes[m.ProviderID]; ours && (m.Size == nil || *m.Size != size) {
			c.t.Errorf("%v: size %v, want %d", c.files[sums[m.ProviderID]], m.Size, size)
		}
	})
	for sum, names := range c.files {
		if seen[sum] != len(names) {
			c.t.Errorf("%v: listed %d times, want %d", names, seen[sum], len(names))
		}
	}
}

// eachMessage lists an account's messages, page by page.
func (d *demo) eachMessage(address string, page int, fields string, each func(listed)) {
	d.t.Helper()
	var after any
	for {
		var got struct {
			Account struct {
				Messages struct {
					Edges    []struct{ Node listed }
					PageInfo struct {
						EndCursor   string
						HasNextPage bool
					}
				}
			}
		}
		d.query(`query($id: ID!, $first: Int!, $after: String) { account(id: $id) { messages(first: $first, after: $after) {
			edges { node { `+fields+` } } pageInfo { endCursor hasNextPage } } } }`,
			map[string]any{"id": d.account(address), "first": page, "after": after}, &got)
		for _, e := range got.Account.Messages.Edges {
			each(e.Node)
		}
		if !got.Account.Messages.PageInfo.HasNextPage {
			return
		}
		after = got.Account.Messages.PageInfo.EndCursor
	}
}

func (c *comparison) message(m listed, sum string, size int64) {
	name := c.files[sum][0]
	raw, err := download(m.Raw)
	if err != nil || digest(raw) != sum || int64(len(raw)) != size {
		c.t.Errorf("%s: raw is not what the sandbox serves: %d bytes, want %d: %v", name, len(raw), size, err)
	}
	// Without text made of HTML, which we do not make.
	want, err := enmime.NewParser(enmime.DisableTextConversion(true)).ReadEnvelope(bytes.NewReader(c.raw[sum]))
	if err != nil {
		c.t.Errorf("%s: enmime: %v", name, err)
		return
	}
	c.same(name, "subject", m.Subject, want.GetHeader("Subject"))
	c.from(name, m, want)
	c.date(name, m, want)
	c.same(name, "text", deref(m.Text), want.Text)
	c.same(name, "html", visible(deref(m.HTML)), visible(want.HTML))
	if m.Truncated {
		c.t.Errorf("%s: truncated", name)
	}
}

// The differences that have an explanation.
const (
	wrongCharset = "bytes that fit no declaration, or another one, of which enmime makes something else"
	noBoundary   = "a multipart whose boundary is not the one it names: enmime gives up"
	separator    = "enmime separates the texts of a message by dashes"
	sameName     = "a sender whose name is the address, which Graph does not tell from one without a name"
	unreadFrom   = "a sender that enmime cannot read"
	unreadDate   = "a date that enmime cannot read"
)

func (c *comparison) explain(why, name, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.explained[why] = append(c.explained[why], name+" "+what)
}

func (c *comparison) from(name string, m listed, want *enmime.Envelope) {
	field := want.GetHeader("From")
	if len(m.From) == 0 {
		if field != "" {
			c.t.Errorf("%s: from nobody, the field is %q", name, field)
		}
		return
	}
	got := m.From[0]
	list, err := want.AddressList("From")
	if err != nil || len(list) == 0 {
		if !strings.Contains(squeezed(field), squeezed(got.Email)) {
			c.t.Errorf("%s: from %v, which is not in %q", name, got, field)
		}
		c.explain(unreadFrom, name, field)
		return
	}
	if !strings.EqualFold(got.Email, list[0].Address) {
		c.t.Errorf("%s: from %v, want %v", name, m.From, list)
	}
	if got.Name == "" && strings.EqualFold(list[0].Name, list[0].Address) {
		c.explain(sameName, name, "from")
		return
	}
	c.same(name, "from", got.Name, list[0].Name)
}

func (c *comparison) date(name string, m listed, want *enmime.Envelope) {
	date, err := want.Date()
	if err == nil {
		if m.SentAt == nil || !m.SentAt.Equal(date) {
			c.t.Errorf("%s: sent at %v, want %v", name, m.SentAt, date)
		}
		return
	}
	// What only we read has at least the seconds of the field.
	field := want.GetHeader("Date")
	if m.SentAt == nil || !strings.Contains(field, m.SentAt.Format(":05")) {
		c.t.Errorf("%s: sent at %v, the field is %q", name, m.SentAt, field)
	}
	c.explain(unreadDate, name, field)
}

// same compares without white space, and explains what may differ.
func (c *comparison) same(name, what, got, want string) {
	got, want = squeezed(got), squeezed(want)
	switch {
	case got == want:
	case asciiOf(got) == asciiOf(want) && !strings.ContainsRune(got, unicode.ReplacementChar) && misread(got, want):
		c.explain(wrongCharset, name, what)
	case want == "" && got != "":
		c.explain(noBoundary, name, what)
	case strings.ReplaceAll(got, "-", "") == strings.ReplaceAll(want, "-", ""):
		c.explain(separator, name, what)
	default:
		i := 0
		for i < len(got) && i < len(want) && got[i] == want[i] {
			i++
		}
		i = max(0, i-20)
		c.t.Errorf("%s: %s differs at %d:\n got %.100q\nwant %.100q", name, what, i, got[i:], want[i:])
	}
}

// misread reports whether enmime's text is what comes of reading bytes in
// another charset than their own: characters that stand for what could not be
// read, or the bytes of UTF-8 taken for characters each.
func misread(got, want string) bool {
	if strings.ContainsRune(want, unicode.ReplacementChar) {
		return true
	}
	bytes, err := charmap.Windows1252.NewEncoder().String(want)
	return err == nil && bytes == got
}

func asciiOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= unicode.MaxASCII {
			return -1
		}
		return r
	}, s)
}

func (c *comparison) limit(most map[string]int) {
	for why, names := range c.explained {
		slices.Sort(names)
		c.t.Logf("%d: %s: %q", len(names), why, names)
		if len(names) > most[why] {
			c.t.Errorf("%d differences (%s), at most %d are expected", len(names), why, most[why])
		}
	}
}

func download(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// visible gives the text of HTML, without what is never shown and so may be
// cleaned away.
func visible(s string) string {
	hidden := []string{"script", "style", "title", "noscript", "iframe", "object", "frame", "frameset", "noembed", "noframes", "nostyle"}
	var out strings.Builder
	skip := 0
	for z := html.NewTokenizer(strings.NewReader(s)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return out.String()
		case html.TextToken:
			if skip == 0 {
				out.Write(z.Text())
			}
		case html.StartTagToken:
			if name, _ := z.TagName(); slices.Contains(hidden, string(name)) {
				skip++
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); slices.Contains(hidden, string(name)) && skip > 0 {
				skip--
			}
		}
	}
}

// squeezed is text without white space, whose amount is a matter of taste.
func squeezed(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\u00a0' || r == '\ufeff' {
			return -1
		}
		return r
	}, s)
}
