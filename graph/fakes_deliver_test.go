package graph_test

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/store"
)

func (f *fakes) Redeliver(_ context.Context, ids []string) (int, error) {
	return len(ids), f.called("Redeliver")
}

func (f *fakes) Replay(ctx context.Context, in service.Replay) (*store.Job, error) {
	f.replay = in
	j := &store.Job{ID: "r1", State: store.JobRunning, Source: in.Source, Endpoint: in.Filter.Endpoint, Account: in.Filter.Account,
		Type: in.Filter.Type, Since: in.Filter.Since, Until: in.Filter.Until, States: in.States, To: in.To, PerSecond: in.PerSecond,
		CreatedAt: f.w.clock(), Counted: in.DryRun, Matched: 7}
	if err := f.called("Replay"); err != nil || in.DryRun {
		return j, err
	}
	return j, f.w.store.Update(ctx, func(tx store.Tx) error { return tx.PutJob(j) })
}

func (f *fakes) CancelReplay(ctx context.Context, id string) (j *store.Job, err error) {
	err = f.w.store.Update(ctx, func(tx store.Tx) error {
		if j, err = tx.Job(id); err != nil {
			return err
		}
		j.State, j.DoneAt, j.Reason = store.JobCancelled, f.w.clock(), ""
		return tx.PutJob(j)
	})
	return j, errors.Join(err, f.called("CancelReplay"))
}
