package gateway

import (
	"context"
	"fmt"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// eraser removes what is kept of an account beside what is sealed under its
// own key. That key goes with the account, and with it mirror, submissions and
// blobs; what is owed to endpoints, with the bodies, dead letters and attempts,
// and the replays that name the account, lie under the store's key.
type eraser struct {
	store  store.Store
	outbox *outbox.Outbox
}

// erased is how many deliveries one transaction of an erasure drops.
const erased = 200

func (e eraser) erase(ctx context.Context, account string) error {
	if err := e.outbox.DropJobsOf(ctx, account); err != nil {
		return fmt.Errorf("erase account: %w", err)
	}
	for more := true; more; {
		err := e.store.Update(ctx, func(tx store.Tx) (err error) {
			more, err = tx.DropDeliveriesOf(account, erased)
			return err
		})
		if err != nil {
			return fmt.Errorf("erase account: %w", err)
		}
	}
	return nil
}

// eraseFormer erases what was left of an account that was disconnected
// without. One that was never here is not found.
func (e eraser) eraseFormer(ctx context.Context, account string) error {
	var last uint64
	err := e.store.View(ctx, func(tx store.Tx) (err error) {
		last, err = tx.LastSequence(account)
		return err
	})
	if err != nil {
		return err
	}
	if account == "" || last == 0 {
		return mail.Errorf(mail.KindNotFound, "erase account", "no such account")
	}
	return e.erase(ctx, account)
}
