package providertest

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func errorCases() []Case {
	return []Case{
		{Name: "errors/kinds", Doc: "every refusal is a *mail.Error of a kind that says what to do", Read: true, test: errorKinds},
	}
}

// kinds that an error can have. Internal is left out: to the suite it means an
// error that nobody classified.
var kinds = []mail.Kind{
	mail.KindThrottled, mail.KindUnavailable, mail.KindUnauthorized, mail.KindForbidden, mail.KindGrantExpired,
	mail.KindMisconfigured, mail.KindNotFound, mail.KindInvalid, mail.KindConflict, mail.KindCursorExpired,
	mail.KindTooLarge, mail.KindOverQuota, mail.KindOutcomeUnknown,
}

// errorKinds asks every verb about what does not exist. It may succeed; if it
// fails, then properly.
func errorKinds(f *fixture) {
	account := f.acct().id
	for _, v := range f.verbs(account, "no-such-message", "no-such-mailbox") {
		if v.name == "create mailbox" || v.name == "prepare" || v.name == "watch" {
			continue // nothing is wrong with these
		}
		if err := v.call(f.ctx); err != nil {
			f.kind(v.name+" of what does not exist", err, kinds...)
		}
	}
	if f.info.Has(provider.CapModify) {
		resp, err := f.p.Modify(f.ctx, &provider.ModifyRequest{Call: f.call(), IDs: []string{"no-such-message"}, AddKeywords: []string{mail.Seen}})
		if err == nil && len(resp.Results) == 1 {
			err = resp.Results[0].Err
		}
		f.kind("modify a message that does not exist", err, mail.KindNotFound, mail.KindInvalid)
	}
}

// gaveUp reports whether an error is what a call may answer whose caller gave
// up: the context's own, or one that wraps or stands for it.
func (f *fixture) gaveUp(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var e *mail.Error
	return errors.As(err, &e) && (e.Kind == mail.KindUnavailable || e.Kind == mail.KindThrottled || e.Kind == mail.KindOutcomeUnknown)
}
