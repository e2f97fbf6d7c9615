package gmail

import (
	"context"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// quickPull is a pull that was not held: Pub/Sub waits for a message, and
	// who stands in for it may not.
	quickPull = time.Second
	// quickRest bounds the pause after quick pulls that told nothing.
	quickRest = 5 * time.Second
)

// Listen pulls the subscription that Gmail's notifications end up in: no public
// URL is needed for that. A message is acknowledged after its hint was handed
// over, so that one that was lost on the way comes again; doubled ones do no
// harm. With other settings it goes on with theirs; without a subscription it
// waits for some.
func (p *Provider) Listen(ctx context.Context, _ *provider.ListenRequest, each func(*provider.Hint) error) error {
	ctx, done := p.calls.Add(ctx)
	defer done()
	for ctx.Err() == nil {
		if err := p.listen(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

// reconfigured lets who listens take the new settings.
func (p *Provider) reconfigured() {
	p.listening.CancelAll()
	p.listening.Open()
}

// listen works until ctx ends, the settings are replaced, or the operator has
// to act.
func (p *Provider) listen(ctx context.Context, each func(*provider.Hint) error) error {
	ctx, done := p.listening.Add(ctx) // before the settings are read, so that none are missed
	defer done()
	conf := p.conf.Load()
	if conf == nil {
		return notConfigured(opListen)
	}
	if conf.pull == nil {
		<-ctx.Done()
		return nil
	}
	from := conf.pull.puller(ctx)
	for failures, quick := 0, 0; ; {
		began := p.now()
		messages, err := from.pull(ctx)
		if err == nil {
			err = p.handOver(ctx, from, messages, each)
		}
		switch kind := mail.KindOf(err); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			if len(messages) > 0 || p.now().Sub(began).Abs() >= quickPull {
				quick = 0
				continue
			}
			quick++
			if pace.Sleep(ctx, min(pace.Backoff(quick), quickRest)) != nil {
				return nil
			}
			continue
		case kind == mail.KindThrottled, kind == mail.KindUnavailable:
			failures++
		default:
			if kind == mail.KindMisconfigured {
				p.deaf.Store(true)
			}
			return err
		}
		wait := pace.Backoff(failures)
		p.log().WarnContext(ctx, "the subscription could not be read", "subscription", from.name, "wait", wait, "error", err)
		if err := pace.Sleep(ctx, wait); err != nil {
			return nil // the caller's end is no failure
		}
	}
}

// handOver gives the hints of messages, one for each address, and acknowledges
// the messages then: also those that nothing can be made of, which would come
// again for days.
func (p *Provider) handOver(ctx context.Context, from *puller, messages []received, each func(*provider.Hint) error) error {
	if p.deaf.Swap(false) {
		if err := p.tellMissed(each); err != nil {
			p.deaf.Store(true)
			return err
		}
	}
	var acks []string
	told := map[string]bool{}
	for i := range messages {
		m := &messages[i]
		if m.AckID != "" {
			acks = append(acks, m.AckID)
		}
		address, err := m.Message.address()
		if err != nil {
			p.log().WarnContext(ctx, "a message of the subscription says nothing that can be read", "subscription", from.name, "message", m.Message.MessageID, "error", err)
			continue
		}
		hint := changed(address)
		if told[hint.LookupKey] {
			continue
		}
		told[hint.LookupKey] = true
		if err := each(&hint); err != nil {
			return err
		}
		p.echo(hint)
	}
	if len(acks) == 0 {
		return nil
	}
	return from.acknowledge(ctx, acks)
}

// tellMissed has every account asked for its changes: while the subscription
// could not be read for the operator to see to it, it may have been another
// one, or none, and what was published then is in no subscription.
func (p *Provider) tellMissed(each func(*provider.Hint) error) error {
	p.mu.Lock()
	ids := make([]string, 0, len(p.accounts))
	for id := range p.accounts {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	for _, id := range ids {
		if err := each(&provider.Hint{Kind: provider.HintMissed, Account: id}); err != nil {
			return err
		}
	}
	return nil
}
