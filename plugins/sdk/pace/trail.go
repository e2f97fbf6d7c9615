package pace

import (
	"crypto/sha256"
	"fmt"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxEmpty is how many pages without an entry may follow each other. Providers
// allow for empty pages in between, and name no number.
const maxEmpty = 1000

// Trail follows the links from page to page, and tells a way that comes to no
// end: one that was taken before, or that leads to nothing. The zero value is
// at the first page.
type Trail struct {
	taken map[[sha256.Size]byte]bool
	empty int
}

// Follow takes a link that came with a page of so many entries.
func (t *Trail) Follow(op, link string, entries int) error {
	if t.taken == nil {
		t.taken = map[[sha256.Size]byte]bool{}
	}
	sum := sha256.Sum256([]byte(link))
	if t.taken[sum] {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "link_loop", Message: "the provider's links lead in a circle"}
	}
	t.taken[sum] = true
	t.empty++
	if entries > 0 {
		t.empty = 0
	}
	if t.empty > maxEmpty {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "no_end", Message: fmt.Sprintf("the provider gave %d empty pages in a row", t.empty)}
	}
	return nil
}
