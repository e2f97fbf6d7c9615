package providertest

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func faultCases() []Case {
	return []Case{
		{Name: "faults/throttled", Doc: "a throttled call gives up at its deadline, and later ones succeed", test: faultThrottled},
		{Name: "faults/unavailable", Doc: "a call to a provider that is away is unavailable, and later ones succeed", test: faultUnavailable},
	}
}

func sessionCases() []Case {
	return []Case{
		{Name: "session/ends", Doc: "Session ends promptly when its context does", Read: true, test: sessionEnds},
	}
}

func faultThrottled(f *fixture) { f.trouble(FaultThrottled, mail.KindThrottled, mail.KindUnavailable) }
func faultUnavailable(f *fixture) {
	f.trouble(FaultUnavailable, mail.KindUnavailable)
}

// troubleFor is the deadline of a call in trouble. The plugin may wait and try
// again until then.
const troubleFor = 2 * time.Second

func (f *fixture) trouble(fault Fault, kinds ...mail.Kind) {
	a := f.acct()
	f.must("mailboxes", f.list(a))
	end, err := f.w.Fault(f.ctx, f.w.Address(), fault)
	f.hook(err)
	ctx, cancel := context.WithTimeout(f.ctx, min(troubleFor, f.patience/2))
	defer cancel()
	in := *f
	in.ctx = ctx
	err, ended := f.within("a call in trouble", func() error { return in.list(a) })
	f.must("end the fault", end(f.ctx))
	if ended && !errors.Is(err, context.DeadlineExceeded) {
		f.kind("a call in trouble", err, kinds...)
	}
	f.eventually("calls succeed afterwards", func() bool { return f.list(a) == nil })
}

// sessionEnds comes last: a plugin process ends with its session.
func sessionEnds(f *fixture) {
	f.stop()
	timer := time.NewTimer(f.patience)
	defer timer.Stop()
	select {
	case err := <-f.ended:
		f.ended <- err
		if err != nil && !f.gaveUp(err) {
			f.Errorf("session ended with %v, want nil or the context's error", err)
		}
	case <-timer.C:
		f.Errorf("session did not end within %v", f.patience)
	}
}
