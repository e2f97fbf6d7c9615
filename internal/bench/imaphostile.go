package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// hostileConnections is how many there are at once, of all kinds.
const hostileConnections = 200

// hostile measures what clients that mean no good cost the others: the memory
// of the gateway, and how long a healthy client waits for a NOOP.
func (m *imapMailbox) hostile(ctx context.Context) (rows []row, err error) {
	const limit = 64 << 20
	c, err := m.ours.login(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	lasts := time.Duration(m.b.count(20_000, 500)) * time.Millisecond
	calm, _, err := m.noops(ctx, c, lasts/4)
	if err != nil {
		return nil, err
	}
	_, before, err := memory(m.w.gateway.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	siege, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range hostileConnections {
		kind := hostileKinds[i%len(hostileKinds)]
		all.Go(func() {
			for siege.Err() == nil {
				m.attack(siege, kind)
			}
		})
	}
	waits, most, err := m.noops(ctx, c, lasts)
	stop()
	all.Wait()
	if err != nil {
		return nil, fmt.Errorf("a healthy client beside hostile ones: %w", err)
	}
	_, calm99 := quantiles(calm)
	_, p99 := quantiles(waits)
	grown := most - before
	name := fmt.Sprintf("%d hostile connections", hostileConnections)
	return []row{
		{path: "IMAP, " + name + ": growth of memory", ours: float64(grown) / (1 << 20), unit: "MiB", goal: "under 64", met: grown < limit},
		{path: "IMAP, " + name + ": a healthy client's NOOP, p99", reference: "the same without them", ours: p99, theirs: calm99, unit: "ms"},
	}, nil
}

// noops lets a healthy client ask now and then, and gives how long it waited,
// and what the gateway had in memory at the most.
func (m *imapMailbox) noops(ctx context.Context, c *imapClient, lasts time.Duration) (waits []time.Duration, most int64, err error) {
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		began := time.Now()
		if err := c.do("NOOP", nil); err != nil {
			return nil, 0, err
		}
		waits = append(waits, time.Since(began))
		_, own, err := memory(m.w.gateway.cmd.Process.Pid)
		if err != nil {
			return nil, 0, err
		}
		most = max(most, own)
		if err := pass(ctx, pollEvery/2); err != nil {
			return nil, 0, err
		}
	}
	return waits, most, nil
}

// hostileKinds are what a connection may do that means no good.
var hostileKinds = []func(ctx context.Context, m *imapMailbox, conn net.Conn) error{
	// says nothing, and stays.
	func(ctx context.Context, _ *imapMailbox, _ net.Conn) error { return pass(ctx, time.Minute) },
	// speaks a byte at a time.
	func(ctx context.Context, _ *imapMailbox, conn net.Conn) error {
		return slowly(ctx, conn, "a1 LOGIN \"somebody\" \"with all the time in the world\"\r\n")
	},
	// rubbish.
	func(ctx context.Context, _ *imapMailbox, conn net.Conn) error {
		return stream(ctx, conn, func(p []byte) {
			for i := range p {
				p[i] = byte(rand.Uint32())
			}
		})
	},
	// a line that does not end.
	func(ctx context.Context, _ *imapMailbox, conn net.Conn) error {
		return stream(ctx, conn, func(p []byte) { fillWith(p, 'a') })
	},
	// a literal that is too large, sent without being asked for.
	func(ctx context.Context, m *imapMailbox, conn net.Conn) error {
		if err := m.enter(conn, "b1 APPEND INBOX {4294967295+}\r\n"); err != nil {
			return err
		}
		return stream(ctx, conn, func(p []byte) { fillWith(p, 'x') })
	},
	// asks for everything and never reads.
	func(ctx context.Context, m *imapMailbox, conn net.Conn) error {
		if err := m.enter(conn, "b1 SELECT INBOX\r\n"+strings.Repeat("b2 UID FETCH 1:* (BODY.PEEK[])\r\n", 20)); err != nil {
			return err
		}
		return pass(ctx, time.Minute)
	},
	// sets of ten thousand numbers, one command after the other.
	func(ctx context.Context, m *imapMailbox, conn net.Conn) error {
		var set strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&set, "%d,", 1+i*3)
		}
		if err := m.enter(conn, "b1 SELECT INBOX\r\n"); err != nil {
			return err
		}
		command := "b2 UID FETCH " + set.String() + "1 (FLAGS)\r\n"
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		for ctx.Err() == nil {
			if _, err := io.WriteString(conn, command); err != nil {
				return err
			}
			if err := pass(ctx, 10*pollEvery); err != nil {
				return err
			}
		}
		return ctx.Err()
	},
	// rubbish after IDLE.
	func(ctx context.Context, m *imapMailbox, conn net.Conn) error {
		if err := m.enter(conn, "b1 SELECT INBOX\r\nb2 IDLE\r\nb3 NOOP\r\nb4 FETCH 1 (FLAGS)\r\n\r\n\r\n"); err != nil {
			return err
		}
		return stream(ctx, conn, func(p []byte) { copy(p, "rubbish after IDLE\r\n"); fillWith(p[20:], '\n') })
	},
}

// attack runs one kind on one connection.
func (m *imapMailbox) attack(ctx context.Context, kind func(context.Context, *imapMailbox, net.Conn) error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.ours.address)
	if err == nil {
		ended := context.AfterFunc(ctx, func() { _ = conn.Close() })
		_ = kind(ctx, m, conn) // the server may close it whenever it likes
		ended()
		_ = conn.Close()
	}
	_ = pass(ctx, 5*pollEvery)
}

// enter logs in and says what follows at once.
func (m *imapMailbox) enter(conn net.Conn, then string) error {
	_, err := fmt.Fprintf(conn, "b0 LOGIN %q %q\r\n%s", m.ours.user, m.ours.password, then)
	return err
}

func slowly(ctx context.Context, conn net.Conn, text string) error {
	for i := range len(text) {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return err
		}
		if err := pass(ctx, 10*pollEvery); err != nil {
			return err
		}
	}
	return pass(ctx, time.Minute)
}

// stream sends without end, not faster than a link of a megabit, so that
// what is measured is no contest for the processors.
func stream(ctx context.Context, conn net.Conn, fill func([]byte)) error {
	p := make([]byte, 16<<10)
	for {
		fill(p)
		if _, err := conn.Write(p); err != nil {
			return err
		}
		if err := pass(ctx, 5*pollEvery); err != nil {
			return err
		}
	}
}

func fillWith(p []byte, c byte) {
	for i := range p {
		p[i] = c
	}
}
