package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/store"
)

// Verify reads every record, opens what is sealed, and compares the indexes
// with the records: each row that a record calls for has to be there, and an
// index has to have as many rows as all records together call for. So a row
// that is missing is named, and of rows too many the number is told. What
// belongs to an account that is being erased is left out.
//
// tell is told of each thing that is wrong, in words without content.
func (tx *Tx) Verify(tell func(problem string)) (Checked, error) {
	v := &verifier{Tx: tx, tell: tell, want: map[Bucket]int{}, alive: map[uint64]bool{}, boxes: map[string]*boxCount{}, messages: map[uint64]uint64{}}
	for _, check := range []func() error{
		v.accounts, v.settings, v.mailboxes, v.messagesOf, v.boxCounts, v.threads, v.journal, v.scopes,
		v.derived, v.appPasswords, v.submissions, v.jobs, v.outbox, v.blobs, v.counts,
	} {
		if err := check(); err != nil {
			return v.checked, err
		}
	}
	return v.checked, nil
}

// Checked counts what Verify has looked at.
type Checked struct {
	Records int64 `json:"records"`
	Rows    int64 `json:"rows"`
}

type verifier struct {
	*Tx
	tell    func(string)
	checked Checked
	// want is how many rows the records call for, by index.
	want     map[Bucket]int
	alive    map[uint64]bool
	boxes    map[string]*boxCount
	messages map[uint64]uint64
}

// boxCount is what messages say of a mailbox.
type boxCount struct{ total, unread int64 }

func (v *verifier) tellf(format string, args ...any) { v.tell(fmt.Sprintf(format, args...)) }

// each calls fn with every row of a bucket.
func (v *verifier) each(b Bucket, fn func(p Pair) error) error {
	var from []byte
	for {
		pairs, err := v.scan(b, from, nil, false, 500)
		if err != nil || len(pairs) == 0 {
			return err
		}
		for _, p := range pairs {
			if err := fn(p); err != nil {
				return err
			}
		}
		from = next(pairs[len(pairs)-1].Key)
	}
}

// records opens every record of a bucket and hands it to fn.
func (v *verifier) records(b Bucket, fn func(k key, l uint64, plain []byte) error) error {
	return v.each(b, func(p Pair) error {
		plain, l, err := v.open(b, p.Key, p.Value)
		if errors.Is(err, store.ErrNotFound) {
			return nil // of an ended life
		}
		v.checked.Records++
		if err != nil {
			v.tellf("%s %s does not open: %v", b, printable(p.Key), err)
			return nil
		}
		return fn(p.Key, l, slices.Clone(plain))
	})
}

// bad tells of a record that cannot be read, and says whether it is one.
func (v *verifier) bad(b Bucket, k key, err error) bool {
	if err != nil {
		v.tellf("%s %s cannot be read: %v", b, printable(k), err)
	}
	return err != nil
}

// row wants a row in an index, with a value where one is given.
func (v *verifier) row(b Bucket, k key, value []byte, of string) error {
	v.want[b]++
	v.checked.Rows++
	got, err := v.get(b, k)
	switch {
	case err != nil:
		return err
	case got == nil:
		v.tellf("%s lacks its row in %s", of, b)
	case value != nil && string(got) != string(value):
		v.tellf("%s has a wrong row in %s", of, b)
	}
	return nil
}

// living reports whether a life has not ended.
func (v *verifier) livingLife(l uint64) (bool, error) {
	if l == 0 {
		return true, nil
	}
	alive, ok := v.alive[l]
	if ok {
		return alive, nil
	}
	alive, err := v.Living(l)
	v.alive[l] = alive
	return alive, err
}

// indexes are compared by their number of rows. Those of which the keys begin
// with a life are counted without the ended ones; those of which the values do
// likewise.
func (v *verifier) counts() error {
	for _, ix := range []struct {
		b    Bucket
		life func(p Pair) uint64
	}{
		{bMailboxOf, lifeInKey}, {bMailboxState, lifeInKey}, {bUID, lifeInKey}, {bUIDWait, lifeInKey},
		{bByAccount, lifeInKey}, {bByMailbox, lifeInKey}, {bThreadOf, lifeInKey}, {bByThread, lifeInKey},
		{bJournalBy, nil}, {bLookup, nil}, {bLife, nil}, {bConnectBy, nil}, {bConnectAt, nil},
		{bDerived, lifeInKey}, {bAppPasswordOf, lifeInKey}, {bAppPasswordBy, lifeInValue},
		{bSubmissionOf, lifeInKey}, {bSubmissionDue, lifeInValue}, {bSubmissionDone, lifeInValue},
		{bJobAt, nil}, {bJobRunning, nil}, {bJobDone, nil}, {bJobOf, nil},
		{bEndpointState, nil}, {bEndpointDue, nil}, {bLaneDue, nil},
		{bOwedID, nil}, {bOwedTo, nil}, {bOwedOf, nil}, {bOwedDone, nil},
		{bPackItem, nil}, {bPack, nil},
	} {
		if err := v.compare(ix.b, ix.life); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) compare(b Bucket, life func(Pair) uint64) error {
	n := 0
	err := v.each(b, func(p Pair) error {
		if life != nil {
			if alive, err := v.livingLife(life(p)); err != nil || !alive {
				return err
			}
		}
		n++
		return nil
	})
	if err == nil && n != v.want[b] {
		v.tellf("%s has %d rows, the records call for %d", b, n, v.want[b])
	}
	return err
}

func lifeInKey(p Pair) uint64 { return number(p.Key) }

func lifeInValue(p Pair) uint64 {
	l, _ := binary.Uvarint(p.Value)
	return l
}

// printable shows a key: ids as they are, all else in hex.
func printable(k []byte) string {
	for _, c := range k {
		if c < 0x20 || c > 0x7e {
			return fmt.Sprintf("%x", k)
		}
	}
	return string(k)
}
