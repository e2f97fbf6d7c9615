package gmail

import "time"

// Settings are what the sources of the Gmail API dispute or leave open, and
// what tests want to be otherwise. The zero value is the service's behaviour as
// it is documented or most often reported.
type Settings struct {
	// HistoryRetention is how long history reaches back; older start ids answer
	// 404. Zero is seven days ("typically at least a week"), less than zero is
	// for ever.
	HistoryRetention time.Duration
	// HistoryLag has history tell changes only when they are so old.
	HistoryLag time.Duration
	// EmptyHistoryPages puts an empty page with a next page token in front of
	// every history answer that has records.
	EmptyHistoryPages bool
	// FutureHistoryOK answers a start id that was never issued with nothing
	// instead of 404.
	FutureHistoryOK bool
	// TrashKeepsInbox leaves INBOX on a message that is put into the trash.
	TrashKeepsInbox bool
	// UntrashRestoresInbox puts INBOX back when it leaves the trash.
	UntrashRestoresInbox bool
	// NoCategories delivers mail without CATEGORY_* and IMPORTANT.
	NoCategories bool
	// MaxLabels is how many user labels a mailbox may have; zero is 10,000.
	MaxLabels int

	// Quota are the limits, of units and others.
	Quota Quota
	// Access is what is switched off, and for whom.
	Access Access
	// BatchInOrder answers the parts of a batch in their order. Gmail promises
	// none; the sandbox turns it round.
	BatchInOrder bool
	// MessageIDs are those of others that stay on mail that is sent.
	MessageIDs MessageIDPolicy
	// NotifyEvery is how often a watch is told of changes at most; what is
	// more is dropped: 1 s. Negative: told of every one.
	NotifyEvery time.Duration
	// HistoryIDString has notifications tell the history id as a string, as
	// the documents show it, instead of a number.
	HistoryIDString bool
}

// fill puts what is most often reported of the service where nothing is said.
func (s *Settings) fill() {
	if s.HistoryRetention == 0 {
		s.HistoryRetention = 7 * 24 * time.Hour
	}
	if s.MaxLabels == 0 {
		s.MaxLabels = 10_000
	}
}
