package record

import (
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeAppPassword encodes all of an app password but its id.
func EncodeAppPassword(p *store.AppPassword) ([]byte, error) {
	return encode(&recordpb.AppPassword{
		Account: text(p.Account), Name: text(p.Name), Scopes: texts(p.Scopes), HideCaps: texts(p.HideCaps), Hash: p.Hash,
		CreatedAt: putTime(p.CreatedAt), LastUsedAt: putTime(p.LastUsedAt), Revoked: putTime(p.Revoked),
	})
}

// DecodeAppPassword decodes what EncodeAppPassword gave.
func DecodeAppPassword(id string, b []byte) (*store.AppPassword, error) {
	var r recordpb.AppPassword
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.AppPassword{
		ID: id, Account: r.Account, Name: r.Name, Scopes: r.Scopes, HideCaps: r.HideCaps, Hash: r.Hash,
		CreatedAt: getTime(r.CreatedAt), LastUsedAt: getTime(r.LastUsedAt), Revoked: getTime(r.Revoked),
	}, nil
}
