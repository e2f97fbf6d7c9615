package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// TestRerunsAreCounted: an update that fails after it has written something
// makes the others of its commit run again, and the metric says so.
func TestRerunsAreCounted(t *testing.T) {
	key, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.IMAP.Listen, cfg.SMTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	reg := prometheus.NewRegistry()
	s, err := openStore(cfg, ring, slog.New(slog.DiscardHandler), newStoreMetrics(reg), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	reruns := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "postern_store_reruns_total" {
				return f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("the store's metrics are not registered")
		return 0
	}
	if reruns() != 0 {
		t.Errorf("%v reruns before anything was written", reruns())
	}
	// Which updates share a commit is up to the store: more until some do.
	broken := errors.New("broken")
	for round := 0; reruns() == 0; round++ {
		if round == 1000 {
			t.Fatal("no update ran again")
		}
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					if err := tx.PutSetting(fmt.Sprint("test.", i), []byte("x")); err != nil || i%2 == 0 {
						return err
					}
					return broken
				})
				if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, broken) {
					t.Errorf("update %d ended with %v", i, err)
				}
			})
		}
		group.Wait()
	}
}
