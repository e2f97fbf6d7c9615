package gmail

import (
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// categorise is a fixed stand-in for the service's sorting of new mail: the
// category by what the header tells of who writes, IMPORTANT for what a person
// writes to the owner by name.
func categorise(c *content, owner string) []string {
	from := strings.ToLower(c.field("From"))
	switch {
	case c.header.Has("List-Id") || c.header.Has("Mailing-List"):
		return []string{"CATEGORY_FORUMS"}
	case c.header.Has("List-Unsubscribe"):
		return []string{"CATEGORY_PROMOTIONS"}
	case strings.Contains(from, "facebook") || strings.Contains(from, "linkedin") || strings.Contains(from, "mastodon"):
		return []string{"CATEGORY_SOCIAL"}
	case c.header.Has("Auto-Submitted") || strings.Contains(from, "noreply") || strings.Contains(from, "no-reply") || strings.Contains(from, "postmaster@"):
		return []string{"CATEGORY_UPDATES"}
	}
	labels := []string{"CATEGORY_PERSONAL"}
	for _, to := range mimetree.ParseAddresses(c.header.All("To"), c.charset) {
		if mimetree.SameAddress(to.Address, owner) {
			return append(labels, labelImportant)
		}
	}
	return labels
}
