package access

import (
	"container/list"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Whoever is wrong waits: longer with each time, and past a limit a while in
// which nothing from there is looked at. Both hold for one user name from one
// address, and with wider limits for the address itself. Nobody else waits,
// what is connected stays connected, and a lock always ends by itself.
const (
	firstDelay = 200 * time.Millisecond
	lastDelay  = 3 * time.Second
	// lockedDelay is what an answer takes that looks at nothing, and one that
	// refuses what was good once.
	lockedDelay = time.Second
	// userLimit is how many wrong secrets one user name may get from an address,
	// and remoteLimit an address altogether: behind it may be a whole company,
	// or on this machine every mail program there is.
	userLimit   = 10
	remoteLimit = 100
	// A lock lasts firstLock, and twice as long each time that it closes again,
	// up to lastLock.
	firstLock = time.Minute
	lastLock  = 15 * time.Minute
	// forgetAfter is how long after the last one wrong secrets are remembered.
	forgetAfter = time.Hour
	// maxGuessers bounds what is remembered. The longest unseen goes first.
	maxGuessers = 20_000
)

// guesser is who was wrong: an address, or one user name from an address.
type guesser struct {
	remote netip.Prefix
	user   string
}

// record is what is remembered of a guesser.
type record struct {
	who    guesser
	wrong  int // since the last lock
	locks  int
	last   time.Time
	locked time.Time // until
}

// guesses remembers who was wrong.
type guesses struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[guesser]*list.Element
	// seen has the records, those of who was wrong last in front.
	seen *list.List
}

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, m: map[guesser]*list.Element{}, seen: list.New()}
}

// from is the network that is taken for one guesser: whoever has one address of
// an IPv6 /64 has them all.
func from(remote netip.Addr) netip.Prefix {
	bits := 32
	if remote.Is6() {
		bits = 64
	}
	p, err := remote.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address, as with a test's pipe: all of these are one
	}
	return p
}

func guessers(remote netip.Addr, user string) (byUser, byRemote guesser) {
	net := from(remote)
	const longest = 320 // of an address (RFC 3696, 3)
	user = strings.ToLower(user)
	return guesser{net, user[:min(len(user), longest)]}, guesser{remote: net}
}

// locked gives how long nothing from there is looked at, 0 for not at all.
func (g *guesses) locked(remote netip.Addr, user string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	var wait time.Duration
	byUser, byRemote := guessers(remote, user)
	for _, who := range []guesser{byUser, byRemote} {
		if e := g.m[who]; e != nil {
			wait = max(wait, e.Value.(*record).locked.Sub(now))
		}
	}
	return wait
}

// wrong notes a wrong secret and gives how long its answer waits, and whether
// it was the last one for a while. Where it is known it only waits.
func (g *guesses) wrong(remote netip.Addr, user string, known bool) (delay time.Duration, locked bool) {
	if known {
		return lockedDelay, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	byUser, byRemote := guessers(remote, user)
	n, lockedUser := g.add(byUser, userLimit)
	// An address that tries many user names waits as one that tries one of them
	// often, once it is beyond what people get wrong.
	all, lockedRemote := g.add(byRemote, remoteLimit)
	n = max(n, all-userLimit)
	delay = lastDelay
	if n < 5 {
		delay = min(delay, firstDelay<<(n-1))
	}
	return delay, lockedUser || lockedRemote
}

// add counts one more, and locks at the limit.
func (g *guesses) add(who guesser, limit int) (n int, locked bool) {
	now := g.now()
	e := g.m[who]
	if e == nil {
		for g.seen.Len() >= maxGuessers {
			oldest := g.seen.Back()
			delete(g.m, oldest.Value.(*record).who)
			g.seen.Remove(oldest)
		}
		e = g.seen.PushFront(&record{who: who})
		g.m[who] = e
	}
	g.seen.MoveToFront(e)
	r := e.Value.(*record)
	if now.Sub(r.last) > forgetAfter {
		*r = record{who: who}
	}
	r.wrong++
	r.last = now
	n = r.wrong
	if r.wrong >= limit {
		r.locked = now.Add(min(lastLock, firstLock<<min(r.locks, 10)))
		r.locks++
		r.wrong = 0
	}
	return n, r.wrong == 0
}

// right forgets what a user name got wrong from there. The address's own count
// stays: one right password does not make up for guessing others.
func (g *guesses) right(remote netip.Addr, user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who, _ := guessers(remote, user)
	if e := g.m[who]; e != nil {
		delete(g.m, who)
		g.seen.Remove(e)
	}
}
