package gateway

import (
	"context"
	"time"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// owing hands the webhooks' knowledge of what is owed to the outbox, which is
// there before them.
type owing struct{ g *Gateway }

func (o owing) Wanted(tx store.Tx, endpoint string, after uint64, limit int) ([]outbox.Wanted, uint64, error) {
	return o.g.hooks.Wanted(tx, endpoint, after, limit)
}

func (o owing) Body(tx store.Tx, d *store.Delivery) error { return o.g.hooks.Body(tx, d) }

func (o owing) Moved(tx store.Tx, to string, d *store.Delivery) (*store.Delivery, error) {
	return o.g.hooks.Moved(tx, to, d)
}

// waitReplay is how long a caller waits for a replay that may be short.
const waitReplay = 5 * time.Second

// Replay starts a replay, or only counts what it would do.
func (d deliverer) Replay(ctx context.Context, in service.Replay) (*store.Job, error) {
	return replay(ctx, d.outbox, in)
}

func replay(ctx context.Context, o *outbox.Outbox, in service.Replay) (*store.Job, error) {
	r := outbox.Replay{Source: in.Source, Filter: in.Filter, States: in.States, To: in.To, PerSecond: in.PerSecond}
	if in.DryRun {
		return o.CountReplay(ctx, r)
	}
	j, err := o.Replay(ctx, r)
	if err != nil || !in.Wait {
		return j, err
	}
	return o.Await(ctx, j.ID, waitReplay)
}

// CancelReplay ends a replay.
func (d deliverer) CancelReplay(ctx context.Context, id string) (*store.Job, error) {
	return d.outbox.CancelJob(ctx, id)
}
