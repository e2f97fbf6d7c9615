package imapd

import (
	"runtime"
	"testing"
)

// BenchmarkIdle tells what a client that idles costs, with its end of the
// connection left out as far as that can be.
func BenchmarkIdle(b *testing.B) {
	const n = 200
	w := newWorld(b, func(_ *world, o *Options) { o.MaxPerAccount = 1 << 20 })
	w.letters(3)
	memory := func() (bytes uint64, goroutines int) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse, runtime.NumGoroutine()
	}
	for b.Loop() {
		var all []*peer
		before, routines := memory()
		for range n {
			p := w.dial().login()
			p.ok("s SELECT INBOX")
			p.send("i IDLE\r\n")
			p.until("+ ")
			all = append(all, p)
		}
		after, more := memory()
		b.ReportMetric(float64(after-before)/n, "B/connection")
		b.ReportMetric(float64(more-routines)/n, "goroutines/connection")
		b.StopTimer()
		for _, p := range all {
			p.Close()
		}
		w.left(0)
		b.StartTimer()
	}
}

// BenchmarkNOOP is a round trip through the framing and the library, and
// BenchmarkCapability one through the framing alone.
func BenchmarkNOOP(b *testing.B)       { roundTrip(b, "a NOOP") }
func BenchmarkCapability(b *testing.B) { roundTrip(b, "a CAPABILITY") }

func roundTrip(b *testing.B, command string) {
	w := newWorld(b)
	p := w.dial().login()
	p.ok("s SELECT INBOX")
	for b.Loop() {
		p.ok(command)
	}
}
