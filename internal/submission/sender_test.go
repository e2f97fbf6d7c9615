package submission

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// TestMaySend: whoever a message is from, in its parts or in its bytes, is asked
// about before it is taken; the account's own address never is.
func TestMaySend(t *testing.T) {
	w := newWorld(t)
	var asked []string
	w.svc.opts.MaySend = func(_ context.Context, acct *store.Account, from string) error {
		asked = append(asked, from)
		if acct.ID != "account-1" || !strings.HasPrefix(from, "sales@") {
			return &mail.Error{Kind: mail.KindForbidden, Code: "from_not_permitted", Message: "no"}
		}
		return nil
	}
	to := []mail.Address{{Email: bob}}
	raw := func(from string) []byte {
		return []byte("From: " + from + "\r\nTo: " + bob + "\r\nSubject: x\r\n\r\nx\r\n")
	}
	for name, c := range map[string]struct {
		in    Input
		asked []string
		kind  mail.Kind
	}{
		"nobody named":     {Input{Message: Message{To: to}}, nil, ""},
		"the account":      {Input{Message: Message{To: to, From: &mail.Address{Email: strings.ToUpper(ann)}}}, nil, ""},
		"an alias":         {Input{Message: Message{To: to, From: &mail.Address{Name: "Sales", Email: "sales@example.com"}}}, []string{"sales@example.com"}, ""},
		"somebody else":    {Input{Message: Message{To: to, From: &mail.Address{Email: "boss@example.com"}}}, []string{"boss@example.com"}, mail.KindForbidden},
		"raw, the account": {Input{Raw: raw("Ann <" + ann + ">")}, nil, ""},
		"raw, nobody":      {Input{Raw: []byte("To: " + bob + "\r\n\r\nx\r\n")}, nil, ""},
		"raw, an alias":    {Input{Raw: raw("Sales <sales@example.com>")}, []string{"sales@example.com"}, ""},
		"raw, two":         {Input{Raw: raw(ann + ", boss@example.com")}, []string{"boss@example.com"}, mail.KindForbidden},
		"raw, unreadable":  {Input{Raw: raw("@@@")}, nil, mail.KindInvalid},
	} {
		asked = nil
		c.in.Account = "account-1"
		_, err := w.svc.Submit(w.ctx, c.in)
		if mail.KindOf(err) != c.kind || !slices.Equal(asked, c.asked) {
			t.Errorf("%s: %v, asked about %v", name, err, asked)
		}
	}
	n := 0
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		list, err := tx.DueSubmissions(w.clock().AddDate(1, 0, 0), 100)
		n = len(list)
		return err
	}))
	if n != 6 {
		t.Errorf("%d submissions were taken, want 6", n)
	}
}

// TestOwnAddress: a message that says nothing of its sender has the name that the
// provider shows for the account's address, and else the account's.
func TestOwnAddress(t *testing.T) {
	for want, acct := range map[string]store.Account{
		"Ann":     {Name: "Ann", Identities: []mail.Identity{{Email: ann}, {Email: "sales@example.com", Name: "Sales", Default: true}}},
		"Ann Lee": {Identities: []mail.Identity{{Email: strings.ToUpper(ann), Name: "Ann Lee"}}},
		"":        {},
	} {
		acct.ID, acct.Address = "account-1", ann
		if got := ownAddress(&acct); got != (mail.Address{Name: want, Email: ann}) {
			t.Errorf("it is %+v, want the name %q", got, want)
		}
		b := builder{acct: &acct, msg: Message{To: []mail.Address{{Email: bob}}, Subject: "x"}}
		built, err := b.build()
		if err != nil || !strings.Contains(string(built), want) || !strings.Contains(string(built), ann) {
			t.Errorf("%q: %v\n%s", want, err, built)
		}
	}
}
