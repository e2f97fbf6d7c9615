package gmail

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

type hearing struct {
	provider.Host
	heard chan provider.Hint
}

func (h *hearing) Hint(_ context.Context, hint *provider.Hint) error { h.heard <- *hint; return nil }

// TestEchoes: a burst of notifications is followed by one hint, when Gmail may
// have dropped others.
func TestEchoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		h := &hearing{heard: make(chan provider.Hint, 10)}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Session(ctx, h) }()
		synctest.Wait()
		for range 3 {
			p.echo(changed("Alan@gmail.example"))
			time.Sleep(time.Second)
		}
		if len(h.heard) != 0 {
			t.Error("an echo while others were told")
		}
		p.echo(changed("joan@gmail.example"))
		time.Sleep(echoAfter)
		synctest.Wait()
		got := map[string]int{}
		for len(h.heard) > 0 {
			got[(<-h.heard).LookupKey]++
		}
		if len(got) != 2 || got["alan@gmail.example"] != 1 || got["joan@gmail.example"] != 1 {
			t.Errorf("heard %v", got)
		}
		p.echo(changed("alan@gmail.example"))
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * echoAfter)
		if len(h.heard) != 0 {
			t.Error("an echo after the session")
		}
	})
}

func TestEchoesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e echoes
		var n atomic.Int64
		e.after("a", time.Second, func() { n.Add(1) })
		e.end()
		time.Sleep(2 * time.Second)
		e.after("a", time.Second, func() { n.Add(1) })
		time.Sleep(2 * time.Second)
		if n.Load() != 1 {
			t.Errorf("%d echoes", n.Load())
		}
	})
}
