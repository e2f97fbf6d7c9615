package mailbox

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// spoilt lists mailboxes as a test wants.
type spoilt struct {
	provider.Provider
	list func() ([]mail.Mailbox, error)
}

func (p *spoilt) Mailboxes(context.Context, *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	list, err := p.list()
	return &provider.MailboxesResponse{Mailboxes: list}, err
}

// TestAnEmptyListEmptiesNothing: a provider that suddenly lists no mailbox is
// not believed, says so at the account, and is forgiven when it is over.
func TestAnEmptyListEmptiesNothing(t *testing.T) {
	w := newWorld(t, memory.Options{})
	if err := w.svc.Round(w.ctx, w.account); err != nil {
		t.Fatal(err)
	}
	count := func() (boxes int, acct *store.Account) {
		t.Helper()
		err := w.store.View(w.ctx, func(tx store.Tx) (err error) {
			list, err := tx.MailboxesOf(w.account)
			if err != nil {
				return err
			}
			boxes = len(list)
			acct, err = tx.Account(w.account)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return boxes, acct
	}
	before, _ := count()
	w.front = func(p provider.Provider) provider.Provider {
		return &spoilt{p, func() ([]mail.Mailbox, error) { return nil, nil }}
	}
	err := w.svc.Round(w.ctx, w.account)
	if mail.KindOf(err) != mail.KindUnavailable || !strings.Contains(err.Error(), "lists no mailbox") {
		t.Errorf("a round: %v", err)
	}
	for failures := range troubleAfter + 1 {
		w.svc.failed(w.ctx, w.account, failures, err)
		_, acct := count()
		if told := strings.Contains(acct.StateReason, "lists no mailbox at all"); told != (failures >= troubleAfter) || acct.State != store.AccountReady {
			t.Errorf("after %d failures the account is %s: %q", failures, acct.State, acct.StateReason)
		}
	}
	if after, _ := count(); after != before || before == 0 {
		t.Errorf("%d mailboxes of %d are left", after, before)
	}
	w.front = nil
	if err := w.svc.Round(w.ctx, w.account); err != nil {
		t.Fatal(err)
	}
	if _, acct := count(); acct.StateReason != "" || acct.State != store.AccountReady {
		t.Errorf("when it is over the account is %s: %q", acct.State, acct.StateReason)
	}
}

// TestMailboxesInACircleEndTheRound: a round comes to its end, whoever is whose
// parent.
func TestMailboxesInACircleEndTheRound(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.front = func(p provider.Provider) provider.Provider {
		return &spoilt{p, func() ([]mail.Mailbox, error) {
			resp, err := p.Mailboxes(w.ctx, &provider.MailboxesRequest{Call: provider.Call{Account: w.account}})
			if err != nil {
				return nil, err
			}
			for i := range resp.Mailboxes {
				resp.Mailboxes[i].ParentID = resp.Mailboxes[(i+1)%len(resp.Mailboxes)].ID
			}
			return resp.Mailboxes, nil
		}}
	}
	if err := w.svc.Round(w.ctx, w.account); err != nil {
		t.Error(err)
	}
}
