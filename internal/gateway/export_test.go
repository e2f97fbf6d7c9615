package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

func TestExport(t *testing.T) {
	ctx := context.Background()
	master, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeyring(master)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(bolt.Options{Path: t.TempDir(), Keyring: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const minutes = 2*exportPage + 300
	for first := 0; first < minutes; first += 100 {
		err := s.Update(ctx, func(tx store.Tx) error {
			if err := tx.PutEndpoint(&store.Endpoint{ID: "ep"}); err != nil {
				return err
			}
			for i := first; i < first+100; i++ {
				e := &event.Event{Type: event.MessageCreated, Account: "a1", Time: begin.Add(time.Duration(i) * time.Minute), Message: fmt.Sprint("m", i),
					Internal: i%10 == 3, Snapshot: &event.Snapshot{Subject: "a secret matter"}}
				if err := tx.AppendEvent(e); err != nil {
					return err
				}
				d := &store.Delivery{ID: event.HashID("d", "ep", e.ID), Endpoint: "ep", Lane: "a1", Account: "a1", Event: e.ID, Type: string(e.Type),
					Position: e.Position, Sequence: e.Sequence, Rendition: "full", CreatedAt: e.Time, NextAt: e.Time}
				if err := tx.PutBody(d, []byte("a secret matter")); err != nil {
					return err
				}
				if err := tx.Enqueue(d); err != nil {
					return err
				}
				if i%2 == 0 {
					d.State, d.Attempts, d.LastStatus, d.DoneAt = store.DeliveryDead, 3, 500, e.Time.Add(time.Hour)
					if err := tx.Settle(d); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := func(what string, since time.Time) []string {
		t.Helper()
		var b bytes.Buffer
		if err := Export(ctx, s, what, since, &b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "secret") {
			t.Error("mail is exported")
		}
		return slices.Collect(strings.Lines(b.String()))
	}
	for _, from := range []int{-5, 0, 1, 499, 500, minutes - 1, minutes + 5} {
		since := begin.Add(time.Duration(from) * time.Minute)
		told, dead := 0, 0
		for i := max(from, 0); i < minutes; i++ {
			if i%10 != 3 {
				told++
			}
			if i%2 == 0 {
				dead++
			}
		}
		events := lines(ExportEvents, since)
		if len(events) != told {
			t.Errorf("since minute %d: %d events, want %d", from, len(events), told)
		}
		for _, line := range events {
			var e EventLine
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.Before(since) || e.ID == "" || e.Message == "" {
				t.Fatalf("%v in %s", err, line)
			}
		}
		if got := lines(ExportDeadLetters, since); len(got) != dead {
			t.Errorf("since minute %d: %d dead letters, want %d", from, len(got), dead)
		}
	}
	if err := Export(ctx, s, "everything", begin, &bytes.Buffer{}); err == nil {
		t.Error("anything can be exported")
	}
}
