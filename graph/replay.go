package graph

import (
	"context"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func (r replayJobResolver) EndpointID(_ context.Context, j *store.Job) (*string, error) {
	return optional(j.Endpoint), nil
}

func (r replayJobResolver) AccountID(_ context.Context, j *store.Job) (*string, error) {
	return optional(j.Account), nil
}

func (r replayJobResolver) Type(_ context.Context, j *store.Job) (*event.Type, error) {
	if j.Type == "" {
		return nil, nil
	}
	t := event.Type(j.Type)
	return &t, nil
}

func (r replayJobResolver) ToID(_ context.Context, j *store.Job) (*string, error) {
	return optional(j.To), nil
}

func (r replayJobResolver) PerSecond(_ context.Context, j *store.Job) (*int, error) {
	return optionalNumber(j.PerSecond), nil
}

func (r replayJobResolver) Matched(_ context.Context, j *store.Job) (*int64, error) {
	if !j.Counted {
		return nil, nil
	}
	return &j.Matched, nil
}

func (r replayJobResolver) Reason(_ context.Context, j *store.Job) (*string, error) {
	return optional(j.Reason), nil
}

func (r queryResolver) ReplayJob(ctx context.Context, id string) (*store.Job, error) {
	found, err := readEach(r.Server, store.Tx.Job)(ctx, []string{id})
	return found[id], err
}

// ReplayJobs lists replays, newest first.
func (r queryResolver) ReplayJobs(ctx context.Context, first *int, after *string) (*generated.ReplayJobConnection, error) {
	found, err := dated(ctx, r.Server, "replayJobs", first, after, func(tx store.Tx, place store.DateKey, n int) ([]*store.Job, error) {
		return tx.Jobs(place, n)
	}, func(j *store.Job) store.DateKey { return store.DateKey{At: j.CreatedAt, ID: j.ID} })
	if err != nil {
		return nil, err
	}
	c := &generated.ReplayJobConnection{Edges: make([]*generated.ReplayJobEdge, len(found.nodes)), PageInfo: found.info}
	for i, j := range found.nodes {
		c.Edges[i] = &generated.ReplayJobEdge{Cursor: found.cursors[i], Node: j}
	}
	return c, nil
}

func (r mutationResolver) Redeliver(ctx context.Context, ids []string, filter *store.DeliveryFilter, to *string, perSecond *int, dryRun *bool) (*generated.RedeliverPayload, error) {
	if (len(ids) == 0) == (filter == nil) {
		return nil, invalid("redeliver takes either ids or a filter")
	}
	if len(ids) > maxIDs {
		return nil, invalid("at most %d ids at once; use a filter", maxIDs)
	}
	if filter == nil {
		if value(to) != "" || perSecond != nil || value(dryRun) {
			return nil, invalid("to, perSecond and dryRun go with a filter")
		}
		n, err := r.services.Deliverer.Redeliver(ctx, ids)
		return &generated.RedeliverPayload{Count: n}, err
	}
	in, err := replayInput(generated.ReplayInput{To: to, PerSecond: perSecond, DryRun: dryRun})
	if err != nil {
		return nil, err
	}
	if in.Filter = *filter; in.Filter.State == "" {
		in.Filter.State = store.DeliveryDead
	}
	in.Wait = !in.DryRun
	job, err := r.services.Deliverer.Replay(ctx, in)
	if err != nil {
		return nil, err
	}
	n := job.Done
	if in.DryRun || job.State == store.JobRunning {
		n = job.Matched
	}
	return &generated.RedeliverPayload{Count: int(n), Job: job}, nil
}

func (r mutationResolver) Replay(ctx context.Context, in generated.ReplayInput) (*store.Job, error) {
	replay, err := replayInput(in)
	if err != nil {
		return nil, err
	}
	return r.services.Deliverer.Replay(ctx, replay)
}

func (r mutationResolver) CancelReplay(ctx context.Context, id string) (*store.Job, error) {
	return r.services.Deliverer.CancelReplay(ctx, id)
}

func replayInput(in generated.ReplayInput) (service.Replay, error) {
	if in.PerSecond != nil && *in.PerSecond < 1 {
		return service.Replay{}, invalid("perSecond is at least 1")
	}
	out := service.Replay{
		Source: value(in.Source), States: in.States, To: value(in.To), PerSecond: value(in.PerSecond), DryRun: value(in.DryRun),
		Filter: store.DeliveryFilter{Endpoint: value(in.Endpoint), Account: value(in.Account), Type: string(value(in.Type)),
			Since: value(in.Since), Until: value(in.Until)},
	}
	if out.Source == "" {
		out.Source = store.JobDeliveries
	}
	return out, nil
}
