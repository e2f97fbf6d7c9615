package session

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-mail/postern/store"
)

// List answers LIST (RFC 9051, 6.3.9) and LSUB (RFC 3501, 6.3.9). Special uses
// and whether there are mailboxes below are always told: programs that do not
// ask make folders of their own for what is there already.
func (s *Session) List(ctx context.Context, r ListRequest) ([]ListEntry, error) {
	if len(r.Patterns) == 0 {
		// The root of the hierarchy and its delimiter.
		return []ListEntry{{Attrs: []string{`\Noselect`}, Delimiter: Delimiter}}, nil
	}
	t, err := s.tree(ctx)
	if err != nil {
		return nil, err
	}
	var patterns []pattern
	for _, p := range r.Patterns {
		patterns = append(patterns, newPattern(r.Reference+p))
	}
	matches := func(name string, shown bool) bool {
		return slices.ContainsFunc(patterns, func(p pattern) bool { return (shown || p.exact) && p.match(name) })
	}
	var out []ListEntry
	for _, n := range t.nodes {
		if !matches(n.name, n.shown()) {
			continue
		}
		e := t.entry(n, r)
		switch {
		case n.mailbox == nil && (r.SelectSubscribed || r.LSUB) && slices.Contains(t.subscribed, n.name):
			continue // strays has it
		case r.meets(n.mailbox):
			e.ChildInfo = r.SelectRecursiveMatch && t.below(n, r, matches)
		case t.below(n, r, matches):
			e.ChildInfo = !r.LSUB
			if r.LSUB && n.mailbox != nil {
				e.Attrs = append(e.Attrs, `\Noselect`)
			}
		default:
			continue
		}
		out = append(out, e)
	}
	if r.SelectSubscribed || r.LSUB {
		out = append(out, t.strays(r, matches)...)
	}
	if r.ReturnStatus != nil {
		for i := range out {
			if n := t.byName[out[i].Name]; n != nil && !slices.Contains(out[i].Attrs, `\Noselect`) {
				// What cannot be told now is left out (RFC 5819, 2).
				if d, err := s.status(ctx, n, *r.ReturnStatus); err == nil {
					out[i].Status = d
				}
			}
		}
	}
	return out, nil
}

// meets reports whether a mailbox is what the selection options ask for; nil is
// a name without one.
func (r *ListRequest) meets(m *store.Mailbox) bool {
	if m == nil {
		return !r.SelectSubscribed && !r.LSUB && !r.SelectSpecialUse
	}
	if (r.SelectSubscribed || r.LSUB) && !m.Subscribed() {
		return false
	}
	return !r.SelectSpecialUse || uses[m.Role] != ""
}

// below reports whether a mailbox is listed for the sake of those below it:
// with RECURSIVEMATCH where one of them meets the options, with LSUB where one
// does that the pattern itself leaves out.
func (t *tree) below(n *node, r ListRequest, matches func(string, bool) bool) bool {
	if !r.SelectRecursiveMatch && !r.LSUB {
		return false
	}
	for _, c := range n.children {
		if r.meets(c.mailbox) && c.shown() && (!r.LSUB || !matches(c.name, true)) || t.below(c, r, matches) {
			return true
		}
	}
	return slices.ContainsFunc(t.subscribed, func(name string) bool {
		return !r.SelectSpecialUse && strings.HasPrefix(name, n.name+string(Delimiter)) && (!r.LSUB || !matches(name, true))
	})
}

// strays are names that were subscribed to and have no mailbox, and those above
// them that are listed in their place: LSUB with "%" has to (RFC 3501, 6.3.9).
func (t *tree) strays(r ListRequest, matches func(string, bool) bool) []ListEntry {
	var out []ListEntry
	if r.SelectSpecialUse {
		return nil
	}
	told := map[string]bool{}
	for _, name := range t.subscribed {
		if !matches(name, true) || r.SelectRecursiveMatch {
			out = append(out, t.aboveStray(name, r, matches, told)...)
		}
		if !matches(name, true) || told[name] {
			continue
		}
		told[name] = true
		e := ListEntry{Name: name, Delimiter: Delimiter, Attrs: []string{`\NonExistent`, `\Subscribed`}}
		if r.LSUB {
			e.Attrs = []string{`\Noselect`}
		}
		out = append(out, e)
	}
	return out
}

// aboveStray are the names above a stray that no mailbox is at or below.
func (t *tree) aboveStray(name string, r ListRequest, matches func(string, bool) bool, told map[string]bool) (out []ListEntry) {
	if !r.LSUB && !r.SelectRecursiveMatch {
		return nil
	}
	for i, c := range name {
		above := name[:i]
		if c != Delimiter || told[above] || t.byName[above] != nil || t.hollow[above] != nil || slices.Contains(t.subscribed, above) || !matches(above, true) {
			continue
		}
		told[above] = true
		e := ListEntry{Name: above, Delimiter: Delimiter, Attrs: []string{`\NonExistent`}, ChildInfo: true}
		if r.LSUB {
			e.Attrs, e.ChildInfo = []string{`\Noselect`}, false
		}
		out = append(out, e)
	}
	return out
}

// entry describes a mailbox.
func (t *tree) entry(n *node, r ListRequest) ListEntry {
	e := ListEntry{Name: n.name, Delimiter: Delimiter}
	if slices.ContainsFunc(n.children, (*node).shown) {
		e.Attrs = append(e.Attrs, `\HasChildren`)
	} else {
		e.Attrs = append(e.Attrs, `\HasNoChildren`)
	}
	if n.mailbox == nil {
		// \Noselect is the word for programs that do not know RFC 9051's.
		if !r.LSUB {
			e.Attrs = append(e.Attrs, `\NonExistent`)
		}
		e.Attrs = append(e.Attrs, `\Noselect`)
		return e
	}
	if use := uses[n.mailbox.Role]; use != "" {
		e.Attrs = append(e.Attrs, use)
	}
	if (r.SelectSubscribed || r.ReturnSubscribed) && !r.LSUB && n.mailbox.Subscribed() {
		e.Attrs = append(e.Attrs, `\Subscribed`)
	}
	return e
}

// pattern is a mailbox name with wildcards (RFC 9051, 6.3.9).
type pattern struct {
	text string
	// folded is the text as it matches INBOX and what is below it, in whichever
	// case the client wrote that; empty where it is the text.
	folded string
	// exact: it has none.
	exact bool
}

func newPattern(s string) pattern {
	p := pattern{text: foldInbox(s), exact: !strings.ContainsAny(s, "*%")}
	if n := len(inbox); len(s) > n && strings.EqualFold(s[:n], inbox) && (s[n] == '*' || s[n] == '%') {
		p.folded = inbox + s[n:]
	}
	return p
}

// match compares in time of the product of the lengths, whatever the pattern.
func (p pattern) match(name string) bool {
	if p.exact {
		return p.text == name
	}
	if p.folded != "" && (name == inbox || strings.HasPrefix(name, inbox+string(Delimiter))) {
		return pattern{text: p.folded}.match(name)
	}
	// reach[i]: the pattern so far can end at name[:i].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '*', '%':
			if i > 0 && p.text[i-1] == c {
				continue
			}
			for j := 1; j <= len(name); j++ {
				reach[j] = reach[j] || reach[j-1] && (c == '*' || name[j-1] != Delimiter)
			}
		default:
			for j := len(name); j > 0; j-- {
				reach[j] = reach[j-1] && name[j-1] == c
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}
