package session

import (
	"bytes"
	"strings"
	"unicode"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// maxPreview is how many characters a preview may have (RFC 8970, 3.2).
const maxPreview = 256

// preview reads what follows PREVIEW in a FETCH: nothing, or (LAZY), which asks
// for no more than is there already (RFC 8970, 4). The provider's own preview
// always is.
func (p *fetchPlan) preview(a *wire.Args) error {
	p.add(fetchItem{kind: itemPreview}, false)
	if !bytes.HasPrefix(a.Rest(), []byte(" (")) {
		return nil
	}
	a.More()
	modifiers := 0
	err := a.List(func() error {
		word, err := a.Atom()
		if err != nil {
			return err
		}
		if modifiers++; !strings.EqualFold(word, "LAZY") || modifiers > 1 {
			return a.Fail("the modifier of PREVIEW is LAZY")
		}
		return nil
	})
	if err == nil && modifiers == 0 {
		err = a.Fail("a modifier of PREVIEW is missing")
	}
	return err
}

// previewText holds a provider's preview to what RFC 8970, 3.2 says of one: a
// bounded text in UTF-8. Here it is one line, too.
func previewText(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n++; n > maxPreview {
			return s[:i]
		}
	}
	return s
}
