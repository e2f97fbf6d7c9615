package record

import (
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeMailbox encodes what a mailbox's owner tells: all but the id and what
// the store counts.
func EncodeMailbox(m *store.Mailbox) ([]byte, error) {
	return encode(&recordpb.Mailbox{
		Account: text(m.Account), ProviderId: text(m.ProviderID), Parent: text(m.Parent),
		ParentProviderId: text(m.ParentProviderID), Name: text(m.Name), Role: text(string(m.Role)),
		Kind: text(string(m.Kind)), Hidden: m.Hidden, UidValidity: m.UIDValidity,
		ProviderTotal: m.ProviderTotal, CreatedAt: putTime(m.CreatedAt), Subscription: uint32(m.Subscription),
	})
}

// DecodeMailbox decodes what EncodeMailbox gave.
func DecodeMailbox(id string, b []byte) (*store.Mailbox, error) {
	var r recordpb.Mailbox
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Mailbox{
		ID: id, Account: r.Account, ProviderID: r.ProviderId, Parent: r.Parent,
		ParentProviderID: r.ParentProviderId, Name: r.Name, Role: mail.Role(r.Role),
		Kind: mail.MailboxKind(r.Kind), Hidden: r.Hidden, UIDValidity: r.UidValidity,
		ProviderTotal: r.ProviderTotal, CreatedAt: getTime(r.CreatedAt), Subscription: store.Subscription(r.Subscription),
	}, nil
}

// MailboxState is what the store counts of a mailbox.
type MailboxState struct {
	UIDNext       uint32
	UIDListed     bool
	Total, Unread int64
	ModSeq        uint64
}

// EncodeMailboxState encodes the counts.
func EncodeMailboxState(s MailboxState) ([]byte, error) {
	return encode(&recordpb.MailboxState{
		UidNext: s.UIDNext, UidListed: s.UIDListed, Total: s.Total, Unread: s.Unread, ModSeq: s.ModSeq,
	})
}

// DecodeMailboxState decodes what EncodeMailboxState gave.
func DecodeMailboxState(b []byte) (MailboxState, error) {
	var r recordpb.MailboxState
	if err := decode(b, &r); err != nil {
		return MailboxState{}, err
	}
	return MailboxState{
		UIDNext: r.UidNext, UIDListed: r.UidListed, Total: r.Total, Unread: r.Unread, ModSeq: r.ModSeq,
	}, nil
}

// EncodeUID encodes a row of a UID table.
func EncodeUID(u *store.UID) ([]byte, error) {
	return encode(&recordpb.Uid{
		Message: text(u.Message), Keywords: texts(u.Keywords), Deleted: u.Deleted, ModSeq: u.ModSeq,
		Size: u.Size, Date: putSecond(u.Date), DateNanos: int32(u.Date.Nanosecond()),
	})
}

// DecodeUID decodes what EncodeUID gave.
func DecodeUID(uid uint32, b []byte) (store.UID, error) {
	var r recordpb.Uid
	if err := decode(b, &r); err != nil {
		return store.UID{}, err
	}
	return store.UID{
		UID: uid, Message: r.Message, Keywords: r.Keywords, Deleted: r.Deleted, ModSeq: r.ModSeq,
		Size: r.Size, Date: getSecond(r.Date, r.DateNanos),
	}, nil
}
