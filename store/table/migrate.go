package table

import (
	"errors"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/store"
)

// How the layout changes. Whoever changes what stands in a bucket, or in a
// key, raises Format and appends to steps what makes the data of the format
// before into data of this one:
//
//	{From: 1, Name: "lanes by number", Run: (*Tx).lanesByNumber}
//
// A step is called again and again, each time in a transaction of its own,
// first with a nil place and then with the place that the call before gave,
// until it says that there is no more. It should look at no more than
// store.MaxRecords rows in one call and give as the place the last key that it
// has dealt with. The place is stored in the same transaction: a process that
// is killed goes on behind the last commit, so that no row is seen twice and
// none is left out. What is sealed is bound to its bucket and key, so moving
// it means to open it there and to seal it here (Tx.open, Tx.putSealed).
//
// Steps of the same From run in the order of the list. They see the data of
// format From, are the only ones who do, and must never change once they were
// released. A bucket that has no rows any more stays in the list of buckets,
// since a step still reads it; it goes into former, so that nobody wonders.
// Records that merely gain a field need no step: protobuf sees to it.
//
// While a migration is unfinished the store's format is the new one already,
// with a mark beside it. So an older Postern refuses it as it refuses every
// newer format, and this one finds the mark and goes on.

// Step is a part of the way from one format to the next.
type Step struct {
	From uint64
	Name string
	Run  func(tx *Tx, place []byte) (next []byte, more bool, err error)
}

// Layout is what a build knows: its own format, and the way to it.
type Layout struct {
	Format uint64
	Steps  []Step
}

// Current is this build's.
func Current() Layout { return Layout{Format: Format, Steps: steps()} }

// steps is the way from format 1 to this build's.
func steps() []Step {
	return []Step{
		{From: 1, Name: "bytes of open submissions are kept", Run: (*Tx).keepOpenBlobs},
		{From: 1, Name: "lanes beside their deliveries", Run: (*Tx).outboxLanes},
		{From: 1, Name: "deliveries by position", Run: (*Tx).outboxDeliveries},
		{From: 1, Name: "indexes of deliveries by number", Run: (*Tx).outboxIndexes},
		{From: 1, Name: "accounts' journals in blocks", Run: (*Tx).packJournal},
		{From: 2, Name: "UIDs with size and date", Run: (*Tx).describeUIDs},
	}
}

// former are buckets that get no new rows: none is left after the migration, or
// they leave as what they belong to is trimmed.
func former() []Bucket {
	return []Bucket{bJournalID, bJournalOf, bLane, bLaneItem, bBodyID, bBody, bDeliveryID, bDelivery, bDeliveryTo, bDeliveryOf, bDeliveryDone, bAttempt}
}

// Former reports whether only data of an earlier format has rows in the bucket.
func (b Bucket) Former() bool { return slices.Contains(former(), b) }

// first gives the step that the way from a format begins with.
func (l Layout) first(from uint64) (Step, error) {
	for _, s := range l.Steps {
		if s.From == from {
			return s, nil
		}
	}
	return Step{}, fmt.Errorf("no way leads from format %d of the data to format %d", from, l.Format)
}

// after gives the step that follows a named one on the same part of the way.
func (l Layout) after(from uint64, name string) (Step, bool) {
	found := false
	for _, s := range l.Steps {
		if found && s.From == from {
			return s, true
		}
		found = found || (s.From == from && s.Name == name)
	}
	return Step{}, false
}

// named gives the step that a mark names.
func (l Layout) named(from uint64, name string) (Step, error) {
	for _, s := range l.Steps {
		if s.From == from && s.Name == name {
			return s, nil
		}
	}
	return Step{}, fmt.Errorf("the data is in the middle of a migration from format %d (%q) that this Postern does not know", from, name)
}

// NewerError says that a later Postern has written the data.
type NewerError struct {
	Format, Known uint64
	// Version is the version of the Postern that opened the data last, empty
	// or "devel" where it is not known.
	Version string
}

