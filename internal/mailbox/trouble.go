package mailbox

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// troubleAfter is how many rounds in a row fail before the account says so:
// what passes by itself is not worth a word.
const troubleAfter = 3

// tellTrouble notes at an account why it is not in step, for whoever looks at
// it. Its state stays: there is nothing that its owner could do, and the rounds
// go on. The next good one takes the reason away (finishRound).
func (s *Service) tellTrouble(ctx context.Context, account string, err error) {
	reason := "sync fails: " + words(err)
	uerr := s.store.Update(ctx, func(tx store.Tx) error {
		acct, err := tx.Account(account)
		if err != nil {
			return err
		}
		switch acct.State {
		case store.AccountConnecting, store.AccountSyncing, store.AccountReady:
		default:
			return nil // it says already what is the matter
		}
		if acct.StateReason == reason {
			return nil
		}
		acct.StateReason = reason
		return tx.PutAccount(acct)
	})
	if uerr != nil && !errors.Is(uerr, store.ErrNotFound) && ctx.Err() == nil {
		s.log.WarnContext(ctx, "why an account is not in step cannot be noted", "account", account, "error", uerr)
	}
}

// words are what of an error may be shown: not its causes, which may be
// anything.
func words(err error) string {
	var e *mail.Error
	if !errors.As(err, &e) {
		return string(mail.KindOf(err))
	}
	shown := *e
	shown.Err = nil
	return shown.Error()
}
