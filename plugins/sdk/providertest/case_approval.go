package providertest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func approvalCases() []Case {
	connects := needs(provider.CapConnect)
	return []Case{
		{Name: "connect/approval", Doc: "who may not consent gets a link for an administrator, and connects once that is followed", Needs: connects, test: connectApproval},
		{Name: "connect/no-approval", Doc: "an administrator's refusal, and an answer that says nothing, are no approval", Needs: connects, test: connectNoApproval},
		{Name: "connect/expiry", Doc: "a grant that will end says when, and the time is ahead", Needs: connects, test: connectExpiry},
	}
}

func connectApproval(f *fixture) {
	end, err := f.w.RequireApproval(f.ctx)
	f.hook(err)
	f.after(func(ctx context.Context) { // the cases that follow connect too
		if err := end(ctx); err != nil {
			f.Errorf("the world: let owners consent again: %v", err)
		}
	})
	state := token()
	refused := func() string {
		req := f.begin()
		req.ApprovalState = state
		_, err := f.p.FinishConnect(f.ctx, req)
		f.kind("finish connect of somebody who may not consent", err, mail.KindForbidden)
		var e *mail.Error
		if !errors.As(err, &e) || e.Code != mail.CodeAdminConsent {
			f.Fatalf("the code of %v is not %s", err, mail.CodeAdminConsent)
		}
		link := mail.Link(err)
		if !strings.Contains(link, state) || !strings.Contains(link, "://") {
			f.Fatalf("the administrator's link %q does not bring back the state", link)
		}
		return link
	}
	answer := func(link string, allow bool) error {
		params, err := f.w.Approve(f.ctx, link, allow)
		f.hook(err)
		if got := params.Get("state"); got != state {
			f.Errorf("the administrator came back with the state %q, want %q", got, state)
		}
		resp, err := f.p.FinishConnect(f.ctx, &provider.FinishConnectRequest{RedirectURL: f.w.RedirectURL(), Params: params, Approval: true})
		if err == nil && (len(resp.Accounts) > 0 || len(resp.Grant) > 0) {
			f.Errorf("an administrator's answer opens %v", resp.Accounts)
		}
		return err
	}
	link := refused()
	f.kind("an administrator's refusal", answer(link, false), mail.KindForbidden)
	f.must("an administrator's approval", answer(refused(), true))
	f.finish(f.begin())
}

func connectNoApproval(f *fixture) {
	for what, params := range map[string]map[string][]string{
		"an administrator's refusal": {"state": {token()}, "error": {"access_denied"}, "error_description": {"declined"}},
		"an empty answer":            {"state": {token()}},
	} {
		_, err := f.p.FinishConnect(f.ctx, &provider.FinishConnectRequest{RedirectURL: f.w.RedirectURL(), Params: params, Approval: true})
		f.kind(what, err, mail.KindForbidden, mail.KindInvalid)
	}
}

func connectExpiry(f *fixture) {
	resp := f.finish(f.begin())
	if !resp.ExpiresAt.IsZero() && !resp.ExpiresAt.After(time.Now()) {
		f.Errorf("the new grant ended on %v", resp.ExpiresAt)
	}
	if resp.ExpiresAt.IsZero() && resp.ExpiresReason != "" {
		f.Errorf("the grant ends for a reason (%s) and at no time", resp.ExpiresReason)
	}
}
