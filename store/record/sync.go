package record

import (
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeScope encodes all of a scope but its account.
func EncodeScope(s *store.Scope) ([]byte, error) {
	r := &recordpb.Scope{
		Name: text(s.Name), Cursor: s.Cursor, Complete: s.Complete, Comparing: s.Comparing, Asked: putTime(s.Asked),
	}
	for _, u := range s.Unreadable {
		r.Unreadable = append(r.Unreadable, &recordpb.Unreadable{Message: text(u.Message), Tries: int64(u.Tries), Next: putTime(u.Next), Reason: text(u.Reason)})
	}
	return encode(r)
}

// DecodeScope decodes what EncodeScope gave.
func DecodeScope(account string, b []byte) (*store.Scope, error) {
	var r recordpb.Scope
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	s := &store.Scope{
		Account: account, Name: r.Name, Cursor: r.Cursor, Complete: r.Complete, Comparing: r.Comparing, Asked: getTime(r.Asked),
	}
	for _, u := range r.Unreadable {
		s.Unreadable = append(s.Unreadable, store.Unreadable{Message: u.Message, Tries: int(u.Tries), Next: getTime(u.Next), Reason: u.Reason})
	}
	return s, nil
}

// EncodeKey encodes a wrapped data key and whose it is.
func EncodeKey(account string, wrapped []byte) ([]byte, error) {
	return encode(&recordpb.Key{Account: text(account), Wrapped: wrapped})
}

// DecodeKey decodes what EncodeKey gave.
func DecodeKey(b []byte) (account string, wrapped []byte, err error) {
	var r recordpb.Key
	if err := decode(b, &r); err != nil {
		return "", nil, err
	}
	return r.Account, r.Wrapped, nil
}
