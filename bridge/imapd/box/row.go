package box

import (
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Row is one message of a mailbox: what FETCH FLAGS, SEARCH by flag, size and
// date, and every command that addresses messages need.
type Row struct {
	UID uint32
	// Message is our id of the message.
	Message string
	// Keywords are in JMAP's spelling, sorted. They are shared: do not change
	// them.
	Keywords []string
	// Deleted is IMAP's \Deleted, which stays with us.
	Deleted bool
	ModSeq  uint64
	// Size is the length of the message, 0 while only its bytes could tell.
	Size int64
	// Date is INTERNALDATE, in seconds since 1970.
	Date int64

	set *set
}

// Has reports whether the message carries a keyword.
func (r *Row) Has(keyword string) bool {
	for _, k := range r.Keywords {
		if k == keyword {
			return true
		}
	}
	return false
}

// Flags are the IMAP flags of a row. They are shared: do not change them.
func Flags(r Row) []string {
	if r.set != nil {
		return r.set.flags[deletedIndex(r.Deleted)]
	}
	return flagsOf(r.Keywords, r.Deleted)
}

// FlagList gives the flags as they go on the wire: "(\Seen \Flagged)".
func FlagList(r Row) string {
	if r.set != nil {
		return r.set.list[deletedIndex(r.Deleted)]
	}
	return listOf(Flags(r))
}

// ListOf gives the flags of keywords as they go on the wire.
func ListOf(keywords []string, deleted bool) string { return listOf(flagsOf(keywords, deleted)) }

func listOf(flags []string) string { return "(" + strings.Join(flags, " ") + ")" }

func deletedIndex(deleted bool) int {
	if deleted {
		return 1
	}
	return 0
}

// set is a set of keywords that at least one message of the mailbox has, or
// had. There are few of them, so rows share them.
type set struct {
	keywords []string
	// flags and list are what the set is on the wire, without \Deleted and with.
	flags [2][]string
	list  [2]string
	seen  bool
	// rows is how many messages have just this set.
	rows int
}

func newSet(keywords []string) *set {
	s := &set{keywords: keywords, seen: slices.Contains(keywords, mail.Seen)}
	for i := range s.flags {
		s.flags[i] = flagsOf(keywords, i == 1)
		s.list[i] = listOf(s.flags[i])
	}
	return s
}
