package submission

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// stumbling panics over the first report.
type stumbling struct {
	inbox
	once sync.Once
}

func (s *stumbling) Deliver(ctx context.Context, account, operation string, at time.Time, raw io.Reader, size int64) error {
	s.once.Do(func() { panic("a report") })
	return s.inbox.Deliver(ctx, account, operation, at, raw, size)
}

// TestPanicsPutOff: what panics over one submission is tried again later, and
// neither the others nor what is left to do of it are lost.
func TestPanicsPutOff(t *testing.T) {
	w := newWorld(t)
	var box stumbling
	w.svc.opts.Inbox = &box
	stumble := map[string]bool{"prepare": true, "send": true}
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if stumble[verb] {
			stumble[verb] = false
			panic(verb)
		}
		return nil
	})
	s := w.take(letterOf(numbered(1), 0))
	for _, step := range []string{stepPrepare, stepSend} {
		w.advance(s.ID)
		if now := w.submission(s.ID); now.Step != step || now.Ended() || !now.NextAt.After(w.clock()) {
			t.Fatalf("after a panic: %+v", now)
		}
	}
	w.advance(s.ID)
	if now := w.submission(s.ID); now.State != store.SubmissionSent || len(w.cloud.Sent()) != 1 {
		t.Errorf("in the end: %+v, sent %d times", now, len(w.cloud.Sent()))
	}

	s = w.take(letterOf(numbered(2), 0))
	w.cloud.FailNext("send", mail.KindForbidden)
	w.advance(s.ID)
	if now := w.submission(s.ID); now.State != store.SubmissionFailed || now.Report.State != store.ReportDue || !now.NextAt.After(w.clock()) {
		t.Fatalf("after a panic over its report: %+v %+v", now, now.Report)
	}
	w.advance(s.ID)
	if now := w.submission(s.ID); now.Report.State != store.ReportDone || now.Waits() || box.got["report-"+s.ID] == "" {
		t.Errorf("in the end: %+v %+v", now, now.Report)
	}
}
