package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"time"
)

// point is a moment at which the gateway is killed.
type point struct {
	name string
	must bool // it must have been hit
	// lay lays the trap for it. What it gives is closed once something is in
	// flight, and dead must be closed once the gateway is dead.
	lay func(ctx context.Context) (caught <-chan struct{}, dead chan<- struct{}, lift func())
	// stir makes such a moment likely.
	stir func(context.Context, *rand.Rand) error
}

// points are all of them, with one provider.
func (s *soak) points(c *soakProvider) []point {
	held := func(at stage, want func(*http.Request, string) bool) func(context.Context) (<-chan struct{}, chan<- struct{}, func()) {
		return func(context.Context) (<-chan struct{}, chan<- struct{}, func()) {
			t := newTrap(at, want)
			c.proxy.set(t)
			return t.caught, t.dead, func() { c.proxy.set(nil) }
		}
	}
	sunk := func(next bool) func(context.Context) (<-chan struct{}, chan<- struct{}, func()) {
		return func(context.Context) (<-chan struct{}, chan<- struct{}, func()) {
			t := &sinkTrap{next: next, caught: make(chan struct{}), dead: make(chan struct{})}
			s.sink.set(t)
			return t.caught, t.dead, func() { s.sink.set(nil) }
		}
	}
	commit := func(ctx context.Context) (<-chan struct{}, chan<- struct{}, func()) {
		ctx, cancel := context.WithCancel(ctx)
		caught, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			if err := s.stopInCommit(ctx); err == nil {
				close(caught)
			} else if ctx.Err() == nil {
				s.t.Errorf("wait for a commit: %v", err)
			}
		}()
		return caught, make(chan struct{}), func() {
			cancel()
			<-ended
		}
	}
	send := func(ctx context.Context, rng *rand.Rand) error { return s.sendFrom(ctx, rng, s.some(rng, c), 0) }
	deliver := func(ctx context.Context, rng *rand.Rand) error { return s.deliverTo(ctx, rng, s.some(rng, c)) }
	expire := func(ctx context.Context, rng *rand.Rand) error {
		return errors.Join(s.controlTry(ctx, "POST", "/control/users/"+s.some(rng, c)+"/expire-tokens", "", nil), deliver(ctx, rng))
	}
	edit := func(ctx context.Context, rng *rand.Rand) error { return s.editHereOf(ctx, rng, s.some(rng, c)) }
	all := []point{
		{"sync", true, held(atHalf, c.kinds.changes), deliver},
		{"commit", true, commit, deliver},
		{"acknowledgement", true, sunk(false), deliver},
		{"token refresh", true, held(atRequest, c.kinds.token), expire},
		{"draft made but not sent", true, held(atRequest, c.kinds.send), send},
		{"sync", true, held(atAnswer, c.kinds.changes), deliver},
		{"commit", true, commit, deliver},
		{"next in lane", false, sunk(true), deliver},
		{"token refresh", true, held(atAnswer, c.kinds.token), expire},
		{"draft made but not sent", true, held(atAnswer, c.kinds.draft), send},
		{"sent, and nobody knows", false, held(atAnswer, c.kinds.send), send},
		{"changed, and nobody knows", false, held(atAnswer, c.kinds.write), edit},
		{"acknowledgement", true, sunk(false), deliver},
	}
	if runtime.GOOS == "linux" {
		return all
	}
	out := all[:0] // a commit can be seen on Linux alone
	for _, p := range all {
		if p.name != "commit" {
			out = append(out, p)
		}
	}
	return out
}

// killAll kills the gateway as often as the plan says, while the load goes on.
func (s *soak) killAll(ctx context.Context) error {
	steps := int64(len(s.load.ops)) / int64(s.plan.kills+1)
	for i := range s.plan.kills {
		s.load.gate.open(int64(i+2) * steps)
		if err := s.works(ctx); err != nil {
			return err
		}
		// By turns at each provider, and, since there is no even number of
		// points, in the end at each point with each.
		points := s.points(s.cloud(i))
		p := points[(i+int(s.plan.seed%uint64(len(points))))%len(points)]
		if err := s.killAt(ctx, p, i); err != nil {
			return fmt.Errorf("kill %d, %s: %w", i, p.name, err)
		}
	}
	s.load.gate.open(int64(len(s.load.ops)))
	return nil
}

// works lets the gateway do a piece of work after a start, as the receiver sees
// it, or all there is: one that is killed before it comes to anything proves
// little.
func (s *soak) works(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	begin := s.sink.count()
	for last, since := begin, time.Now(); last < begin+s.plan.deliveries/50 && time.Since(since) < 4*time.Second; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if n := s.sink.count(); n != last {
			last, since = n, time.Now()
		}
	}
	return nil
}

// killAt kills the gateway at a point, and starts it anew.
func (s *soak) killAt(ctx context.Context, p point, n int) error {
	caught, dead, lift := p.lay(ctx)
	rng := rand.New(rand.NewPCG(s.plan.seed, 1_000_000+uint64(n)))
	enough, stirred := make(chan struct{}), make(chan error, 1)
	go func() {
		// What others do leads there, too; this makes sure.
		for {
			if err := p.stir(ctx, rng); err != nil {
				stirred <- err
				return
			}
			select {
			case <-time.After(2 * time.Second):
			case <-enough:
				stirred <- nil
				return
			}
		}
	}()
	var err error
	select {
	case <-caught:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(stall):
		err = errors.New("nothing was caught")
	}
	if err == nil {
		s.kill()
		s.killed[p.name]++
	}
	close(dead)
	lift()
	if err == nil {
		err = s.again()
	}
	// What was stirred up last ends only now that there is a gateway again.
	close(enough)
	return errors.Join(err, <-stirred)
}

// stopAll stops the gateway as an operator does, while the load goes on.
func (s *soak) stopAll(ctx context.Context) error {
	steps := int64(len(s.load.ops)) / int64(s.plan.stops+1)
	for i := range s.plan.stops {
		s.load.gate.open(int64(i+2) * steps)
		for s.load.next.Load() < int64(i+1)*steps {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		s.gateway.stop(s.t)
		if s.gateway.err != nil {
			s.t.Errorf("stop %d: the gateway ended with %v\n%s", i, s.gateway.err, s.gateway.tail())
		}
		if err := s.again(); err != nil {
			return err
		}
	}
	s.load.gate.open(int64(len(s.load.ops)))
	return nil
}
