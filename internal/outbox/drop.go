package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

// dropSetting lists endpoints that were deleted and whose deliveries are not
// all removed yet, so that a crash in between leaves nothing behind.
const dropSetting = "outbox.drop"

// retryDrop is how long after trouble with the store that is gone on with.
const retryDrop = 5 * time.Second

// Remove deletes an endpoint in a transaction, and remembers there that what
// it was owed is still to be removed. Call Forget after the commit.
func Remove(tx store.Tx, endpoint string) error {
	if err := tx.DeleteEndpoint(endpoint); err != nil {
		return fmt.Errorf("delete endpoint: %w", err)
	}
	list, err := toDrop(tx)
	if err != nil || slices.Contains(list, endpoint) {
		return err
	}
	return putToDrop(tx, append(list, endpoint))
}

func toDrop(tx store.Tx) (list []string, err error) {
	b, err := tx.Setting(dropSetting)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read deleted endpoints: %w", err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read deleted endpoints: %w", err)
	}
	return list, nil
}

func putToDrop(tx store.Tx, list []string) error {
	if len(list) == 0 {
		return tx.DeleteSetting(dropSetting)
	}
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("write deleted endpoints: %w", err)
	}
	return tx.PutSetting(dropSetting, b)
}

// resumeDrops goes on with what a former run has left.
func (o *Outbox) resumeDrops(ctx context.Context) error {
	var list []string
	err := o.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = toDrop(tx)
		return err
	})
	for _, id := range list {
		o.Forget(id)
	}
	return err
}

// drop removes what a deleted endpoint was owed, in the background.
func (o *Outbox) drop(ep *endpoint) {
	ep.dropping = true
	for _, l := range ep.lanes {
		if l.state != laneBusy { // or its attempt sees to it
			o.abandon(l)
		}
	}
	ep.lanes, ep.queue, ep.more, ep.overdue = map[string]*lane{}, fifo[*lane]{}, false, nil
	if !o.running {
		return // the next run does it
	}
	o.chores.Go(func() {
		for {
			err := o.dropAll(o.choreCtx, ep.id)
			if err == nil || o.choreCtx.Err() != nil {
				break // what is left is dropped by the next run
			}
			o.opts.Log.Error("outbox cannot drop the deliveries of a deleted endpoint", "endpoint", ep.id, "error", err)
			if pause(o.choreCtx, retryDrop) != nil {
				break
			}
		}
		o.mu.Lock()
		delete(o.endpoints, ep.id)
		o.mu.Unlock()
	})
}

// abandon lets go of a lane of an endpoint that was deleted.
func (o *Outbox) abandon(l *lane) {
	if l.timer != nil {
		o.unsetTimer(l.timer)
		l.timer = nil
	}
	o.discard(l)
	l.wait.reset(l)
	l.state = laneIdle
}

func (o *Outbox) dropAll(ctx context.Context, endpoint string) error {
	for more := true; more; {
		err := o.store.UpdateSoon(ctx, func(tx store.Tx) (err error) {
			if more, err = tx.DropDeliveries(endpoint, chunk); err != nil || more {
				return err
			}
			list, err := toDrop(tx)
			if err != nil {
				return err
			}
			return putToDrop(tx, slices.DeleteFunc(list, func(id string) bool { return id == endpoint }))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
