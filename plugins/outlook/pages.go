package outlook

import (
	"crypto/sha256"
	"fmt"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

const (
	// maxEmpty is how many pages without an entry may follow each other. Graph's
	// documents allow for empty pages in between, and name no number.
	maxEmpty = 1000
	// maxFolders is more folders than any mailbox has.
	maxFolders = 100_000
)

// pages follows the links from page to page, and tells a way that comes to no
// end: one that was taken before, or that leads to nothing. The zero value is
// at the first page.
type pages struct {
	taken map[[sha256.Size]byte]bool
	empty int
}

// follow takes a link that came with a page of so many entries.
func (p *pages) follow(op, link string, entries int) error {
	if p.taken == nil {
		p.taken = map[[sha256.Size]byte]bool{}
	}
	sum := sha256.Sum256([]byte(link))
	if p.taken[sum] {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "link_loop", Message: "the provider's links lead in a circle"}
	}
	p.taken[sum] = true
	p.empty++
	if entries > 0 {
		p.empty = 0
	}
	if p.empty > maxEmpty {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: "no_end", Message: fmt.Sprintf("the provider gave %d empty pages in a row", p.empty)}
	}
	return nil
}
