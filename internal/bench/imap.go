package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pollEvery is how often something is looked at that cannot tell.
const pollEvery = 20 * time.Millisecond

// thunderbirdHeaders is what Thunderbird asks of every message of a folder that
// it opens for the first time.
const thunderbirdHeaders = "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"

// imapMailbox is an account with its inbox at both servers: the gateway, whose
// provider is the sandbox, and Dovecot where there is one.
type imapMailbox struct {
	b        *bench
	w        *world
	ours     imapServer
	dovecot  *dovecot
	expected expected
	account  string
	address  string
}

// imapRows measure what mail programs ask beside Dovecot: the same client and
// the same messages. What the servers tell must be the same, or the run fails.
func imapRows(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.imapMailbox(ctx, b.count(b.messages, 120))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	for _, measure := range []func(context.Context) ([]row, error){m.reads, m.idles, m.memoryRows, m.writes, m.hostile} {
		some, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

func (b *bench) imapMailbox(ctx context.Context, n int) (m *imapMailbox, err error) {
	m = &imapMailbox{b: b, expected: expectedOf(n)}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	fmt.Fprintf(b.log, "  %d messages, %d kB\n", n, m.expected.bytes/1000)
	m.dovecot, err = b.startDovecot(ctx, n)
	if errors.Is(err, errNoDovecot) {
		fmt.Fprintf(b.log, "  the rows stand alone: %v\n", err)
		err = nil
	}
	if err != nil {
		return m, err
	}
	if m.w, err = b.worldAt(ctx, countsUnits()); err != nil {
		return m, err
	}
	m.address = "programs@" + m.w.at.domain
	if err := m.w.user(ctx, m.address); err != nil {
		return m, err
	}
	if err := m.w.deliverLetters(ctx, m.address, 0, n); err != nil {
		return m, err
	}
	if m.account, err = m.w.connect(ctx, m.address); err != nil {
		return m, err
	}
	if err := m.w.inStep(ctx, m.account); err != nil {
		return m, err
	}
	if m.ours, err = m.w.appPassword(ctx, m.account, m.address); err != nil {
		return m, err
	}
	return m, m.settle(ctx)
}

// settle reads everything once at both: the bytes are here then, and what is
// kept at hand is at hand.
func (m *imapMailbox) settle(ctx context.Context) error {
	for name, s := range m.servers() {
		c, err := s.login(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		got, err := c.fetch("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])")
		if err == nil && got != m.expected.bodies {
			err = fmt.Errorf("%s tells of %d messages, and not of what was delivered", name, got.count)
		}
		for _, items := range []string{"(BODYSTRUCTURE ENVELOPE)", thunderbirdHeaders} {
			if err == nil {
				_, err = c.fetch("FETCH 1:* " + items)
			}
		}
		if err := errors.Join(err, c.close()); err != nil {
			return err
		}
		fmt.Fprintf(m.b.log, "  %s has told everything once, after %s ms\n", name, short(milliseconds(time.Since(began))))
	}
	return nil
}

func (m *imapMailbox) close() error {
	var errs []error
	if m.w != nil {
		errs = append(errs, m.w.close())
	}
	if m.dovecot != nil {
		errs = append(errs, m.dovecot.stop())
	}
	return errors.Join(errs...)
}

func (m *imapMailbox) servers() map[string]*imapServer {
	all := map[string]*imapServer{"the gateway": &m.ours}
	if m.dovecot != nil {
		all["Dovecot"] = &m.dovecot.server
	}
	return all
}

// appPassword makes the password that a mail program would have.
func (w *world) appPassword(ctx context.Context, account, address string) (imapServer, error) {
	var got struct{ CreateAppPassword struct{ Password string } }
	err := w.query(ctx, `mutation($in: CreateAppPasswordInput!) { createAppPassword(input: $in) { password } }`,
		map[string]any{"in": map[string]any{"account": account, "name": "bench"}}, &got)
	return imapServer{w.imap, address, got.CreateAppPassword.Password}, err
}

// imapRow is one thing that mail programs do, at whichever server.
type imapRow struct {
	name string
	// most is how many times as long as Dovecot it may take.
	most float64
	// run logs in itself; with is given a client that has, which is not measured.
	run  func(ctx context.Context, s *imapServer) (tally, error)
	with func(c *imapClient) (tally, error)
	// count is how many answers there must be.
	count int
}

// reads measures what is answered from the mirror.
func (m *imapMailbox) reads(ctx context.Context) ([]row, error) {
	e := &m.expected
	n := e.n
	singles := min(1000, n)
	fetch := func(command string) func(*imapClient) (tally, error) {
		return func(c *imapClient) (tally, error) { return c.fetch(command) }
	}
	search := func(key string) func(*imapClient) (tally, error) {
		return func(c *imapClient) (tally, error) { return c.search("UID SEARCH " + key) }
	}
	all := []imapRow{
		{name: "connect, LOGIN, SELECT", most: 1, run: func(ctx context.Context, s *imapServer) (tally, error) {
			c, err := s.login(ctx)
			if err != nil {
				return tally{}, err
			}
			return tally{}, c.close()
		}},
		{name: "FETCH 1:* (FLAGS UID RFC822.SIZE)", most: 1, count: n, with: fetch("FETCH 1:* (FLAGS UID RFC822.SIZE)")},
		{name: "UID FETCH 1:* (FLAGS)", most: 1, count: n, with: fetch("UID FETCH 1:* (FLAGS)")},
		{name: "FETCH 1:* (ENVELOPE)", most: 1, count: n, with: fetch("UID FETCH 1:* (ENVELOPE)")},
		{name: "FETCH 1:* (BODYSTRUCTURE)", most: 1.5, count: n, with: fetch("UID FETCH 1:* (BODYSTRUCTURE)")},
		{name: "Thunderbird's header set", most: 1, count: n, with: fetch("UID FETCH 1:* " + thunderbirdHeaders)},
		{name: "all bodies, BODY.PEEK[]", most: 1.5, count: n, with: fetch("UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])")},
		{name: fmt.Sprintf("%d single UID FETCH BODY.PEEK[]", singles), most: 1.5, count: singles, with: func(c *imapClient) (tally, error) {
			var t tally
			for i := range singles {
				one, err := c.fetch(fmt.Sprintf("UID FETCH %d (BODY.PEEK[])", 1+i*(n/singles)))
				if err != nil {
					return t, err
				}
				t = tally{t.count + one.count, t.uids + one.uids, t.sizes + one.sizes, t.text + one.text}
			}
			return t, nil
		}},
		{name: "SEARCH TEXT, rare word", most: 1, count: e.rare, with: search("TEXT " + rareWord)},
		{name: "SEARCH SUBJECT", most: 1, count: e.subject, with: search("SUBJECT " + subjectWord)},
		{name: "SEARCH UNSEEN", most: 1, count: e.unseen, with: search("UNSEEN")},
		{name: "20 at once: LOGIN, SELECT, FETCH FLAGS", most: 1, count: 20 * n, run: func(ctx context.Context, s *imapServer) (tally, error) {
			return together(20, func() (tally, error) {
				c, err := s.login(ctx)
				if err != nil {
					return tally{}, err
				}
				t, err := c.fetch("UID FETCH 1:* (FLAGS)")
				return t, errors.Join(err, c.close())
			})
		}},
	}
	var rows []row
	for i := range all {
		r, err := m.measure(ctx, &all[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", all[i].name, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// together runs fn at once, some times, and adds up what it tells.
func together(times int, fn func() (tally, error)) (sum tally, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range times {
		all.Go(func() {
			t, failed := fn()
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, failed)
			sum = tally{sum.count + t.count, sum.uids + t.uids, sum.sizes + t.sizes, sum.text + t.text}
		})
	}
	all.Wait()
	return sum, err
}

// measure lets the servers take turns at one thing, and compares what they told.
func (m *imapMailbox) measure(ctx context.Context, r *imapRow) (row, error) {
	var first *tally
	once := func(name string, s *imapServer) (float64, error) {
		var c *imapClient
		run := func() (tally, error) { return r.run(ctx, s) }
		if r.with != nil {
			var err error
			if c, err = s.login(ctx); err != nil {
				return 0, err
			}
			run = func() (tally, error) { return r.with(c) }
		}
		began := time.Now()
		got, err := run()
		took := milliseconds(time.Since(began))
		if c != nil {
			err = errors.Join(err, c.close())
		}
		switch {
		case err != nil:
			return 0, fmt.Errorf("%s: %w", name, err)
		case got.count != r.count:
			return 0, fmt.Errorf("%s tells of %d, not of %d", name, got.count, r.count)
		case first == nil:
			first = &got
		case *first != got:
			return 0, fmt.Errorf("%s does not tell what the other does", name)
		}
		return took, nil
	}
	var ours, theirs []float64
	for i := range m.b.runs {
		t, err := once("the gateway", &m.ours)
		if err != nil {
			return row{}, err
		}
		ours = append(ours, t)
		if m.dovecot == nil {
			continue
		}
		if t, err = once("Dovecot", &m.dovecot.server); err != nil {
			return row{}, err
		}
		theirs = append(theirs, t)
		fmt.Fprintf(m.b.log, "  %s, run %d: %s ms; Dovecot %s ms\n", r.name, i+1, short(ours[i]), short(t))
	}
	return m.beside(r.name, median(ours), median(theirs), r.most), nil
}

// beside is the row of a figure beside Dovecot's, warm.
func (m *imapMailbox) beside(name string, ours, theirs, most float64) row {
	out := row{path: fmt.Sprintf("IMAP, %d messages: %s", m.expected.n, name), ours: ours, unit: "ms"}
	if m.dovecot == nil {
		return out
	}
	out.reference, out.theirs, out.goal, out.met = "Dovecot, warm", theirs, "no slower", ours <= most*theirs
	if most > 1 {
		out.goal = fmt.Sprintf("within %s times", short(most))
	}
	return out
}

// quantiles gives the median and the 99th percentile in milliseconds.
func quantiles(all []time.Duration) (p50, p99 float64) {
	slices.Sort(all)
	return milliseconds(percentile(all, 50)), milliseconds(percentile(all, 99))
}
