package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// plan says what one run of the soak does.
type plan struct {
	seed uint64
	// deliveries arrive at the accounts, half of them by SMTP; edits are changes
	// of keywords, moves and deletions, half of them made at the provider, half
	// through GraphQL; submissions are new messages and replies, of which large
	// have an attachment of 5 MB.
	deliveries, edits, submissions, large int
	// mails are submitted by a mail program.
	mails int
	// forgets is how often a provider forgets what happened in a mailbox so far.
	forgets int
	workers int
	// kills of the gateway, stops of it as an operator stops it, and cuts of each
	// of the three subscribers.
	kills, stops, cuts int
	// hits is how often each point must have been killed at.
	hits int
	// least is what the sandbox's counters must show at the end.
	least struct{ unavailable, throttled, cut, dropped, doubled int64 }
}

// reduced is what `make test` runs, full what `make soak` does.
func reduced(seed uint64) plan {
	p := plan{seed: seed, deliveries: 260, edits: 120, submissions: 24, large: 1, mails: 12, forgets: 1, workers: 8, cuts: 20}
	p.least.unavailable, p.least.throttled, p.least.cut, p.least.dropped, p.least.doubled = 10, 10, 4, 20, 20
	return p
}

func full(seed uint64) plan {
	p := plan{seed: seed, deliveries: 2000, edits: 1200, submissions: 300, large: 12, mails: 150, forgets: 8, workers: 8, cuts: 200}
	p.least.unavailable, p.least.throttled, p.least.cut, p.least.dropped, p.least.doubled = 50, 50, 10, 100, 100
	return p
}

// eachSeed runs f once in small, with a fresh seed. SOAK=5 runs it in full with
// five. SEED=N repeats a run.
func eachSeed(t *testing.T, f func(t *testing.T, p plan)) {
	t.Helper()
	size, seeds := reduced, []uint64{rand.Uint64()}
	if n, err := strconv.Atoi(os.Getenv("SOAK")); err == nil && n > 0 {
		size = full
		for len(seeds) < n {
			seeds = append(seeds, rand.Uint64())
		}
	}
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) { f(t, size(seed)) })
	}
}

// TestFaults: mail arrives, is changed from both sides and is sent, while the
// provider refuses, throttles, cuts connections, loses and repeats
// notifications and lags behind; three subscribers are cut off again and again,
// and the gateway is restarted twice. In the end the mirror is what the
// provider has, everything was told, nothing was invented, every message was
// sent once.
func TestFaults(t *testing.T) {
	t.Parallel() // with TestKills: both wait for the provider most of the time
	eachSeed(t, func(t *testing.T, p plan) {
		p.stops = 2
		newSoak(t, p).run()
	})
}

// TestKills is TestFaults with a gateway that is killed again and again, each
// time in the middle of something.
func TestKills(t *testing.T) {
	t.Parallel()
	eachSeed(t, func(t *testing.T, p plan) {
		if p.kills, p.hits = 50, 3; p.deliveries < 1000 {
			p.kills, p.hits = 10, 1
		}
		newSoak(t, p).run()
	})
}
