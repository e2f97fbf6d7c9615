package providertest

import (
	"context"
	"errors"
	"net/url"
)

// approvalSteps are how a world file lets owners need an administrator.
type approvalSteps struct {
	Start   *step `yaml:"start"`
	End     *step `yaml:"end"`
	Approve *step `yaml:"approve"`
	Refuse  *step `yaml:"refuse"`
}

func (a *approvalSteps) check() error {
	if a.Start == nil || a.End == nil || a.Approve == nil || a.Refuse == nil {
		return errors.New("start, end, approve and refuse are all needed")
	}
	return errors.Join(a.Start.check(false), a.End.check(false), a.Approve.check(true), a.Refuse.check(true))
}

func (w *worldFile) RequireApproval(ctx context.Context) (func(context.Context) error, error) {
	const hook = "approval"
	if w.Approval == nil {
		return nil, NoHook(hook)
	}
	v := values{"address": w.Owner}
	if _, err := w.do(ctx, hook, w.Approval.Start, v, nil); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := w.do(ctx, hook, w.Approval.End, v, nil)
		return err
	}, nil
}

// Approve plays the administrator by the pages of the link, as an owner's
// consent is played.
func (w *worldFile) Approve(ctx context.Context, link string, allow bool) (url.Values, error) {
	if w.Approval == nil {
		return nil, NoHook("approval")
	}
	if allow {
		return w.consent(ctx, "approval", w.Approval.Approve, link)
	}
	return w.consent(ctx, "approval", w.Approval.Refuse, link)
}
