package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// TestMain plays a role where the bench started a copy of this program.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role))
	}
	os.Exit(m.Run())
}

// TestRows runs every group with a few operations: each works, and what the
// sink counts is what was made. No time is asserted.
func TestRows(t *testing.T) {
	var out, log bytes.Buffer
	b := &bench{out: &out, log: &log, quick: true, dir: t.TempDir()}
	if err := b.run(context.Background()); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	head, table, ok := strings.Cut(out.String(), "path ")
	if !strings.HasPrefix(head, "disk: ") || !ok {
		t.Fatalf("no disk at the top, or no table:\n%s", out.String())
	}
	for _, path := range []string{
		"outbox, 1 producer, p50", "outbox, 64 producers", "outbox, 512 producers", "healthy endpoint while", "recovery of",
		"notification to webhook, p99", "notification to subscriber, p99", "first sync of", "first sync of 50 messages of Gmail, units spent", "new mail of Gmail, pulled, to webhook, p99", "GraphQL, list of 50",
		"one new mail at", "memory with", "a plugin's death", "new mail of one account",
		"IMAP, 120 messages: Thunderbird's header set", "IMAP, IDLE: from the journal entry", "IMAP, 120 messages: memory with 10 idle clients", "IMAP, provider in the path: UID MOVE of 120", "IMAP, 200 hostile connections: growth of memory",
	} {
		if !strings.Contains(table, "\n"+path) {
			t.Errorf("the table has no row %q", path)
		}
	}
	if strings.Contains(table, "NaN") || strings.Contains(table, "Inf") {
		t.Error("a figure is none")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// TestSinkCounts shows that a run fails whose deliveries are not what was
// made: too few, forged, twice, or out of order.
func TestSinkCounts(t *testing.T) {
	ctx := context.Background()
	s, err := startSink(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	b := &bench{sink: s}
	body := func(sequence string) []byte {
		return []byte(`{"account":{"id":"a"},"sequence":` + sequence + `,"data":{}}`)
	}
	type sent struct {
		id, sequence string
		forged       bool
	}
	for _, c := range []struct {
		name string
		made int
		sent []sent
		good bool
	}{
		{"as made", 2, []sent{{"e1", "1", false}, {"e2", "2", false}}, true},
		{"one is missing", 2, []sent{{"e1", "1", false}}, false},
		{"one twice", 1, []sent{{"e1", "1", false}, {"e1", "1", false}}, false},
		{"one too many", 1, []sent{{"e1", "1", false}, {"e2", "2", false}}, false},
		{"out of order", 2, []sent{{"e2", "2", false}, {"e1", "1", false}}, false},
		{"forged", 1, []sent{{"e1", "1", false}, {"e2", "2", true}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.order(ctx, orders{Secret: bareSecret}); err != nil {
				t.Fatal(err)
			}
			p := b.poster(1)
			for _, d := range c.sent {
				body := body(d.sequence)
				if d.forged {
					p.tamper = true
				}
				if err := p.post(ctx, d.id, body); (err != nil) != d.forged {
					t.Fatal(err)
				}
			}
			if err := s.check(ctx, c.made); (err == nil) != c.good {
				t.Errorf("check: %v", err)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for want, all := range map[float64][]float64{3: {5, 1, 3}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		if got := median(all); got != want {
			t.Errorf("median of %v is %v, want %v", all, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	err := printTable(&out, []row{
		{path: "a path", reference: "its reference", ours: 50, theirs: 200, unit: "/s", goal: "at least half"},
		{path: "another", ours: 0.1234, unit: "s", goal: "2 s", met: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"path reference measured reference's ratio goal",
		"a path its reference 50.0 /s 200 /s 0.25 at least half MISSED",
		"another 0.123 s - - 2 s met",
	}
	for i, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if got := strings.Join(strings.Fields(l), " "); got != want[i] {
			t.Errorf("line %d is %q, want %q", i, got, want[i])
		}
	}
}
