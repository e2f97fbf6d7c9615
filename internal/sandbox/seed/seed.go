package seed

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A Person sends or receives mail.
type Person struct{ Name, Address string }

// Folders beside the well-known ones that seeded mail is filed in.
const (
	FolderEngine  = "Projects/Analytical Engine"
	FolderTravel  = "Projects/Travel"
	FolderReceipt = "Receipts"
)

type writer struct {
	rand  *rand.Rand
	owner Person
	peer  Person
	now   time.Time
	n     int
	out   []cloud.Delivery
}

// Mailbox writes about sixty messages for the owner, who knows the peer, as if
// it were now. They are ordered oldest first.
func Mailbox(seed uint64, owner, peer Person, now time.Time) ([]cloud.Delivery, error) {
	var salt uint64
	for _, r := range strings.ToLower(owner.Address) {
		salt = salt*31 + uint64(r)
	}
	w := &writer{rand: rand.New(rand.NewPCG(seed, salt)), owner: owner, peer: peer, now: now.UTC().Truncate(time.Second)}
	for _, part := range []func() error{w.threads, w.newsletters, w.notices, w.charsets, w.oddities, w.drafts} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("seed the mailbox of %s: %w", owner.Address, err)
		}
	}
	slices.SortStableFunc(w.out, func(a, b cloud.Delivery) int { return cmp.Compare(a.Date.UnixNano(), b.Date.UnixNano()) })
	return w.out, nil
}

// ago is a time in the past, in working hours.
func (w *writer) ago(days int) time.Time {
	day := w.now.AddDate(0, 0, -days)
	t := time.Date(day.Year(), day.Month(), day.Day(), 7+w.rand.IntN(11), w.rand.IntN(60), w.rand.IntN(60), 0, time.UTC)
	if t.After(w.now) { // today, before working hours
		t = w.now.Add(-time.Duration(1+w.rand.IntN(50)) * time.Minute)
	}
	return t
}

func (w *writer) id(from Person) string {
	w.n++
	_, domain, _ := strings.Cut(from.Address, "@")
	return fmt.Sprintf("<%08x.%04d@%s>", w.rand.Uint32(), w.n, domain)
}

func (w *writer) pick(words ...string) string { return words[w.rand.IntN(len(words))] }

// put files a message. What the owner sent lies in Sent Items and is read.
func (w *writer) put(folder string, m mail, keywords ...string) error {
	if m.ID == "" {
		m.ID = w.id(m.From)
	}
	if m.From == w.owner && folder == "" {
		folder = "sentitems"
	}
	if (m.From == w.owner || w.now.Sub(m.Date) > 10*24*time.Hour) && !slices.Contains(keywords, "$seen") && !slices.Contains(keywords, "unread") {
		keywords = append(keywords, "$seen")
	}
	keywords = slices.DeleteFunc(keywords, func(k string) bool { return k == "unread" })
	raw, err := m.compose(w.rand)
	if err != nil {
		return err
	}
	w.out = append(w.out, cloud.Delivery{Mailbox: folder, Date: m.Date, Keywords: keywords, Raw: raw})
	return nil
}

// A turn is one message of a thread.
type turn struct {
	from     Person
	text     string
	attach   []part
	keywords []string
}

// thread puts a conversation, whose answers quote what they answer. Mail that
// the owner received goes to folder.
func (w *writer) thread(folder, subject string, days int, people []Person, turns ...turn) error {
	when := w.ago(days)
	var previous mail
	for i, t := range turns {
		m := mail{From: t.from, Subject: subject, Date: when, Text: t.text, Attach: t.attach, ID: w.id(t.from)}
		for _, p := range people {
			if p == t.from {
				continue
			}
			if len(m.To) == 0 {
				m.To = append(m.To, p)
			} else {
				m.Cc = append(m.Cc, p)
			}
		}
		if i > 0 {
			m.Subject = "Re: " + subject
			m.InReplyTo = previous.ID
			m.References = append(slices.Clone(previous.References), previous.ID)
			m.Text += "\n\n" + quote(previous)
		}
		if i%2 == 1 || len(t.attach) > 0 {
			m.HTML = paragraphs(t.text)
			if i > 0 {
				m.HTML += "<blockquote>" + paragraphs(previous.Text) + "</blockquote>"
			}
		}
		into := folder
		if t.from == w.owner {
			into = ""
		}
		if err := w.put(into, m, t.keywords...); err != nil {
			return err
		}
		previous = m
		when = when.Add(time.Duration(20+w.rand.IntN(400)) * time.Minute)
		if when.After(w.now) {
			when = w.now.Add(-time.Duration(len(turns)-i) * time.Minute)
		}
	}
	return nil
}

func quote(m mail) string {
	lines := strings.Split(m.Text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight("> "+l, " ")
	}
	return fmt.Sprintf("On %s, %s wrote:\n%s", m.Date.Format("Mon, 2 Jan 2006 at 15:04"), m.From.Name, strings.Join(lines, "\n"))
}
