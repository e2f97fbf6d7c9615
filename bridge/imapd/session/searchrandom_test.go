package session

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// randomKey makes a search key, and the same as a function on what the test
// knows of a message: an evaluator of its own.
func randomKey(r *rand.Rand, messages []*searched, depth int) (string, func(*searched) bool) {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	if depth > 0 {
		switch r.IntN(6) {
		case 0:
			a, fa := randomKey(r, messages, depth-1)
			b, fb := randomKey(r, messages, depth-1)
			return "OR " + a + " " + b, func(m *searched) bool { return fa(m) || fb(m) }
		case 1:
			a, fa := randomKey(r, messages, depth-1)
			return "NOT " + a, func(m *searched) bool { return !fa(m) }
		case 2:
			a, fa := randomKey(r, messages, depth-1)
			b, fb := randomKey(r, messages, depth-1)
			c, fc := randomKey(r, messages, depth-1)
			return "(" + a + " " + b + " " + c + ")", func(m *searched) bool { return fa(m) && fb(m) && fc(m) }
		}
	}
	has := func(m *searched, keyword string) bool {
		for _, k := range m.keywords {
			if k == keyword {
				return true
			}
		}
		return false
	}
	day := time.Date(2026, 3, 1+r.IntN(12), 0, 0, 0, 0, time.UTC)
	date := day.Format("2-Jan-2006")
	text := pick("alpha", "BETA", "amm", "größe", "ÖSS", "請求", "発", "absent", "e", "bob", "@example")
	holds := func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(text)) }
	n := uint32(1 + r.IntN(len(messages)))
	k := n + uint32(r.IntN(9))
	switch word := pick("ALL", "SEEN", "UNSEEN", "FLAGGED", "UNANSWERED", "DELETED", "UNDELETED", "KEYWORD", "UID", "SEQ",
		"ON", "SINCE", "BEFORE", "SENTON", "SENTSINCE", "SENTBEFORE", "LARGER", "SMALLER",
		"SUBJECT", "FROM", "TO", "CC", "HEADER", "BODY", "TEXT"); word {
	case "SEEN", "FLAGGED":
		return word, func(m *searched) bool { return has(m, "$"+strings.ToLower(word)) }
	case "UNSEEN", "UNANSWERED":
		return word, func(m *searched) bool { return !has(m, "$"+strings.ToLower(word[2:])) }
	case "DELETED":
		return word, func(m *searched) bool { return m.deleted }
	case "UNDELETED":
		return word, func(m *searched) bool { return !m.deleted }
	case "KEYWORD":
		return "KEYWORD Project", func(m *searched) bool { return has(m, "project") }
	case "UID":
		return fmt.Sprintf("UID %d:%d", k, n), func(m *searched) bool {
			// A range with no end in the mailbox is no error, and holds what is there.
			return m.uid >= n && m.uid <= k
		}
	case "SEQ":
		return fmt.Sprintf("%d,*", n), func(m *searched) bool { return m.seq == n || int(m.seq) == len(messages) }
	case "ON":
		return word + " " + date, func(m *searched) bool { return m.arrived.Truncate(24 * time.Hour).Equal(day) }
	case "SINCE":
		return word + " " + date, func(m *searched) bool { return !m.arrived.Before(day) }
	case "BEFORE":
		return word + " " + date, func(m *searched) bool { return m.arrived.Before(day) }
	case "SENTON":
		return word + " " + date, func(m *searched) bool { return sentDay(m) == day.Day() }
	case "SENTSINCE":
		return word + " " + date, func(m *searched) bool { return sentDay(m) >= day.Day() }
	case "SENTBEFORE":
		return word + " " + date, func(m *searched) bool { return sentDay(m) > 0 && sentDay(m) < day.Day() }
	case "LARGER":
		return fmt.Sprintf("LARGER %d", 250+10*n), func(m *searched) bool { return m.size > int64(250+10*n) }
	case "SMALLER":
		return fmt.Sprintf("SMALLER %d", 250+10*n), func(m *searched) bool { return m.size < int64(250+10*n) }
	case "SUBJECT":
		return fmt.Sprintf("SUBJECT %q", text), func(m *searched) bool { return holds(m.subject) }
	case "FROM":
		return fmt.Sprintf("FROM %q", text), func(m *searched) bool { return holds(m.from) }
	case "TO":
		return fmt.Sprintf("TO %q", text), func(m *searched) bool { return holds(m.to) }
	case "CC":
		return fmt.Sprintf("CC %q", text), func(m *searched) bool { return m.cc != "" && holds(m.cc) }
	case "HEADER":
		return fmt.Sprintf("HEADER X-Test %q", text), func(m *searched) bool {
			_, value, ok := strings.Cut(m.extra, ": ")
			return ok && m.here && holds(value)
		}
	case "BODY":
		return fmt.Sprintf("BODY %q", text), func(m *searched) bool { return m.here && holds(m.body) }
	case "TEXT":
		if text == "e" { // which header lines have an e is not the question
			text = "alpha"
		}
		return fmt.Sprintf("TEXT %q", text), func(m *searched) bool {
			if holds(m.subject+"\n"+m.from+"\n"+m.to+"\n"+m.cc) || text == "@example" {
				return true
			}
			return m.here && holds(m.body+"\n"+m.extra)
		}
	}
	return "ALL", func(*searched) bool { return true }
}

