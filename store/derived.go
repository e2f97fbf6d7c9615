package store

// DerivedKind says what a derived value is.
type DerivedKind uint8

// Kinds of derived values. They are stored by their numbers, which never
// change. The first ones belong to a message: their key is its id.
const (
	// DerivedRows is what IMAP tells of a message's structure, as it goes on the
	// wire.
	DerivedRows DerivedKind = 1
	// DerivedHeader is a message's raw header block, as far as it is kept.
	DerivedHeader DerivedKind = 2
	// DerivedText is a message's decoded text, for search.
	DerivedText DerivedKind = 3

	// DerivedGrams and DerivedSegment are an account's search index; their keys
	// are the index's own, and must tell nothing of the mail.
	DerivedGrams   DerivedKind = 16
	DerivedSegment DerivedKind = 17
)

// OfMessage reports whether values of the kind belong to a message.
func (k DerivedKind) OfMessage() bool { return k < 16 }

// MessageDerived are the kinds that belong to a message.
func MessageDerived() []DerivedKind {
	return []DerivedKind{DerivedRows, DerivedHeader, DerivedText}
}

// DerivedRow is a derived value with its key.
type DerivedRow struct {
	Key   string
	Value []byte
}

// Derived is the noun of what can be computed again from the bytes of mail. It
// is sealed under its account's key. Keys stand as they are.
//
// What belongs to a message is there only as long as the message is, and as
// long as its bytes are the same: DeleteMessage removes it, and so does a
// PutMessage that gives a message which had bytes others, or none. So whoever
// writes both in one transaction writes the message first.
type Derived interface {
	// Derived gives a value, ErrNotFound where there is none.
	Derived(account string, kind DerivedKind, key string) ([]byte, error)
	// PutDerived writes a value. For a message that the account has not it is
	// ErrNotFound.
	PutDerived(account string, kind DerivedKind, key string, value []byte) error
	DeleteDerived(account string, kind DerivedKind, key string) error
	// DerivedAfter lists values by key, after the given one.
	DerivedAfter(account string, kind DerivedKind, after string, limit int) ([]DerivedRow, error)
}
