package submission

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// listening notes when each attempt to prepare says that the first one began.
type listening struct {
	*memory.Provider
	told []time.Time
}

func (p *listening) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	p.told = append(p.told, req.FirstAttempt)
	return p.Provider.Prepare(ctx, req, raw)
}

// TestFirstAttemptIsTold: a provider hears that an attempt is the first, and of
// every other one when the first may have begun, though the gateway was killed
// meanwhile.
func TestFirstAttemptIsTold(t *testing.T) {
	w := newWorld(t)
	p := &listening{Provider: w.plugin}
	w.svc.providers = through{w, p}
	at := w.now
	due := at.Add(2 * time.Hour)
	now, later := w.submit(Input{Message: Message{Text: "now"}}), w.submit(Input{Message: Message{Text: "later"}, SendAt: due})
	given := w.submit(Input{Message: Message{Text: "with a draft that is to go"}})

	w.cloud.FailNext("prepare", mail.KindUnavailable)
	w.advance(now.ID)
	w.killed(p)
	w.advance(now.ID)
	w.pass(2 * time.Hour)
	w.cloud.FailNext("prepare", mail.KindUnavailable)
	w.advance(later.ID)
	w.pass(time.Hour)
	w.killed(p)
	w.advance(later.ID)
	w.cloud.FailNext("prepare", mail.KindOutcomeUnknown)
	w.advance(given.ID)
	if _, err := w.svc.Cancel(w.ctx, given.ID); err != nil {
		t.Fatal(err)
	}
	w.advance(given.ID)

	want := []time.Time{{}, at, {}, due, {}, at}
	if !slices.EqualFunc(p.told, want, time.Time.Equal) {
		t.Errorf("told %v, want %v", p.told, want)
	}
}
