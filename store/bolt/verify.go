package bolt

import (
	"context"
	"fmt"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// maxProblems bounds how many problems a report lists.
const maxProblems = 1000

// Report is what Verify has found.
type Report struct {
	table.Checked
	Blobs int `json:"blobs"`
	// Problems are what is wrong, in words; More how many beyond those listed.
	Problems []string `json:"problems"`
	More     int      `json:"more,omitempty"`
}

func (r *Report) tell(problem string) {
	if len(r.Problems) == maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, problem)
}

// Verify reads the whole store, as one transaction sees it: every record and
// index, and the blobs that nobody else has. While it runs the database's file
// grows by what is written. With pages it first looks at the database's pages
// and its list of free ones, for which it keeps writers out.
func (s *Store) Verify(ctx context.Context, pages bool) (Report, error) {
	r := Report{Problems: []string{}}
	if !s.enter() {
		return r, store.ErrClosed
	}
	defer s.readers.Done()
	if pages {
		if err := s.verifyPages(&r); err != nil || len(r.Problems) > 0 {
			return r, err // what lies on such pages cannot be read safely
		}
	}
	btx, err := s.db.Begin(false)
	if err != nil {
		return r, fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = btx.Rollback() }()
	snapshot := s.tables.Begin(&watched{kv: newKV(btx), ctx: ctx}, false).Tx()
	if r.Checked, err = snapshot.Verify(r.tell); err != nil {
		return r, fmt.Errorf("verify: %w", err)
	}
	if r.Blobs, err = s.blobs.Verify(ctx, snapshot, r.tell); err != nil {
		return r, fmt.Errorf("verify blobs: %w", err)
	}
	return r, nil
}

// verifyPages is bbolt's own check. It compares the pages that can be reached
// with the list of free ones, which writers change.
func (s *Store) verifyPages(r *Report) error {
	btx, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	for err := range btx.Check() {
		r.tell("the database's pages: " + err.Error())
	}
	return btx.Rollback()
}

// watched ends a long transaction's scans when its context ends.
type watched struct {
	*kv
	ctx context.Context
}

// Scan lists a range.
func (w *watched) Scan(b table.Bucket, from, to []byte, reverse bool, limit int) ([]table.Pair, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	return w.kv.Scan(b, from, to, reverse, limit)
}