// Error tells which version is needed.
func (e *NewerError) Error() string {
	text := fmt.Sprintf("the data was written by a newer Postern: format %d, this one knows %d", e.Format, e.Known)
	if e.Version == "" || e.Version == "devel" {
		return text + "; use a newer version"
	}
	return text + "; use version " + e.Version + " or later"
}

// markName is where bMeta keeps the step that a migration has come to, and its
// place.
const markName = "migration"

// mark is where a migration stands.
type mark struct {
	step  string
	place []byte
}

func (tx *Batch) mark() (*mark, error) {
	v, err := tx.get(bMeta, key(markName))
	if err != nil || v == nil {
		return nil, err
	}
	m := &mark{}
	m.step, m.place = readStr(v)
	return m, nil
}

// State is what a store's layout is and how far it is from this build's.
type State struct {
	// Format is the store's; 0 where nothing was ever written.
	Format uint64
	// Between says that a migration to Format has begun and not ended.
	Between bool
	// Current says that nothing is to be done.
	Current bool
}

// State reads the store's layout; what this build cannot read is refused, and
// so is a store that another master key sealed. Nothing is written.
func (t *Tables) State(b *Batch) (State, error) {
	var s State
	var err error
	if s.Format, err = b.number("format"); err != nil || s.Format == 0 {
		return s, err
	}
	if s.Format > t.layout.Format {
		version, err := b.get(bMeta, key("version"))
		if err != nil {
			return s, err
		}
		return s, &NewerError{Format: s.Format, Known: t.layout.Format, Version: string(version)}
	}
	m, err := b.mark()
	if err != nil {
		return s, err
	}
	s.Between = m != nil
	s.Current = !s.Between && s.Format == t.layout.Format
	own, err := b.dataKey(0)
	if errors.Is(err, store.ErrNotFound) {
		return s, fmt.Errorf("the data has lost its own key: %w", store.ErrDamaged)
	}
	if err != nil {
		return s, err
	}
	return s, t.adopt(own)
}

// Progress is what one transaction of a migration has done.
type Progress struct {
	// Format is what the data is on its way to, Step the part of the way.
	Format uint64
	Step   string
	// Met is the damage that the step went past.
	Met []error
}

// Migrate does the next transaction's worth of work on the way to this build's
// format, and reports whether there is more.
func (tx *Tx) Migrate() (did Progress, more bool, err error) {
	l := tx.t.layout
	format, err := tx.number("format")
	if err != nil {
		return did, false, err
	}
	m, err := tx.mark()
	if err != nil {
		return did, false, err
	}
	var step Step
	switch {
	case m == nil && format >= l.Format:
		return did, false, nil
	case m == nil:
		step, err = l.first(format)
		m = &mark{}
		format++
	default:
		step, err = l.named(format-1, m.step)
	}
	if err != nil {
		return did, false, err
	}
	did = Progress{Format: format, Step: step.Name}
	place, again, err := step.Run(tx, slices.Clone(m.place))
	if err != nil {
		return did, false, fmt.Errorf("migrate from format %d, %s: %w", step.From, step.Name, err)
	}
	did.Met = tx.met
	if !again {
		var ok bool
		place = nil
		if step, ok = l.after(step.From, step.Name); !ok {
			if format == l.Format {
				return did, false, errors.Join(tx.setNumber("format", format), tx.del(bMeta, key(markName)))
			}
			if step, err = l.first(format); err != nil {
				return did, false, err
			}
			format++
		}
	}
	if err := tx.setNumber("format", format); err != nil {
		return did, false, err
	}
	return did, true, tx.put(bMeta, key(markName), key(nil).str(step.Name).last(string(place)))
}

// Opened counts how often the store was opened, this time included, and
// remembers by which version.
func (tx *Tx) Opened(version string) (uint64, error) {
	if err := tx.put(bMeta, key("version"), []byte(version)); err != nil {
		return 0, err
	}
	return tx.count("opened")
}
