package imapd

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// TestHostile: two hundred clients that mean no good, all there at once. Memory
// stays bounded, and a healthy one gets what it asks for.
func TestHostile(t *testing.T) {
	const each, most = 25, 64 << 20
	w := newWorld(t, func(_ *world, o *Options) { o.MaxPerAccount = 1000 })
	w.deliver([]byte("Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 2000)))
	healthy := w.dial().login()
	healthy.ok("s SELECT INBOX")
	healthy.ok("f FETCH 1 BODY.PEEK[]")
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	half := strings.Repeat("x", 1000<<10)
	kinds := []func(p *peer){
		func(p *peer) { p.send("half a comm") },
		func(p *peer) { p.until("* OK"); p.send(half[:8000]) },
		func(p *peer) { p.login().send("a SEARCH TEXT " + half) },
		func(p *peer) { p.login().send("a SEARCH TEXT {1000000+}\r\n" + half[:900000]) },
		func(p *peer) { p.login().send("a APPEND INBOX {1000000+}\r\n" + half[:900000]) },
		func(p *peer) { p.login(); p.send(half + half + half) },
		func(p *peer) { // never reads
			p.login().ok("s SELECT INBOX")
			for i := range 20 {
				p.send(fmt.Sprintf("f%d FETCH 1 BODY.PEEK[]\r\n", i))
			}
		},
		func(p *peer) { p.login().ok("s SELECT INBOX"); p.send("i IDLE\r\n") },
	}
	for range each {
		for _, kind := range kinds {
			kind(w.dial())
		}
	}
	for range 20 {
		healthy.ok("n NOOP")
	}
	healthy.ok("f FETCH 1 (UID FLAGS RFC822.SIZE)")
	if now := memory(); now > before+most {
		t.Errorf("memory grew by %d MiB, want at most %d", (now-before)>>20, most>>20)
	} else {
		t.Logf("memory grew by %d KiB", int64(now-before)>>10)
	}
	if _, err := io.WriteString(healthy, "z LOGOUT\r\n"); err != nil {
		t.Error(err)
	}
	healthy.says("z OK", healthy.gone())
}
