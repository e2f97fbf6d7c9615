// Package journal writes the one list that everything outside reads.
//
// What is kept true: an event, the change that it tells, and whatever is owed
// because of it are written in one transaction; readers are woken once that
// transaction is durable. Services change records inside Update and add the
// events there; the hooks that the gateway wired (what webhooks are owed) see
// the records as the transaction leaves them.
package journal

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// Hook is called inside the transaction, after its changes, with the events
// that it appended.
type Hook func(tx store.Tx, events []event.Event) error

// Journal appends events.
type Journal struct {
	store store.Store
	bus   *event.Bus
	now   func() time.Time
	hooks []Hook
}

// New makes a journal over a store. The bus is woken after commits.
func New(s store.Store, bus *event.Bus, now func() time.Time, hooks ...Hook) *Journal {
	return &Journal{store: s, bus: bus, now: now, hooks: hooks}
}

// Batch collects the events of one transaction.
type Batch struct {
	tx     store.Tx
	now    time.Time
	events []event.Event
	last   []func() error
	// trace is the traceparent of the context that the change is made in.
	trace string
}

// Finally runs fn in the same transaction after the hooks: for a record that
// they must still see.
func (b *Batch) Finally(fn func() error) { b.last = append(b.last, fn) }

// Add appends an event and gives its sequence, for the records that it
// changes. Time is set where it is zero.
func (b *Batch) Add(e *event.Event) (sequence uint64, err error) {
	if e.Time.IsZero() {
		e.Time = b.now
	}
	e.Trace = b.trace
	if err := b.tx.AppendEvent(e); err != nil {
		return 0, fmt.Errorf("append %s: %w", e.Type, err)
	}
	b.events = append(b.events, *e)
	return e.Sequence, nil
}

// Update runs fn in a transaction of the store, then the hooks.
func (j *Journal) Update(ctx context.Context, fn func(tx store.Tx, b *Batch) error) error {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return j.store.Update(ctx, func(tx store.Tx) error {
		b := &Batch{tx: tx, now: j.now().UTC(), trace: carrier.Get("traceparent")}
		if err := fn(tx, b); err != nil {
			return err
		}
		if err := j.finish(tx, b); err != nil {
			return err
		}
		for _, fn := range b.last {
			if err := fn(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j *Journal) finish(tx store.Tx, b *Batch) error {
	if len(b.events) == 0 {
		return nil
	}
	for _, hook := range j.hooks {
		if err := hook(tx, b.events); err != nil {
			return fmt.Errorf("journal hook: %w", err)
		}
	}
	events := b.events
	tx.AfterCommit(func() { j.bus.Publish(events) })
	return nil
}
