package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
)

// BenchmarkReplay puts back deliveries of a hundred lanes, while they are
// delivered again by a carrier that costs nothing.
func BenchmarkReplay(b *testing.B) {
	s := openStore(b, b.TempDir(), newKey(b))
	defer s.Close()
	r := start(b, s, fine(), Options{})
	defer r.stop()
	r.endpoint("e", true)
	const lanes = 100
	count := max(b.N, lanes)
	for a := range lanes {
		for first := 1; first <= count/lanes; first += 100 {
			r.owe("e", fmt.Sprintf("a%d", a), true, first, min(100, count/lanes-first+1))
		}
	}
	settled := func() bool { return r.stats().Pending == 0 }
	for !settled() {
		time.Sleep(time.Millisecond)
	}
	b.ResetTimer()
	j := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}})
	j, err := r.outbox.Await(context.Background(), j.ID, time.Hour)
	if err != nil || j.State != store.JobDone || j.Done != int64(count/lanes*lanes) {
		b.Fatalf("%+v, %v", j, err)
	}
	b.ReportMetric(float64(j.Done)/b.Elapsed().Seconds(), "deliveries/s")
}
