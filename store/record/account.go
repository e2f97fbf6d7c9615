package record

import (
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeAccount encodes all of an account but its id.
func EncodeAccount(a *store.Account) ([]byte, error) {
	return encode(&recordpb.Account{
		Provider: text(a.Provider), Subject: text(a.Subject), Address: text(a.Address), Name: text(a.Name),
		ExternalId: text(a.ExternalID), Grant: text(a.Grant), State: text(string(a.State)), StateReason: text(a.StateReason),
		Mirror: text(string(a.Mirror)), Paused: a.Paused,
		CreatedAt: putTime(a.CreatedAt), ConnectedAt: putTime(a.ConnectedAt),
		SyncedAt: putTime(a.SyncedAt), LastSyncAt: putTime(a.LastSyncAt), Done: a.Done, Total: a.Total,
		WatchId: text(a.Watch.ID), WatchState: a.Watch.State, WatchExpires: putTime(a.Watch.Expires),
		WatchLookupKeys: texts(a.Watch.LookupKeys), WatchLastHintAt: putTime(a.Watch.LastHintAt),
		GrantEnds: putTime(a.GrantEnds), GrantEndsWhy: text(a.GrantEndsWhy),
		Identities: putIdentities(a.Identities), IdentitiesPartial: a.IdentitiesPartial,
	})
}

// DecodeAccount decodes what EncodeAccount gave.
func DecodeAccount(id string, b []byte) (*store.Account, error) {
	var r recordpb.Account
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Account{
		ID: id, Provider: r.Provider, Subject: r.Subject, Address: r.Address, Name: r.Name,
		ExternalID: r.ExternalId, Grant: r.Grant, State: store.AccountState(r.State), StateReason: r.StateReason,
		Mirror: store.MirrorMode(r.Mirror), Paused: r.Paused,
		CreatedAt: getTime(r.CreatedAt), ConnectedAt: getTime(r.ConnectedAt),
		SyncedAt: getTime(r.SyncedAt), LastSyncAt: getTime(r.LastSyncAt), Done: r.Done, Total: r.Total,
		Watch: store.Watch{
			ID: r.WatchId, State: r.WatchState, Expires: getTime(r.WatchExpires),
			LookupKeys: r.WatchLookupKeys, LastHintAt: getTime(r.WatchLastHintAt),
		},
		GrantEnds: getTime(r.GrantEnds), GrantEndsWhy: r.GrantEndsWhy,
		Identities: getIdentities(r.Identities), IdentitiesPartial: r.IdentitiesPartial,
	}, nil
}

func putIdentities(list []mail.Identity) []*recordpb.Identity {
	var out []*recordpb.Identity
	for _, i := range list {
		out = append(out, &recordpb.Identity{Email: text(i.Email), Name: text(i.Name), ReplyTo: text(i.ReplyTo), Default: i.Default})
	}
	return out
}

func getIdentities(list []*recordpb.Identity) []mail.Identity {
	var out []mail.Identity
	for _, i := range list {
		out = append(out, mail.Identity{Email: i.GetEmail(), Name: i.GetName(), ReplyTo: i.GetReplyTo(), Default: i.GetDefault()})
	}
	return out
}

// EncodeGrant encodes all of a grant but its id.
func EncodeGrant(g *store.Grant) ([]byte, error) {
	return encode(&recordpb.Grant{
		Provider: text(g.Provider), Accounts: texts(g.Accounts), Granted: texts(g.Granted),
		Bytes: g.Bytes, UpdatedAt: putTime(g.UpdatedAt),
	})
}

// DecodeGrant decodes what EncodeGrant gave.
func DecodeGrant(id string, b []byte) (*store.Grant, error) {
	var r recordpb.Grant
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Grant{
		ID: id, Provider: r.Provider, Accounts: r.Accounts, Granted: r.Granted,
		Bytes: r.Bytes, UpdatedAt: getTime(r.UpdatedAt),
	}, nil
}

// EncodeConnect encodes a pending consent.
func EncodeConnect(c *store.Connect) ([]byte, error) {
	return encode(&recordpb.Connect{
		Link: text(c.Link), State: text(c.State), Provider: text(c.Provider), ReturnUrl: text(c.ReturnURL),
		ExternalId: text(c.ExternalID), LoginHint: text(c.LoginHint), ExpectedAddress: text(c.ExpectedAddress),
		Pending: c.Pending, ExpiresAt: putTime(c.ExpiresAt), UsedAt: putTime(c.UsedAt),
	})
}

// DecodeConnect decodes what EncodeConnect gave.
func DecodeConnect(b []byte) (*store.Connect, error) {
	var r recordpb.Connect
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Connect{
		Link: r.Link, State: r.State, Provider: r.Provider, ReturnURL: r.ReturnUrl,
		ExternalID: r.ExternalId, LoginHint: r.LoginHint, ExpectedAddress: r.ExpectedAddress,
		Pending: r.Pending, ExpiresAt: getTime(r.ExpiresAt), UsedAt: getTime(r.UsedAt),
	}, nil
}