// sentDay is the day that the Date field says, 0 without one.
func sentDay(m *searched) int {
	_, rest, _ := strings.Cut(m.sent, ", ")
	n, err := strconv.Atoi(strings.TrimLeft(strings.SplitN(rest, " ", 2)[0], "0"))
	if err != nil {
		return 0
	}
	return n
}

func randomMessages(r *rand.Rand, n int) []*searched {
	word := func(n int) string {
		all := []string{"alpha", "Beta", "Gamma", "Größe", "Schöße", "請求書", "発注", "delta", "epsilon"}
		var out []string
		for range n {
			out = append(out, all[r.IntN(len(all))])
		}
		return strings.Join(out, " ")
	}
	var out []*searched
	for i := range n {
		at := time.Date(2026, 3, 1+i*10/n, r.IntN(24), r.IntN(60), 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
		m := &searched{from: []string{"Bob <bob@example.org>", "Alpha <carol@example.org>"}[r.IntN(2)], to: "dave@example.org",
			subject: word(1 + r.IntN(3)), body: word(r.IntN(30)), arrived: at, here: r.IntN(4) > 0, deleted: r.IntN(5) == 0}
		if r.IntN(3) == 0 {
			m.cc = "Beta <beta@example.org>"
		}
		if r.IntN(3) == 0 {
			m.extra = "X-Test: delta gamma"
		}
		if r.IntN(5) > 0 {
			// Messages that are not here have the date in UTC alone.
			m.sent = at.Format("Mon, 02 Jan 2006 15:04:05") + " +0000"
			if m.here {
				m.sent = at.Format("Mon, 2 Jan 2006 15:04:05") + " -0800"
			}
		}
		for _, k := range []string{"$seen", "$flagged", "$answered", "project"} {
			if r.IntN(2) == 0 {
				m.keywords = append(m.keywords, k)
			}
		}
		out = append(out, m)
	}
	return out
}

// The evaluator, with its order of keys and its short cuts, gives what every
// key by itself gives on what the test knows.
func TestSearchRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	messages := randomMessages(r, 60)
	c := searchClient(t, messages)
	for range 1500 {
		key, holds := randomKey(r, messages, 4)
		var seqs strings.Builder
		for seq := uint32(1); int(seq) <= len(messages); seq++ {
			for _, m := range messages {
				if m.seq == seq && holds(m) {
					fmt.Fprintf(&seqs, " %d", seq)
				}
			}
		}
		if got, want := c.ask("SEARCH "+key, false, false), "* SEARCH"+seqs.String()+"\nOK"; got != want {
			t.Fatalf("SEARCH %s:\n got %s\nwant %s", key, got, want)
		}
	}
}
